"""The command line with the real embedder, as a program that reads its JSON uses it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import DocumentError, EngineError
from core.home import Home
from core.permissions import OPERATOR
from core.settings import read_settings
from retrieval.__main__ import main
from retrieval.embedding import open_embedder
from retrieval.loading import load_document, media_type_of
from retrieval.passages import Embedder
from retrieval.service import open_retrieval
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return open_embedder(read_settings())


class Line:
    """The command line within this process, which has the model's libraries loaded."""

    def __init__(self, workspace: Path, capture: pytest.CaptureFixture[str]) -> None:
        self._workspace, self._capture = workspace, capture

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        self._capture.readouterr()
        code = main([*arguments, f"--workspace={self._workspace}"])
        printed = self._capture.readouterr()
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    def report(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Line:
    return Line(tmp_path / "w", capfd)


def test_json_shapes(tmp_path: Path, line: Line) -> None:
    docs = tmp_path / "docs"
    (docs / "it").mkdir(parents=True)
    (docs / "it" / "vpn.md").write_text("# VPN\n## Set-up\nInstall the client from the portal.")
    (docs / "leave.txt").write_text("Sick leave is twelve days a year.")
    (docs / "logo.png").write_bytes(b"\x89PNG")
    ingested = line.report("ingest", str(docs), "--groups", "Staff,hr")
    assert ingested.keys() == {
        "documents", "chunks", "skipped", "failed", "notes", "seconds",
    }  # fmt: skip
    assert (ingested["documents"], ingested["chunks"], ingested["skipped"]) == (2, 2, 0)
    assert [failure["path"] for failure in ingested["failed"]] == ["logo.png"]
    found = line.report("search", "how many days can I be ill?", "--limit", "1")
    assert [hit.keys() for hit in found] == [{"rank", "document", "location", "score", "text"}]
    assert (found[0]["rank"], found[0]["document"]) == (1, "leave.txt")
    assert 0.2 < found[0]["score"] <= 1
    listed = line.report("list")["documents"]
    assert [(d["document"], d["collection"], d["groups"]) for d in listed] == [
        ("it/vpn.md", str(docs), ["hr", "staff"]),
        ("leave.txt", str(docs), ["hr", "staff"]),
    ]
    assert line.report("delete", str(listed[0]["id"])) == {"deleted": 1}
    # As people start it; nothing here needs the model's libraries.
    done = subprocess.run(
        [sys.executable, "-m", "retrieval", "list", "--workspace", str(tmp_path / "w")],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "leave.txt" in done.stdout
    assert "vpn.md" not in done.stdout


def test_people_are_told_what_to_do(tmp_path: Path, line: Line) -> None:
    empty = line.run("search", "anything")
    assert (empty.returncode, empty.stderr) == (0, "")
    assert "python -m retrieval ingest" in empty.stdout
    assert line.report("search", "anything") == []
    missing = line.run("delete", "7")
    assert (missing.returncode, missing.stdout) == (3, "")
    assert "no document 7" in missing.stderr
    bad = tmp_path / "bad.pdf"
    bad.write_bytes(b"not a pdf")
    refused = line.run("ingest", str(bad))
    assert refused.returncode == 2
    assert "bad.pdf" in refused.stdout


def test_pictures_are_one_line_for_people_and_each_its_own_for_programs(
    tmp_path: Path, line: Line
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "leave.txt").write_text("Sick leave is twelve days a year.")
    (docs / "empty.md").write_text(" ")
    for number in range(5):
        (docs / f"picture-{number}.png").write_bytes(b"\x89PNG")
        (docs / f"font-{number}.woff").write_bytes(b"wOFF")
    done = line.run("ingest", str(docs))
    assert done.returncode == 0
    assert done.stdout.count(".png") == 1, done.stdout
    said = "10 files: files of these kinds are not read: .woff (5), .png (5). Supported"
    assert said in done.stdout
    assert "font-0.woff, font-1.woff, font-2.woff and 7 more" in done.stdout
    assert "empty.md: the file is empty" in done.stdout
    failed = line.report("ingest", str(docs))["failed"]
    assert len(failed) == 11
    assert all(one.keys() == {"path", "reason"} and one["path"] in one["reason"] for one in failed)


def test_vectors_are_unit_rows_and_meaning_counts(embedder: Embedder) -> None:
    rows = embedder.embed(["time off when ill", "sick leave", "server racks", ""])
    assert rows.dtype == np.float32
    assert rows.shape == (4, embedder.dimension)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.2
    assert embedder.embed([]).shape == (0, embedder.dimension)
    assert embedder.count_tokens("sick leave") == 2
    assert embedder.name.startswith("all-minilm-l6-v2@")


def test_an_embedder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="INHOUSE_EMBEDDER"):
        open_embedder(read_settings(embedder=str(tmp_path)))


@pytest.mark.shared
def test_every_file_of_a_real_handbook_loads_or_says_why(shared: Path) -> None:
    folder = shared / "handbooks" / "18f-handbook"
    loaded, refused = 0, []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            load_document(file.relative_to(folder).as_posix(), file.read_bytes())
            loaded += 1
        except DocumentError as error:
            assert media_type_of(file.name) is None or "no text in it" in str(error), error
            refused.append(file)
    assert loaded >= 250
    assert len(refused) <= 52


@pytest.mark.shared
def test_questions_on_a_real_handbook_find_their_page(
    shared: Path, home: Home, embedder: Embedder
) -> None:
    folder = shared / "handbooks" / "18f-handbook" / "pages" / "travel-and-leave"
    retrieval = open_retrieval(home, embedder)
    documents = sorted(folder.glob("*leave*.md"))
    ingested = retrieval.ingestor.ingest(documents)
    assert ingested.documents == len(documents)
    rows = (shared / "qa" / "18f" / "train.jsonl").read_text("utf-8").splitlines()
    asked = hit = 0
    for row in map(json.loads, rows):
        if row["evidence_file"].rpartition("/")[2] in {file.name for file in documents}:
            found = retrieval.retriever.search(row["question"], limit=5, reader=OPERATOR)
            asked += 1
            hit += row["evidence_file"].endswith(tuple(passage.document for passage in found))
    assert asked >= 5
    assert hit >= 0.8 * asked
