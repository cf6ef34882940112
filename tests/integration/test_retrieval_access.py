"""Who may read text made from documents, on both databases; and what a deletion takes along."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from assistant.tables import AnswerRow
from core.database import MIGRATIONS, Database, now
from core.home import Home
from core.permissions import OPERATOR, Reader
from eval.tables import StoredAnswerRow
from retrieval.access import DocumentAccess, deleted_among, deleted_paths
from retrieval.kept import GONE, keep_passages, kept_passages
from retrieval.library import Library
from retrieval.passages import Passage
from retrieval.tables import DocumentRow, PassageTextRow

LEGAL = Reader(frozenset({"legal"}))
ANYBODY = Reader()


@pytest.fixture
def library(any_home: Home) -> Library:
    return Library(any_home.database, any_home.workspace)


def stored(home: Home, library: Library, path: str, *groups: str) -> int:
    with home.database.session() as session:
        row = DocumentRow(
            identity=path, collection="",
            path=path, title=path, media_type="text/plain", size=1, sha256="", recipe="",
            embedder="", chunk_count=0, ingested_at=now(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        number = row.id
    library.set_groups(number, groups)
    return number


def test_todays_groups_count_then_the_last_ones(any_home: Home, library: Library) -> None:
    access = DocumentAccess(any_home.database)
    public = stored(any_home, library, "public.txt")
    secret = stored(any_home, library, "secret.txt", "board", "legal")
    assert access.may_read([public], ANYBODY)
    assert access.may_read([public, secret], LEGAL)
    assert not access.may_read([public, secret], ANYBODY)
    library.set_groups(public, ["board"])
    assert not access.may_read([public], LEGAL)
    library.set_groups(public, [])
    assert library.delete([public, secret]) == 2
    assert access.may_read([public], ANYBODY)
    assert access.may_read([public, secret], LEGAL)
    assert not access.may_read([public, secret], ANYBODY)
    with any_home.database.session() as session:
        assert deleted_among(session, [public, secret, 99]) == {public, secret}
        assert sorted(deleted_paths(session)) == [(public, "public.txt"), (secret, "secret.txt")]


def test_of_what_nothing_is_known_nothing_is_open(any_home: Home) -> None:
    access = DocumentAccess(any_home.database)
    assert access.may_read([], ANYBODY)
    assert not access.may_read([7], LEGAL)
    assert access.may_read([7], OPERATOR)


def test_a_number_of_a_deleted_document_never_means_another(
    any_home: Home, library: Library
) -> None:
    first = stored(any_home, library, "a.txt", "board")
    library.delete([first])
    assert stored(any_home, library, "a.txt") > first
    assert not DocumentAccess(any_home.database).may_read([first], ANYBODY)


def test_kept_words_go_with_their_document_and_only_they(any_home: Home, library: Library) -> None:
    public = stored(any_home, library, "public.txt")
    secret = stored(any_home, library, "secret.txt", "legal")
    passages = [
        Passage(number, document, f"{document}.txt", "Title", "Place", f"Words {number}.", 0.5)
        for number, document in ((1, public), (2, secret), (1, public))
    ]
    with any_home.database.session() as session:
        kept = keep_passages(session, passages)
        assert keep_passages(session, passages) == kept
    assert "Words" not in json.dumps(kept)
    with any_home.database.session() as session:
        assert kept_passages(session, [kept, []]) == [tuple(passages), ()]
        assert session.scalar(sa.select(sa.func.count()).select_from(PassageTextRow)) == 2
    library.delete([secret])
    with any_home.database.session() as session:
        (found,) = kept_passages(session, [kept])
        # An answer that was being made while its document went.
        assert keep_passages(session, passages) == kept
        assert session.scalar(sa.select(sa.func.count()).select_from(PassageTextRow)) == 1
    assert found == (passages[0], Passage(2, secret, "", GONE, "", "", 0.5), passages[2])
    assert [one.is_gone for one in found] == [False, True, False]


def test_deleting_drops_the_reports_that_may_quote_the_document(
    any_home: Home, library: Library
) -> None:
    folder = any_home.workspace.evaluations
    for name in ("3/report.html", "3/rows.jsonl", "3/.report.md.1.tmp", "audit-3/audit.html"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("secret")
    library.delete([stored(any_home, library, "a.txt")])
    left = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert left == {"3/.report.md.1.tmp", "audit-3/audit.html"}


def migrated(url: str, revision: str) -> Database:
    """A database as an older version left it."""
    database = Database(url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return database


def old_passage(document: int, text: str) -> dict[str, object]:
    return {"chunk_id": 5, "document_id": document, "document": "a.md", "title": "A",
            "location": "", "text": text, "score": 0.5}  # fmt: skip


def test_what_an_older_version_stored_is_moved_and_shut_where_in_doubt(
    database_url: str, tmp_path: Path
) -> None:
    database = migrated(database_url or f"sqlite:///{tmp_path / 'old.db'}", "0009_audits")
    fill(database)
    database.migrate()
    with database.session() as session:
        answers = session.scalars(sa.select(AnswerRow).order_by(AnswerRow.id)).all()
        evaluated = session.scalars(sa.select(StoredAnswerRow).order_by(StoredAnswerRow.id)).all()
        # The second answer may repeat the first; the third is of another mode.
        assert [one.documents for one in answers] == [[1], [1, 9], []]
        assert [one.documents for one in evaluated] == [[1, 9], []]
        assert evaluated[1].answer is None
        passages = kept_passages(session, [one.passages for one in answers])
        passages += kept_passages(session, [evaluated[0].answer["passages"]])  # type: ignore[index]
        assert [[p.text for p in one] for one in passages] == [
            ["Here."], ["", "Here."], [], ["Here.", ""]
        ]  # fmt: skip
        assert session.scalar(sa.text("SELECT COUNT(*) FROM feedback")) == 1
        assert session.scalar(sa.text("SELECT documents FROM eval_evaluations")) is None
    database.close()


def fill(database: Database) -> None:
    """One document that is here (1), one that is gone (9), and what was made from them."""
    at = now()
    here, gone = old_passage(1, "Here."), old_passage(9, "Gone.")
    rows: list[tuple[str, dict[str, object]]] = [
        ("documents", {"id": 1, "path": "a.md", "title": "A", "media_type": "", "size": 1,
                       "sha256": "", "recipe": "", "embedder": "", "chunk_count": 1,
                       "ingested_at": at}),
        ("accounts", {"id": 1, "name": "ann", "name_key": "ann", "password_hash": "x",
                      "role": "employee", "groups": [], "must_change_password": False,
                      "disabled": False, "created_at": at}),
        ("conversations", {"id": 1, "account_id": 1, "title": "", "created_at": at,
                           "updated_at": at}),
        ("turns", {"id": 1, "conversation_id": 1, "question": "?", "created_at": at}),
        *(("answers", {"id": number, "turn_id": 1, "mode": mode, "text": "t", "cited": [],
                       "passages": passages, "provenance": {}, "timing": {}, "cut_off": False,
                       "created_at": at})
          for number, mode, passages in (
              (1, "rag", [here]), (2, "rag", [gone, here]), (3, "base", []))),
        ("feedback", {"id": 1, "answer_id": 1, "account_id": 1, "rating": 1, "comment": "",
                      "created_at": at}),
        ("eval_answers", {"id": 1, "configuration": "c", "question_hash": "a", "error": "",
                          "answer": {"text": "t", "passages": [here, gone]}, "created_at": at}),
        ("eval_answers", {"id": 2, "configuration": "c", "question_hash": "b", "error": "failed",
                          "answer": None, "created_at": at}),
        ("eval_evaluations", {"id": 1, "title": "", "state": "done", "plan": {}, "questions": [],
                              "question_sets": [], "arms": [], "warnings": [], "error": "",
                              "created_at": at}),
    ]  # fmt: skip
    tables = sa.MetaData()
    tables.reflect(database.engine)
    with database.engine.begin() as connection:
        for name, values in rows:
            connection.execute(tables.tables[name].insert().values(values))
