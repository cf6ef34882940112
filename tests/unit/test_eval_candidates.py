"""Proposed questions: what feedback proposes, and what a person's decision does."""

from datetime import UTC, datetime
from typing import Any

import pytest

from assistant.conversations import Conversations
from assistant.feedback import Feedback, Rated
from assistant.modes import Answer, AnswerMode
from core.accounts import Accounts
from core.database import now
from core.errors import Conflict, DatasetError, NotFound, PermissionDenied
from core.home import Home
from core.permissions import Account, Role
from eval.candidates import Candidates, Proposal, Source, State, key_of
from eval.from_feedback import collect, from_ratings, supporting_sentence
from eval.near import Wordings
from eval.question_sets import QuestionSets
from eval.questions import ColumnError
from retrieval.library import Library
from retrieval.passages import Passage
from retrieval.tables import DocumentRow
from tests.conversing import answered

NOTHING = Wordings([])


def account(home: Home, name: str, role: Role) -> Account:
    made = Accounts(home.database, home.settings).create(name, "seven quiet lamps at noon", role)
    return Account(made.id, made.name, made.role)


LEAVE = Passage(
    7, 3, "hr/leave.md", "Leave", "", "Ask early. Everybody gets 27 days of leave a year.", 0.9
)
OTHER = Passage(8, 4, "hr/pay.md", "Pay", "", "Pay day is the 25th of the month.", 0.8)
ROW = {"question": "How many days of leave are there?", "answer": "27 days.", "kind": "unseen"}


def rated(**changes: Any) -> Rated:
    values: dict[str, Any] = {
        "answer_id": 1, "account": "anna", "rating": 1, "comment": "",
        "question": "How much leave do I get?", "text": "You get 27 days of leave a year [2].",
        "mode": "rag", "adapter": None, "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "passages": (OTHER, LEAVE), "cited": (2,), "asked_as": "",
    }  # fmt: skip
    return Rated(**{**values, **changes})


def proposal(question: str = ROW["question"], **row: Any) -> Proposal:
    return Proposal(
        Source.DOCUMENTS, key_of(Source.DOCUMENTS, question), {**ROW, "question": question, **row}
    )


def test_a_good_answer_becomes_a_question_with_its_evidence() -> None:
    row = from_ratings([rated()], NOTHING)[0].row
    assert row == {
        "question": "How much leave do I get?", "kind": "unseen",
        "answer": "You get 27 days of leave a year.", "short_answers": ["27"],
        "evidence_file": "hr/leave.md",
        "evidence_quote": "Everybody gets 27 days of leave a year.",
    }  # fmt: skip


def test_a_bad_answer_proposes_the_question_alone_and_shows_what_was_said() -> None:
    found = from_ratings([rated(rating=-1, comment="It is 30, ask anna@x.example")], NOTHING)[0]
    assert found.row == {"question": "How much leave do I get?", "kind": "unseen"}
    assert found.about["comment"] == "It is 30, ask [e-mail address removed]"
    assert [source["cited"] for source in found.about["sources"]] == [False, True]


def test_a_refusal_that_was_right_becomes_an_unanswerable_question() -> None:
    assert from_ratings([rated(text="I don't know.")], NOTHING)[0].row["kind"] == "unanswerable"


def test_personal_data_is_masked_everywhere() -> None:
    found = from_ratings(
        [rated(question="I am on +49 30 1234567, how much leave?", text="27 days, bo@x.example.",
               asked_as="leave of bo@x.example")],
        NOTHING,
    )[0]  # fmt: skip
    assert found.row["question"] == "I am on [phone number removed], how much leave?"
    told = {key: value for key, value in found.about.items() if key != "sources"}
    assert "x.example" not in f"{found.row} {told}"


def test_the_best_rated_answer_of_one_question_is_proposed() -> None:
    bad = rated(answer_id=5, rating=-1, question="how much LEAVE do i get")
    found = from_ratings([bad, rated()], NOTHING)
    assert [one.about["answer_id"] for one in found] == [1]


@pytest.mark.parametrize("question", ["", "???", "x " * 600])
def test_what_is_no_question_is_not_proposed(question: str) -> None:
    assert from_ratings([rated(question=question)], NOTHING) == []


def test_what_is_asked_already_is_not_proposed() -> None:
    assert from_ratings([rated()], Wordings(["How much leave do I get?"])) == []


def test_evidence_that_does_not_carry_the_answer_is_not_claimed() -> None:
    assert supporting_sentence("The logo is green with stripes.", [LEAVE, OTHER]) is None
    row = from_ratings([rated(text="The logo is green [1].", cited=(1,))], NOTHING)[0].row
    assert "evidence_file" not in row


def test_an_accepted_proposal_enters_a_new_or_known_set(home: Home) -> None:
    candidates, sets = Candidates(home), QuestionSets(home)
    assert candidates.add([proposal(), proposal(), proposal("Who signs?", answer="Anna.")]) == 2
    first, second = candidates.waiting()
    made = candidates.accept(first.id, {**ROW, "question": "How long is leave?"}, "people",
                             author="anna")  # fmt: skip
    assert (made.number, made.questions[0].id, made.author) == (1, "q1", "anna")
    grown = candidates.accept(second.id, second.row, "people", author="bo")
    assert (grown.number, [q.question for q in grown.questions]) == (
        2, ["How long is leave?", "Who signs?"])  # fmt: skip
    assert candidates.waiting() == []
    assert len(sets.versions("people")) == 2


def test_a_refused_proposal_is_forgotten_and_does_not_come_back(home: Home) -> None:
    candidates = Candidates(home)
    candidates.add([proposal()], job_id=4)
    one = candidates.waiting()[0]
    candidates.refuse(one.id, author="anna")
    assert candidates.add([proposal()]) == 0
    kept = candidates.of_job(4)[0]
    assert (kept.state, kept.row, kept.about) == (State.REFUSED, {}, {})
    with pytest.raises(Conflict, match="refused by 'anna' meanwhile"):
        candidates.refuse(one.id)
    with pytest.raises(Conflict, match="refused by 'anna' meanwhile"):
        candidates.accept(one.id, ROW, "people")
    assert QuestionSets(home).list() == []


def test_a_proposal_that_cannot_be_stored_waits_on(home: Home) -> None:
    candidates, sets = Candidates(home), QuestionSets(home)
    sets.add([ROW], "people")
    candidates.add([proposal("How many are there?")])
    one = candidates.waiting()[0]
    with pytest.raises(ColumnError, match="has no answer"):
        candidates.accept(one.id, {"question": "How many are there?", "kind": "seen"}, "people")
    with pytest.raises(DatasetError, match="the same question as"):
        candidates.accept(one.id, ROW, "people")
    assert [waiting.id for waiting in candidates.waiting()] == [one.id]
    assert len(sets.versions("people")) == 1


def test_a_deleted_conversation_takes_its_proposal_with_it(home: Home) -> None:
    candidates = Candidates(home)
    candidates.add(from_ratings([rated(), rated(answer_id=2, question="Who pays?")], NOTHING))
    candidates.add([proposal()])
    assert candidates.withdraw([2]) == 1
    assert [one.source for one in candidates.waiting()] == [Source.FEEDBACK, Source.DOCUMENTS]
    with pytest.raises(NotFound, match="conversation was deleted"):
        candidates.get(1)


def test_ratings_are_collected_once_and_leave_with_their_conversation(home: Home) -> None:
    threads, feedback = Conversations(home.database), Feedback(home.database)
    candidates = Candidates(home)
    boss, anna = account(home, "boss", Role.ADMIN), account(home, "anna", Role.EMPLOYEE)
    thread = threads.create(anna).id
    answer = Answer("You get 27 days of leave a year [1].", AnswerMode.RAG, (LEAVE,), (1,), None,
                    {"query": "How much leave?"})  # fmt: skip
    answer_id = answered(threads, thread, "How much leave do I get?", answer)
    assert collect(feedback, candidates, boss) == 0
    feedback.rate(answer_id, anna, 1)
    assert collect(feedback, candidates, boss) == 1
    assert collect(feedback, candidates, boss) == 0
    one = candidates.waiting(Source.FEEDBACK)[0]
    assert one.row["evidence_quote"] == "Everybody gets 27 days of leave a year."
    assert one.about["asked_as"] == "How much leave?"
    with pytest.raises(PermissionDenied):
        collect(feedback, candidates, anna)
    threads.delete(thread, anna)
    assert collect(feedback, candidates, boss) == 0
    assert candidates.waiting() == []


def test_proposals_are_forgotten_with_the_document_that_they_quote(home: Home) -> None:
    candidates, library = Candidates(home), Library(home.database, home.workspace)
    with home.database.session() as session:
        session.add(
            DocumentRow(
                id=9, identity="9", collection="",
                path="a.md", title="A", media_type="", size=1, sha256="", recipe="",
                embedder="", chunk_count=0, ingested_at=now(),
            )
        )  # fmt: skip
    from_chat: dict[str, Any] = {"sources": [{"document": 9}, {"document": 8}]}
    for number, about in enumerate((from_chat, {"document": 9})):
        candidates.add([Proposal(Source.DOCUMENTS, f"k{number}", {"question": "Q?"}, about)])
    candidates.add([Proposal(Source.DOCUMENTS, "other", {"question": "O?"}, {"document": 8})])
    assert len(candidates.waiting()) == 3
    library.delete([9])
    with pytest.raises(NotFound, match="document, rating or conversation was deleted"):
        candidates.get(1)
    assert [one.key for one in candidates.waiting()] == ["other"]


def test_what_waits_and_what_is_stored_counts_as_asked(home: Home) -> None:
    candidates = Candidates(home)
    QuestionSets(home).add([ROW], "people")
    candidates.add([proposal("Who waters the plants?")])
    asked = candidates.asked_wordings()
    assert asked.nearest("who waters the plants") is not None
    assert asked.nearest("How many days of leave are there?") is not None
    assert asked.nearest("Where is the office?") is None
