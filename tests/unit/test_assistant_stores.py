"""The shelf, conversations and ratings, on a real SQLite file."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from assistant.conversations import Conversations, title_from
from assistant.feedback import Feedback
from assistant.modes import Answer, AnswerMode, Message, Timing
from assistant.shelf import NO_ADAPTER, Shelf
from assistant.tables import AnswerRow, FeedbackRow, TurnRow
from core.database import now
from core.errors import AdapterError, Conflict, InvalidInput, NotFound, PermissionDenied
from core.home import Home
from core.permissions import Account, Role
from core.tables import AccountRow
from retrieval.passages import Passage
from retrieval.tables import DocumentRow
from tests.conversing import answered
from tests.unit.adapters import build_adapter, put_adapter

PASSAGE = Passage(1, 2, "a.md", "A", "Top > Sub", "Text.", 0.5)
ANSWER = Answer(
    text="28 days [1].",
    mode=AnswerMode.RAG,
    passages=(PASSAGE,),
    cited=(1,),
    adapter=None,
    provenance={"model": "m", "query": "q", "passages": [1]},
    timing=Timing(0.1, 0.2, 0.3, 4, 5),
    cut_off=True,
)


def account(home: Home, name: str, role: Role = Role.EMPLOYEE) -> Account:
    with home.database.session() as session:
        row = AccountRow(
            name=name, name_key=name, password_hash="x", role=role.value, groups=[],
            must_change_password=False,
        )  # fmt: skip
        session.add(row)
        session.flush()
        return Account(row.id, name, role)


@pytest.fixture
def ann(home: Home) -> Account:
    """Somebody who may read the document that `ANSWER` was made from."""
    with home.database.session() as session:
        session.add(
            DocumentRow(
                identity="2", collection="",
                id=PASSAGE.document_id, path="a.md", title="A", media_type="text/markdown", size=1,
                sha256="", recipe="", embedder="", chunk_count=1, ingested_at=now(),
            )
        )  # fmt: skip
    return account(home, "ann")


def test_an_adapter_is_installed_whole_listed_and_deleted(home: Home, tmp_path: Path) -> None:
    shelf = Shelf(home, tmp_path / "no built-in reader")
    build_adapter(tmp_path / "built")
    (tmp_path / "built" / "optimizer.bin").write_text("not wanted")
    info = shelf.install("house", tmp_path / "built")
    assert info.manifest is not None
    assert info.manifest.name == info.name == "house"
    assert sorted(f.name for f in info.ref.path.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "manifest.json"
    ]  # fmt: skip
    assert [i.name for i in shelf.list()] == ["house"]
    assert info.size_bytes > 0
    with pytest.raises(Conflict, match="'house' already"):
        shelf.install("house", tmp_path / "built")
    shelf.set_default("house", None, "best so far")
    assert shelf.default() == "house"
    with pytest.raises(Conflict, match="Say what replaces it: none"):
        shelf.delete("house")
    assert shelf.default() == "house"
    shelf.delete("house", NO_ADAPTER)
    assert shelf.default() is None
    assert shelf.list() == []
    assert list(home.workspace.adapters.iterdir()) == []
    assert [p.adapter for p in shelf.promotions()] == [None, "house"]
    with pytest.raises(NotFound):
        shelf.delete("house")


@pytest.mark.parametrize("name", ["", "A", "-a", "a/b", "../a", "a" * 65, ".hidden", "a b", "a\n"])
def test_names_are_checked(home: Home, tmp_path: Path, name: str) -> None:
    build_adapter(tmp_path / "built")
    with pytest.raises(InvalidInput, match="cannot be an adapter's name"):
        Shelf(home).install(name, tmp_path / "built")
    with pytest.raises(NotFound):
        Shelf(home).get(name)


def test_an_incomplete_adapter_is_not_installed(home: Home, tmp_path: Path) -> None:
    build_adapter(tmp_path / "built")
    (tmp_path / "built" / "adapter_model.safetensors").write_bytes(b"half")
    with pytest.raises(AdapterError, match="not the file that its manifest describes"):
        Shelf(home).install("house", tmp_path / "built")
    assert list(home.workspace.adapters.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "content"),
    [("manifest.json", "{"), ("manifest.json", None), ("adapter_config.json", None)],
)
def test_a_damaged_adapter_is_shown_with_its_problem(
    home: Home, file: str, content: str | None
) -> None:
    folder = put_adapter(home, "house").path
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    put_adapter(home, "other")
    house, other = Shelf(home, home.workspace.root / "no built-in reader").list()
    assert house.problem is not None
    assert file in house.problem
    assert other.problem is None
    with pytest.raises(AdapterError, match=file):
        Shelf(home).set_default("house", None)


def test_conversations_keep_everything(home: Home, ann: Account) -> None:
    threads = Conversations(home.database)
    started = threads.create(ann)
    answer_id = answered(threads, started.id, "How many days?", ANSWER)
    found = threads.get(started.id, ann)
    assert found.title == "How many days?"
    assert found.turns[0].question == "How many days?"
    assert found.turns[0].answers[0].id == answer_id
    assert found.turns[0].answers[0].answer == ANSWER
    assert [t.id for t in threads.list(ann)] == [started.id]
    threads.rename(started.id, ann, "  Leave  ")
    assert threads.get(started.id, ann).title == "Leave"
    for title in ("", " ", "x" * 201):
        with pytest.raises(InvalidInput, match="title"):
            threads.rename(started.id, ann, title)


def test_nobody_reads_anothers_not_even_an_admin(home: Home, ann: Account) -> None:
    threads = Conversations(home.database)
    started = threads.create(ann)
    answer_id = answered(threads, started.id, "Secret?", ANSWER)
    for other in (account(home, "bob"), account(home, "root", Role.ADMIN)):
        assert threads.list(other) == []
        with pytest.raises(NotFound):
            threads.get(started.id, other)
        with pytest.raises(NotFound):
            threads.rename(started.id, other, "Mine")
        with pytest.raises(NotFound):
            threads.delete(started.id, other)
        with pytest.raises(NotFound):
            Feedback(home.database).rate(answer_id, other, 1)
    assert threads.get(started.id, ann).title == "Secret?"


def test_side_by_side_is_one_turn_with_a_history_for_each_mode(home: Home, ann: Account) -> None:
    threads = Conversations(home.database)
    thread = threads.create(ann).id
    for question in ("One?", "Two?"):
        for mode in AnswerMode:
            answer = replace(ANSWER, mode=mode, text=f"{question} {mode.value}")
            answered(threads, thread, question, answer)
    turns = threads.get(thread, ann).turns
    assert [(t.question, len(t.answers)) for t in turns] == [("One?", 4), ("Two?", 4)]
    assert threads.history(thread, AnswerMode.TUNED, ann) == [
        Message("user", "One?"),
        Message("assistant", "One? tuned"),
        Message("user", "Two?"),
        Message("assistant", "Two? tuned"),
    ]
    answered(threads, thread, "Two?", replace(ANSWER, mode=AnswerMode.RAG))
    assert len(threads.get(thread, ann).turns) == 3


def test_a_question_is_there_before_its_answer_and_keeps_what_was_said(
    home: Home, ann: Account
) -> None:
    threads = Conversations(home.database)
    thread = threads.create(ann).id
    to_come = [
        Answer("", AnswerMode.RAG, (), (), None),
        Answer("", AnswerMode.TUNED, (), (), "our-adapter"),
    ]
    first, second = threads.begin(thread, "How many days?", to_come)
    (turn,) = threads.get(thread, ann).turns
    assert [(one.answer.mode, one.answer.adapter) for one in turn.answers] == [
        (AnswerMode.RAG, None), (AnswerMode.TUNED, "our-adapter"),
    ]  # fmt: skip
    assert all(one.unfinished for one in turn.answers)
    threads.keep(first, "Ten", ANSWER.passages)
    kept = threads.get(thread, ann).turns[0].answers[0]
    assert (kept.answer.text, kept.answer.passages) == ("Ten", ANSWER.passages)
    assert threads.history(thread, AnswerMode.RAG, ann) == []
    threads.discard([second])
    threads.finish(first, ANSWER)
    threads.discard([first])
    (turn,) = threads.get(thread, ann).turns
    assert [(one.id, one.answer, one.unfinished) for one in turn.answers] == [
        (first, ANSWER, False)
    ]
    assert len(threads.history(thread, ANSWER.mode, ann)) == 2


def test_asking_again_takes_the_place_of_what_was_interrupted_and_of_nothing_else(
    home: Home, ann: Account
) -> None:
    threads = Conversations(home.database)
    thread = threads.create(ann).id
    asked = [Answer("", ANSWER.mode, (), (), None)]
    (left,) = threads.begin(thread, "Who?", asked)
    (again,) = threads.begin(thread, "Who?", asked)
    with pytest.raises(NotFound, match="asked again"):
        threads.finish(left, ANSWER)
    threads.finish(again, ANSWER)
    (third,) = threads.begin(thread, "Who?", asked)
    turns = threads.get(thread, ann).turns
    assert [[one.id for one in turn.answers] for turn in turns] == [[again], [third]]


def test_deleting_leaves_nothing(home: Home, ann: Account) -> None:
    threads, feedback = Conversations(home.database), Feedback(home.database)
    thread = threads.create(ann).id
    feedback.rate(answered(threads, thread, "One?", ANSWER), ann, 1, "good")
    threads.delete(thread, ann)
    with home.database.session() as session:
        for table in (TurnRow, AnswerRow, FeedbackRow):
            assert session.scalar(select(func.count()).select_from(table)) == 0
    with pytest.raises(NotFound):
        answered(threads, thread, "Two?", ANSWER)


def test_ratings_change_and_can_be_taken_back(home: Home, ann: Account) -> None:
    threads, feedback = Conversations(home.database), Feedback(home.database)
    root = account(home, "root", Role.ADMIN)
    thread = threads.create(ann).id
    answer_id = answered(threads, thread, "One?", ANSWER)
    for rating in (1, -1):
        feedback.rate(answer_id, ann, rating, "because")
        assert threads.get(thread, ann).turns[0].answers[0].rating == rating
    (rated,) = feedback.list(root)
    assert (rated.account, rated.rating, rated.comment) == ("ann", -1, "because")
    assert (rated.question, rated.text, rated.mode) == ("One?", ANSWER.text, "rag")
    assert (rated.passages, rated.cited, rated.asked_as) == ((PASSAGE,), (1,), "q")
    with pytest.raises(PermissionDenied):
        feedback.list(ann)
    feedback.rate(answer_id, ann, 0)
    assert feedback.list(root) == []
    with pytest.raises(InvalidInput, match="not 5"):
        feedback.rate(answer_id, ann, 5)
    with pytest.raises(InvalidInput, match="2,001"):
        feedback.rate(answer_id, ann, 1, "x" * 2001)


def test_titles_are_cut_between_words() -> None:
    assert title_from("Short one?") == "Short one?"
    long = title_from("word " * 40)
    assert len(long) <= 60
    assert long.endswith("word…")
