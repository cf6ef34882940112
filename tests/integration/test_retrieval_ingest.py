"""Folders into a library, and out again: real database, real index, fake embedder."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from core.errors import DocumentError, InvalidInput, NotFound, Stopped
from core.home import Home, open_home
from core.permissions import OPERATOR, Reader
from core.progress import Silent
from retrieval.jobs import handle
from retrieval.service import Retrieval, open_retrieval
from retrieval.tables import ChunkRow, DocumentRow
from tests.fakes import HashingEmbedder, StopsAfterReports
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.md").write_text(text, "utf-8")
    return folder


@pytest.fixture
def retrieval(home: Home) -> Retrieval:
    return open_retrieval(home, HashingEmbedder())


def search(retrieval: Retrieval, query: str) -> list[str]:
    found = retrieval.retriever.search(query, limit=10, reader=OPERATOR)
    return [passage.document for passage in found if any(
        word in passage.text.lower() for word in query.lower().split()
    )]  # fmt: skip


def test_unchanged_files_are_skipped_and_changed_ones_replaced(
    retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", leave="# Leave\nTwelve days.", travel="# Travel\nBy train.")
    first = retrieval.ingestor.ingest([docs])
    assert (first.documents, first.chunks, first.skipped, first.failed) == (2, 2, 0, [])
    version = retrieval.retriever.version
    again = retrieval.ingestor.ingest([docs])
    assert (again.documents, again.skipped) == (0, 2)
    assert retrieval.retriever.version == version
    write(docs, leave="# Leave\nThirty weeks.")
    changed = retrieval.ingestor.ingest([docs])
    assert (changed.documents, changed.skipped) == (1, 1)
    assert search(retrieval, "twelve") == []
    assert search(retrieval, "thirty") == ["leave.md"]
    document = retrieval.library.documents(OPERATOR, query="LEAVE")[0]
    assert "Thirty" in retrieval.library.original(document.id, OPERATOR).read_text()


def test_a_vanished_file_keeps_its_document_and_a_lost_original_comes_back(
    retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", a="alpha", b="beta")
    retrieval.ingestor.ingest([docs])
    (docs / "a.md").unlink()
    retrieval.ingestor.ingest([docs])
    assert search(retrieval, "alpha") == ["a.md"]
    beta = retrieval.library.documents(OPERATOR, query="b.md")[0]
    retrieval.library.original(beta.id, OPERATOR).unlink()
    with pytest.raises(NotFound, match="Ingest it again"):
        retrieval.library.original(beta.id, OPERATOR)
    assert retrieval.ingestor.ingest([docs]).documents == 1
    assert retrieval.library.original(beta.id, OPERATOR).read_text() == "beta"


def test_ingesting_again_opens_nothing_by_accident(retrieval: Retrieval, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", pay="salary bands")
    retrieval.ingestor.ingest([docs], groups={"hr"})
    write(docs, pay="salary bands, newer")
    retrieval.ingestor.ingest([docs])
    (document,) = retrieval.library.documents(OPERATOR)
    assert document.groups == {"hr"}
    assert retrieval.library.documents(Reader()) == []
    assert retrieval.ingestor.ingest([docs], groups={"board"}).skipped == 1
    assert retrieval.library.get(document.id, OPERATOR).groups == {"board"}


def test_delete_leaves_no_byte_behind(home: Home, retrieval: Retrieval, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", secret="The codeword is xylophonequartz.", other="Harmless.")
    retrieval.ingestor.ingest([docs])
    assert search(retrieval, "xylophonequartz") == ["secret.md"]
    document = retrieval.library.documents(OPERATOR, query="secret")[0]
    assert retrieval.library.delete([document.id, 999]) == 1
    assert retrieval.library.delete([document.id]) == 0
    assert search(retrieval, "xylophonequartz") == []
    home.database.close()
    for file in home.workspace.root.rglob("*"):
        if file.is_file():
            assert b"xylophonequartz" not in file.read_bytes(), file


def test_numbers_are_never_given_out_again(retrieval: Retrieval, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a="alpha")
    retrieval.ingestor.ingest([docs])
    (chunk,) = retrieval.library.chunks(1, OPERATOR)
    retrieval.library.delete([1])
    retrieval.ingestor.ingest([docs])
    (document,) = retrieval.library.documents(OPERATOR)
    assert document.id > 1
    with pytest.raises(NotFound):
        retrieval.library.chunk(chunk.id, OPERATOR)


def test_everything_in_a_folder_is_accounted_for(
    home: Home, retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", good="fine text")
    (tmp_path / "outside.md").write_text("outside")
    (docs / "leaves.md").symlink_to(tmp_path / "outside.md")
    (docs / "broken.md").symlink_to(docs / "nowhere.md")
    (docs / "linked").symlink_to(tmp_path)
    (docs / ".git").mkdir()
    (docs / ".hidden.md").write_text("x")
    (docs / "picture.png").write_bytes(b"\x89PNG")
    (docs / "empty.md").touch()
    os.mkfifo(docs / "pipe.md")
    Path(os.fsdecode(os.fsencode(docs) + b"/bad\xff.md")).write_text("x")
    report = retrieval.ingestor.ingest([docs])
    assert report.documents == 1
    reasons = {failure.path: failure.reason for failure in report.failed}
    expected = {
        "leaves.md": "leaves the folder", "broken.md": "cannot be read", "linked/": "links",
        ".git/": "hidden", ".hidden.md": "hidden", "picture.png": ".png", "empty.md": "empty",
        "pipe.md": "not a regular file", "bad\ufffd.md": "UTF-8",
    }  # fmt: skip
    assert reasons.keys() == expected.keys()
    for path, reason in expected.items():
        assert reason in reasons[path]
    assert report.as_json()["failed"][0].keys() == {"path", "reason"}


def test_a_file_that_is_too_large_or_gone(tmp_path: Path) -> None:
    home = open_home(workspace=tmp_path / "w", upload_megabytes=1)
    retrieval = open_retrieval(home, HashingEmbedder())
    big = tmp_path / "big.md"
    big.write_bytes(b"word " * 300_000)
    report = retrieval.ingestor.ingest([big])
    assert "the limit is 1 MB" in report.failed[0].reason
    with pytest.raises(DocumentError, match="does not exist"):
        retrieval.ingestor.ingest([tmp_path / "nothing"])
    home.database.close()


def test_two_files_of_one_name_do_not_replace_each_other(
    retrieval: Retrieval, tmp_path: Path
) -> None:
    one, two = write(tmp_path / "1", a="first"), write(tmp_path / "2", a="second")
    report = retrieval.ingestor.ingest([one / "a.md", two / "a.md", two])
    assert (report.documents, report.failed) == (2, [])
    assert search(retrieval, "first second") == ["a.md", "a.md"]
    named = retrieval.ingestor.ingest([one, two], collection="both")
    assert named.documents == 1
    assert "same path" in named.failed[0].reason


def test_the_workspace_within_the_folder_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, a="alpha")
    home = open_home(workspace=tmp_path / "workspace")
    retrieval = open_retrieval(home, HashingEmbedder())
    for expected in (1, 0):
        report = retrieval.ingestor.ingest([tmp_path])
        assert report.documents == expected
        assert [failure.path for failure in report.failed] == ["workspace/"]
    home.database.close()


def test_chunk_settings_that_cannot_be(tmp_path: Path) -> None:
    home = open_home(workspace=tmp_path / "w", chunk_tokens=40, chunk_overlap=30)
    with pytest.raises(InvalidInput, match="INHOUSE_CHUNK_OVERLAP"):
        open_retrieval(home, HashingEmbedder())
    home.database.close()


def test_both_databases_serve_the_whole_life_of_a_document(any_home: Home, tmp_path: Path) -> None:
    # Documents and rights are looked at here, and not what a network makes of three words.
    settings = any_home.settings.model_copy(update={"evidence_finder": "off"})
    retrieval = open_retrieval(replace(any_home, settings=settings), HashingEmbedder())
    docs = write(tmp_path / "docs", a="alpha words", b="beta words", c="gamma words")
    assert retrieval.ingestor.ingest([docs], groups={"hr"}).documents == 3
    assert retrieval.ingestor.ingest([docs]).skipped == 3
    assert search(retrieval, "alpha") == ["a.md"]
    assert retrieval.retriever.search("alpha", limit=5, reader=Reader()) == []
    document = retrieval.library.documents(OPERATOR, query="A.M")[0]
    retrieval.library.set_groups(document.id, ())
    assert retrieval.library.count(Reader()) == 1
    assert [d.path for d in retrieval.library.documents(OPERATOR, limit=1, offset=1)] == ["b.md"]
    write(docs, a="alpha anew")
    assert retrieval.ingestor.ingest([docs]).documents == 1
    assert retrieval.library.delete([document.id]) == 1
    assert search(retrieval, "alpha") == []


def test_a_stop_keeps_whole_documents_and_the_same_call_goes_on(
    retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", **{f"d{n:02}": f"word{n} " * 20_000 for n in range(4)})
    with pytest.raises(Stopped):
        retrieval.ingestor.ingest([docs], progress=StopsAfterReports(2))
    stored = retrieval.library.count(OPERATOR)
    assert 0 < stored < 4
    report = retrieval.ingestor.ingest([docs])
    assert (report.documents, report.skipped) == (4 - stored, stored)


def test_two_openings_see_each_others_changes(home: Home, tmp_path: Path) -> None:
    one, two = (open_retrieval(home, HashingEmbedder()) for _ in range(2))
    one.ingestor.ingest([write(tmp_path / "docs", a="alpha", b="beta")])
    assert search(two, "alpha") == ["a.md"]
    one.library.delete([two.library.documents(OPERATOR, query="a.md")[0].id])
    assert search(two, "alpha") == []
    assert search(two, "beta") == ["b.md"]


@pytest.mark.parametrize("damage", ["remove", "flip", "truncate"])
def test_index_files_are_only_a_cache(home: Home, tmp_path: Path, damage: str) -> None:
    retrieval = open_retrieval(home, HashingEmbedder())
    retrieval.ingestor.ingest([write(tmp_path / "docs", a="alpha", b="beta")])
    assert search(retrieval, "alpha") == ["a.md"]
    (folder,) = home.workspace.index.iterdir()
    for file in [file for file in folder.rglob("*") if file.is_file()]:
        content = bytearray(file.read_bytes())
        if damage == "remove":
            file.unlink()
        else:
            content[len(content) // 2] ^= 255
            file.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    assert search(open_retrieval(home, HashingEmbedder()), "alpha") == ["a.md"]
    assert search(open_retrieval(home, HashingEmbedder()), "beta") == ["b.md"]


class OtherEmbedder(HashingEmbedder):
    name = "hashing-other"


def test_another_embedder_embeds_again(home: Home, retrieval: Retrieval, tmp_path: Path) -> None:
    retrieval.ingestor.ingest([write(tmp_path / "docs", a="alpha", b="beta")])
    assert search(open_retrieval(home, OtherEmbedder()), "alpha") == ["a.md"]
    with home.database.session() as session:
        assert set(session.scalars(select(DocumentRow.embedder))) == {"hashing-other"}


def test_the_job_handler_returns_the_report(home: Home, tmp_path: Path) -> None:
    empty = tmp_path / "docs"
    empty.mkdir()
    (empty / "x.svg").write_text("<svg/>")
    result = handle(home, {"paths": [str(empty)], "groups": ["hr"]}, Silent())
    assert (result["documents"], result["skipped"]) == (0, 0)
    assert [failure["path"] for failure in result["failed"]] == ["x.svg"]


def test_uploaded_copies_are_gone_once_they_are_stored(home: Home) -> None:
    uploaded = write(home.workspace.uploads / "1", leave="# Leave\nTwelve days.")
    assert handle(home, {"paths": [str(uploaded)]}, Silent())["documents"] == 1
    assert not uploaded.exists()


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from core.home import open_home
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder
home = open_home(workspace=Path(sys.argv[1]))
open_retrieval(home, HashingEmbedder()).ingestor.ingest([Path(sys.argv[2])])
"""


def test_a_killed_ingest_leaves_whole_documents_only(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", **{f"d{n:03}": f"word{n} " * 5_000 for n in range(20)})
    workspace = tmp_path / "w"
    home = open_home(workspace=workspace)
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(workspace), str(docs), str(ROOT)],
        stderr=subprocess.DEVNULL,
    )
    retrieval = open_retrieval(home, HashingEmbedder())
    deadline = time.monotonic() + PATIENCE_S
    while not retrieval.library.count(OPERATOR) and time.monotonic() < deadline:
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait(timeout=PATIENCE_S)
    stored = retrieval.library.count(OPERATOR)
    assert stored
    with home.database.session() as session:
        for document in session.scalars(select(DocumentRow)):
            chunks = session.scalars(select(ChunkRow).where(ChunkRow.document_id == document.id))
            assert len(chunks.all()) == document.chunk_count
    for entry in retrieval.library.documents(OPERATOR):
        content = retrieval.library.original(entry.id, OPERATOR).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry.sha256
    report = retrieval.ingestor.ingest([docs])
    assert (report.documents + report.skipped, report.failed) == (20, [])
    assert report.skipped >= stored
    home.database.close()
