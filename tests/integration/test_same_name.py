"""Files that share a name: what tells them apart, and what must not touch what."""

import threading
import unicodedata
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import event, text

from core.audit import Audit
from core.database import MIGRATIONS, Database
from core.errors import InvalidInput, Stopped
from core.home import Home
from core.permissions import OPERATOR, Reader
from core.progress import Silent
from retrieval.__main__ import main
from retrieval.ingest_report import IngestReport
from retrieval.jobs import handle
from retrieval.library import Document
from retrieval.origins import UNKNOWN, UPLOADS, SameName, numbered
from retrieval.service import Retrieval, open_retrieval
from retrieval.tables import DocumentRow, identity_of
from tests.fakes import HashingEmbedder, StopsAfterReports
from tests.waiting import PATIENCE_S

HR = Reader(frozenset({"hr"}))


@pytest.fixture
def retrieval(home: Home) -> Retrieval:
    return open_retrieval(home, HashingEmbedder())


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.md").write_text(content, "utf-8")
    return folder


def stored(retrieval: Retrieval) -> list[Document]:
    return retrieval.library.documents(OPERATOR)


def texts(retrieval: Retrieval) -> dict[str, str]:
    library = retrieval.library
    return {
        one.path: library.original(one.id, OPERATOR).read_text("utf-8") for one in stored(retrieval)
    }


def upload(
    retrieval: Retrieval,
    folder: Path,
    content: str,
    same_name: SameName = SameName.KEEP_BOTH,
    groups: tuple[str, ...] = (),
) -> IngestReport:
    write(folder, handbook=content)
    return retrieval.ingestor.ingest_uploads([folder], groups=groups, same_name=same_name)


def test_two_folders_with_a_file_of_one_name(retrieval: Retrieval, tmp_path: Path) -> None:
    alpha = write(tmp_path / "alpha", policy="Alpha: ten days.")
    beta = write(tmp_path / "beta", policy="Beta: nine days.")
    retrieval.ingestor.ingest([alpha], groups={"hr"})
    assert retrieval.ingestor.ingest([beta]).documents == 1
    one, two = stored(retrieval)
    assert [one.label, two.label] == ["policy.md (alpha)", "policy.md (beta)"]
    assert [one.groups, two.groups] == [{"hr"}, frozenset()]
    # Who may not read the one need not learn that there is another.
    assert [document.label for document in retrieval.library.documents(Reader())] == ["policy.md"]
    retrieval.ingestor.ingest([beta], groups={"board"})
    assert retrieval.library.get(one.id, HR).groups == {"hr"}
    assert retrieval.ingestor.ingest([alpha, beta]).skipped == 2


def test_a_folder_is_the_same_however_it_is_named(
    retrieval: Retrieval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = write(tmp_path / "docs", a="alpha")
    (tmp_path / "link").symlink_to(docs)
    monkeypatch.chdir(tmp_path)
    retrieval.ingestor.ingest([docs])
    for name in ("docs", "docs/", "./docs/../docs", tmp_path / "link", docs / "a.md", "link/a.md"):
        assert retrieval.ingestor.ingest([name]).skipped == 1, name
    assert retrieval.ingestor.ingest([docs, docs / "a.md"]).failed == []


def test_a_named_collection_outlives_its_folder(retrieval: Retrieval, tmp_path: Path) -> None:
    retrieval.ingestor.ingest([write(tmp_path / "1", a="alpha")], collection=" handbook ")
    write(tmp_path / "2", a="alpha, newer")
    assert retrieval.ingestor.ingest([tmp_path / "2"], collection="handbook").documents == 1
    assert texts(retrieval) == {"a.md": "alpha, newer"}
    for wrong in (" ", UPLOADS, "a\nb", "x" * 201):
        with pytest.raises(InvalidInput, match="collection"):
            retrieval.ingestor.ingest([tmp_path / "2"], collection=wrong)


def test_an_upload_of_a_taken_name_touches_nothing(retrieval: Retrieval, tmp_path: Path) -> None:
    upload(retrieval, tmp_path / "1", "old", groups=("legal",))
    report = upload(retrieval, tmp_path / "2", "new", groups=("board",))
    assert report.documents == 1
    assert report.notes == ["'handbook.md' is kept as 'handbook (2).md': that name was taken."]
    assert texts(retrieval) == {"handbook.md": "old", "handbook (2).md": "new"}
    assert {one.path: set(one.groups) for one in stored(retrieval)} == {
        "handbook.md": {"legal"}, "handbook (2).md": {"board"},
    }  # fmt: skip
    for content in ("old", "new"):
        again = upload(retrieval, tmp_path / "3", content)
        assert (again.documents, again.skipped) == (0, 1)
    upload(retrieval, tmp_path / "4", "third")
    assert sorted(texts(retrieval)) == ["handbook (2).md", "handbook (3).md", "handbook.md"]


def test_an_upload_that_replaces_keeps_the_groups_unless_others_are_given(
    retrieval: Retrieval, tmp_path: Path
) -> None:
    upload(retrieval, tmp_path / "1", "old", groups=("legal",))
    upload(retrieval, tmp_path / "2", "new", SameName.REPLACE)
    (document,) = stored(retrieval)
    assert texts(retrieval) == {"handbook.md": "new"}
    assert document.groups == {"legal"}
    upload(retrieval, tmp_path / "2", "new", SameName.REPLACE, groups=("board",))
    assert stored(retrieval)[0].groups == {"board"}


def test_the_same_bytes_with_other_groups_are_told_of_and_left(
    retrieval: Retrieval, tmp_path: Path
) -> None:
    upload(retrieval, tmp_path / "1", "old")
    report = upload(retrieval, tmp_path / "2", "old", groups=("legal",))
    assert (report.skipped, stored(retrieval)[0].groups) == (1, frozenset())
    assert report.notes == ["'handbook.md' is in already, for everyone; that was left as it is."]


def test_an_upload_does_not_touch_a_file_of_a_folder(retrieval: Retrieval, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", handbook="of the folder")
    retrieval.ingestor.ingest([docs])
    upload(retrieval, tmp_path / "1", "sent", SameName.REPLACE, groups=("legal",))
    assert [one.groups for one in stored(retrieval)] == [frozenset(), {"legal"}]
    assert [one.place for one in stored(retrieval)] == ["docs", "uploads"]


def test_two_uploads_at_once(home: Home, retrieval: Retrieval, tmp_path: Path) -> None:
    def send(number: int, content: str) -> None:
        own = open_retrieval(home, HashingEmbedder())
        upload(own, tmp_path / str(number), content)

    contents = ["one", "two", "two", "three"]
    threads = [threading.Thread(target=send, args=pair) for pair in enumerate(contents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(texts(retrieval).values()) == ["one", "three", "two"]


def test_accents_composed_or_not_are_one_name_and_case_makes_two(
    retrieval: Retrieval, tmp_path: Path
) -> None:
    composed, apart = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    docs = write(tmp_path / "docs", **{composed: "one"})
    retrieval.ingestor.ingest([docs])
    (docs / f"{composed}.md").rename(docs / f"{apart}.md")
    assert retrieval.ingestor.ingest([docs]).skipped == 1
    write(docs, **{composed: "two"})
    assert "same path" in retrieval.ingestor.ingest([docs]).failed[0].reason
    write(tmp_path / "case", A="upper", a="lower")
    assert retrieval.ingestor.ingest([tmp_path / "case"]).documents == 2


def test_names_as_long_as_they_can_be(retrieval: Retrieval, tmp_path: Path) -> None:
    name = "ü" * 126  # 252 bytes, and three of '.md'.
    docs = write(tmp_path / "docs", **{name: "long"})
    assert retrieval.ingestor.ingest([docs]).documents == 1
    assert texts(retrieval) == {f"{name}.md": "long"}
    names = numbered(f"{name}.md", 255)
    assert next(names) == f"{name}.md"
    assert len(next(names).encode()) <= 255


def older(home: Home) -> None:
    """Make all documents those of a version that did not note collections."""
    with home.database.session() as session:
        for row in session.query(DocumentRow):
            row.collection, row.identity = UNKNOWN, identity_of(UNKNOWN, row.path)


def test_a_folder_of_an_older_version_is_known_again(
    home: Home, retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", a="alpha", b="beta", c="gamma")
    retrieval.ingestor.ingest([docs], groups={"hr"})
    ids = {one.id for one in stored(retrieval)}
    older(home)
    write(docs, c="gamma anew")
    report = retrieval.ingestor.ingest([docs])
    assert (report.documents, report.skipped) == (1, 2)
    assert {one.id for one in stored(retrieval)} == ids
    assert {one.groups for one in stored(retrieval)} == {frozenset({"hr"})}
    assert {one.collection for one in stored(retrieval)} == {str(docs)}


def test_another_folder_replaces_nothing_of_an_older_version_and_opens_nothing(
    home: Home, retrieval: Retrieval, tmp_path: Path
) -> None:
    retrieval.ingestor.ingest([write(tmp_path / "alpha", policy="Alpha.")], groups={"hr"})
    older(home)
    report = retrieval.ingestor.ingest([write(tmp_path / "beta", policy="Beta.")])
    assert report.documents == 1
    assert "is for hr only" in report.notes[0]
    assert [one.groups for one in stored(retrieval)] == [{"hr"}, {"hr"}]
    assert retrieval.ingestor.ingest([tmp_path / "alpha"]).skipped == 1
    assert len(stored(retrieval)) == 2


def test_a_folder_that_was_moved_as_a_whole(retrieval: Retrieval, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a="alpha", b="beta", c="gamma")
    retrieval.ingestor.ingest([docs], groups={"hr"})
    copied = write(tmp_path / "copied", a="alpha", b="beta", c="gamma")
    assert retrieval.ingestor.ingest([copied]).documents == 3  # The first is still there.
    docs.rename(tmp_path / "moved")
    write(tmp_path / "moved", c="gamma anew")
    report = retrieval.ingestor.ingest([tmp_path / "moved"])
    assert (report.documents, report.skipped) == (1, 2)
    assert "3 documents from" in report.notes[0]
    moved = [one for one in stored(retrieval) if one.place == "moved"]
    assert [one.groups for one in moved] == [{"hr"}] * 3
    assert len(stored(retrieval)) == 6


def test_a_file_of_a_folder_that_is_gone_does_not_take_it_over(
    retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", licence="MIT", b="beta", c="gamma")
    retrieval.ingestor.ingest([docs], groups={"hr"})
    docs.rename(tmp_path / "unmounted")
    retrieval.ingestor.ingest([write(tmp_path / "other", licence="MIT")])
    assert [one.place for one in stored(retrieval)] == ["docs", "docs", "docs", "other"]
    assert stored(retrieval)[3].groups == frozenset()


def test_migrating_keeps_documents_and_folds_groups(database_url: str, tmp_path: Path) -> None:
    database = Database(database_url or f"sqlite:///{tmp_path / 'old.db'}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    apart = unicodedata.normalize("NFD", "é.md")
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0009_audits")
        for number, path in enumerate(("a.md", apart), 1):
            connection.execute(
                text(
                    "INSERT INTO documents VALUES (:id, :path, 'T', 'text/markdown', 1, 'x', 'r', "
                    "'e', 1, '2026-01-01 00:00:00+00')"
                ),
                {"id": number, "path": path},
            )
        connection.execute(
            text(
                "INSERT INTO chunks (id, document_id, ordinal, location, text, vector) "
                "VALUES (7, 1, 0, '', 'text', :vector)"
            ),
            {"vector": b"1234"},
        )
        for name in ("Legal", "legal ", "HR"):
            connection.execute(
                text("INSERT INTO document_groups VALUES (1, :name)"), {"name": name}
            )
        connection.execute(
            text(
                "INSERT INTO accounts (id, name, name_key, password_hash, role, groups, "
                "must_change_password, disabled, created_at) VALUES (1, 'Ann', 'ann', 'x', "
                "'employee', '[\"LEGAL\", \"legal\"]', false, false, '2026-01-01 00:00:00+00')"
            )
        )
    database.migrate()
    with database.session() as session:
        rows = session.execute(text("SELECT id, collection, path FROM documents ORDER BY id"))
        assert [tuple(row) for row in rows] == [(1, "", "a.md"), (2, "", "é.md")]
        identities = session.scalars(text("SELECT identity FROM documents ORDER BY id")).all()
        assert identities == [identity_of("", "a.md"), identity_of("", "é.md")]
        assert session.scalars(text("SELECT id FROM chunks")).all() == [7]
        names = session.scalars(text("SELECT name FROM document_groups ORDER BY name")).all()
        assert names == ["hr", "legal"]
        groups = session.scalar(text("SELECT CAST(groups AS TEXT) FROM accounts"))
        assert groups == '["legal"]'
    database.close()


class DiskFull(Exception):
    """A commit that does not come through."""


def test_rows_and_originals_agree_when_the_commit_fails(
    home: Home, retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", a="old")
    retrieval.ingestor.ingest([docs])
    write(docs, a="new", b="never stored")

    def fail(_connection: object) -> None:
        raise DiskFull

    event.listen(home.database.engine, "commit", fail)
    with pytest.raises(DiskFull):
        retrieval.ingestor.ingest([docs])
    event.remove(home.database.engine, "commit", fail)
    assert texts(retrieval) == {"a.md": "old"}
    (docs / "b.md").unlink()
    retrieval.ingestor.ingest([docs])
    assert texts(retrieval) == {"a.md": "new"}
    left = [file for file in home.workspace.files.rglob("*") if file.is_file()]
    assert [file.read_text() for file in left] == ["new"]


def test_an_original_of_an_older_version_is_found_and_replaced(
    home: Home, retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", a="old")
    retrieval.ingestor.ingest([docs])
    (file,) = [file for file in home.workspace.files.rglob("*") if file.is_file()]
    file.rename(file.with_name("a.md"))
    assert texts(retrieval) == {"a.md": "old"}
    assert retrieval.ingestor.ingest([docs]).skipped == 1
    write(docs, a="new")
    retrieval.ingestor.ingest([docs])
    assert texts(retrieval) == {"a.md": "new"}
    assert len([one for one in home.workspace.files.rglob("*") if one.is_file()]) == 1


def test_what_was_read_before_a_stop_is_kept(retrieval: Retrieval, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", a="alpha", b="beta", c="gamma")
    with pytest.raises(Stopped):
        retrieval.ingestor.ingest([docs], progress=StopsAfterReports(2))
    assert sorted(texts(retrieval)) == ["a.md", "b.md"]


def test_an_upload_whose_job_dies_after_it_was_read_is_done(home: Home, tmp_path: Path) -> None:
    gone = home.workspace.uploads / "0123"
    result = handle(home, {"paths": [str(gone)]}, Silent())
    assert (result["documents"], result["failed"]) == (0, [])
    assert result["notes"] == ["The files of this upload were read before."]


@pytest.mark.parametrize("spelling", ["legal", " Legal", "LEGAL ", "Ｌｅｇａｌ"])
def test_a_group_is_one_however_it_is_spelt(
    retrieval: Retrieval, tmp_path: Path, spelling: str
) -> None:
    docs = write(tmp_path / "docs", a="alpha")
    retrieval.ingestor.ingest([docs], groups={spelling})
    (document,) = stored(retrieval)
    assert document.groups == {"legal"}
    reader = Reader(frozenset({f"{spelling} "}))
    assert retrieval.library.count(reader) == 1
    assert reader.may_read(document.groups)
    assert Reader(frozenset({"legal"})).may_read(frozenset({spelling}))
    assert not Reader(frozenset({"leg"})).may_read(frozenset({spelling}))
    with pytest.raises(InvalidInput, match="without commas"):
        retrieval.library.set_groups(document.id, {"legal,board"})


def test_groups_that_change_with_an_ingest_are_told_of(
    retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", a="alpha", b="beta")
    retrieval.ingestor.ingest([docs], groups={"hr"})
    write(docs, b="beta anew")
    report = retrieval.ingestor.ingest([docs], groups={"board"})
    assert report.notes == [
        f"'{name}.md' is for board now; until now it was for hr." for name in "ab"
    ]
    assert {one.groups for one in stored(retrieval)} == {frozenset({"board"})}


def test_what_is_done_on_the_machine_is_in_the_audit_log(
    home: Home, retrieval: Retrieval, tmp_path: Path
) -> None:
    docs = write(tmp_path / "docs", a="alpha")
    where = f"--workspace={home.workspace.root}"
    assert main(["ingest", str(docs / "nothing.png"), where]) == 2
    retrieval.ingestor.ingest([docs])
    (document,) = stored(retrieval)
    assert main(["delete", str(document.id), where]) == 0
    (entry,) = Audit(home.database).entries()
    assert (entry.actor, entry.action, entry.subject) == ("operator", "documents.delete", "a.md")
