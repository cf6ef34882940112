"""Questions from documents: which sentences, which words, what is dropped, going on."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from core.errors import InvalidInput, NotFound, Stopped
from core.home import Home
from core.permissions import OPERATOR
from core.progress import Silent
from eval.candidates import Candidates
from eval.drafting import Drafter, Tally, objection, proposal_of, spread_spots, tidy
from eval.drafts import DraftPlan, Drafts
from eval.facts import FactKind, find_facts
from eval.near import Wordings
from eval.question_sets import QuestionSets
from eval.spots import Spot, spots
from eval.tables import DraftRow
from eval.templates import question_of
from retrieval.library import Chunk, Document
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder, ScriptedModel

NOTHING = Wordings([])
DOCUMENT = Document(1, "hr/leave.md", "Leave", "text/markdown", 1, 1, frozenset(), "",
                    datetime(2026, 1, 1, tzinfo=UTC))  # fmt: skip


def found(text: str, location: str = "Leave") -> list[Spot]:
    return list(spots(DOCUMENT, [Chunk(1, 0, location, text)]))


def only(text: str, location: str = "Leave") -> Spot:
    one = found(text, location)
    assert len(one) == 1
    return one[0]


@pytest.mark.parametrize(("sentence", "kind", "text"), [
    ("It costs $1,500.50 a year.", FactKind.MONEY, "$1,500.50"),
    ("About 75% of it is paid.", FactKind.SHARE, "75%"),
    ("It opens at 7:30 daily.", FactKind.TIME, "7:30"),
    ("It ends on March 3, 2024 for all.", FactKind.DATE, "March 3, 2024"),
    ("Wait two to three business days.", FactKind.DURATION, "two to three business days"),
    ("Twelve employees are enough.", FactKind.COUNT, "Twelve employees"),
    ("Ask in #people-ops first.", FactKind.CHANNEL, "#people-ops"),
    ("Write to help@asdfg.example now.", FactKind.ADDRESS, "help@asdfg.example"),
])  # fmt: skip
def test_concrete_facts_are_found(sentence: str, kind: FactKind, text: str) -> None:
    fact = find_facts(sentence)[0]
    assert (fact.kind, fact.text) == (kind, text)
    assert sentence[fact.start : fact.end] == text


@pytest.mark.parametrize("sentence", [
    "It must be handed in within 30 days of the event by you.",
    "Leave | 27 days | a year for all employees of the firm.",
    "Do employees really get 27 days of leave in a year?",
    "Employees get 27 days of leave as the table above says.",
    "27 days of leave",
    "I got 27 days of leave when I joined the company here.",
])  # fmt: skip
def test_sentences_that_need_their_neighbours_are_left_alone(sentence: str) -> None:
    assert found(sentence) == []


@pytest.mark.parametrize(("sentence", "question"), [
    ("Employees can use up to 8 hours of sick leave in a week.",
     "Up to how many hours of sick leave can employees use in a week?"),
    ("New employees must hand in the leave form within 30 days of their first day.",
     "Within how many days of their first day must new employees hand in the leave form?"),
    ("Note that your leave expires one year after it is earned.",
     "How many years after it is earned does your leave expire?"),
    ("You can carry over a maximum of 15 days of leave into the next year.",
     "How many days of leave at most can you carry over into the next year?"),
    ("If you need leave at short notice, post in #people-ops on Slack.",
     "If you need leave at short notice, in which Slack channel should you post?"),
    ("The leave office opens at 7:30 on weekdays in summer.",
     "At what time does the leave office open on weekdays in summer?"),
    ("All leave requests are reviewed by 3 people in the leave team.",
     "By how many people are all leave requests reviewed in the leave team?"),
])  # fmt: skip
def test_a_plain_sentence_is_turned_into_its_question(sentence: str, question: str) -> None:
    assert question_of(only(sentence)) == question


def test_the_heading_is_named_where_the_question_does_not_say_what_it_is_about() -> None:
    spot = only("You can carry over a maximum of 15 days into the next year.", "Time off > Leave")
    assert question_of(spot) == (
        "Regarding Leave: how many days at most can you carry over into the next year?"
    )


@pytest.mark.parametrize("sentence", [
    "Employees who joined before and have 3 children can ask for more leave.",
    "Leave that was not taken for 2 years and is not paid out is lost to everybody.",
])  # fmt: skip
def test_a_winding_sentence_gets_no_question_by_rule(sentence: str) -> None:
    assert [question_of(spot) for spot in found(sentence)] in ([None], [])


SPOT = only("Employees receive 16 weeks of paid leave after the birth of a child.", "Parents")
GOOD = "How many weeks of paid leave do employees receive after the birth of a child?"


@pytest.mark.parametrize(("question", "reason"), [
    (GOOD, ""),
    ("Employees receive 16 weeks of paid leave.", "not a question"),
    ("How many weeks?", "too short or too long"),
    ("Do employees receive 16 weeks or how many weeks of paid leave?", "gives its answer away"),
    ("Who receives paid leave after the birth of a child?", "asks for another sort of answer"),
    ("How many days of paid leave do employees receive after birth?",
     "asks for another sort of answer"),
    ("How many weeks of paid leave do employees receive after this?",
     "points at something unnamed"),
    ("How many weeks do managers in Paris request vacations from Berlin customers?",
     "says what the sentence does not"),
    ("Answer: how many weeks of paid leave do employees receive?", "leftovers of the prompt"),
    ("How many weeks are there for parents?", "hardly about the sentence"),
])  # fmt: skip
def test_a_question_is_dropped_for_a_reason(question: str, reason: str) -> None:
    assert objection(question, SPOT, NOTHING) == reason


def test_a_question_that_is_asked_already_is_dropped() -> None:
    assert objection(GOOD, SPOT, Wordings([GOOD.lower()])) == "asked already"


@pytest.mark.parametrize(("said", "question"), [
    ("\n Question: How many?  Because.\nMore?", "How many?"),
    ("- What is it?", "What is it?"),
    ("No idea.", "No idea."),
    ("", ""),
])  # fmt: skip
def test_what_a_model_says_is_tidied(said: str, question: str) -> None:
    assert tidy(said) == question


HARD = "Among the parents, whoever asks gets paid leave, namely 16 weeks, after a birth."


def test_a_model_is_asked_where_no_rule_fits() -> None:
    spot = only(HARD, "Parents")
    assert question_of(spot) is None
    good = "How many weeks of paid leave does whoever asks get after a birth?"
    second = ScriptedModel(lambda text, _: "Nonsense.")
    second.reply = lambda text, _: good if len(second.seen) > 1 else "Nonsense."
    tally = Tally()
    draft = Drafter(second, NOTHING).draft([spot], tally)[0]
    assert (draft.question, draft.made_by) == (good, "model")
    assert len(second.seen) == 2
    bad = Tally()
    assert Drafter(ScriptedModel(lambda text, _: "16 weeks?"), NOTHING).draft([spot], bad) == []
    assert bad.as_json() == {"tried": 1, "survived": 0, "made_by": {},
                             "dropped": {"not a question": 1}}  # fmt: skip
    assert Drafter(None, NOTHING).draft([spot], bad) == []
    assert bad.dropped["no wording"] == 1


def test_a_draft_holds_its_evidence_word_for_word() -> None:
    text = (
        "Please note that **employees** of every department receive 16\nweeks of leave after the "
        "birth of a child."
    )
    spot = only(text)
    made = proposal_of(Drafter(None, NOTHING).draft([spot], Tally())[0])
    assert made.row["evidence_quote"] == text
    assert made.row["short_answers"] == ["16"]
    assert made.about["sentence"][made.about["start"] : made.about["end"]] == "16 weeks"


def test_documents_take_turns_and_plain_sentences_come_first() -> None:
    plain, hard = found("Employees can use 8 hours of sick leave in a week."), found(HARD)
    assert list(spread_spots([hard, plain * 2])) == [*plain * 2, *hard]


SENTENCES = {
    "desk": (
        "The company pays up to $400 for a chair at home.",
        "Broken screens must be reported within 2 days of the damage.",
        "You can borrow up to 3 keyboards from the front office.",
        "Visitors must leave the building by 6:30 on weekdays.",
    ),
    "leave": (
        "Parents receive 16 weeks of leave after the birth of a child.",
        "Employees can carry over at most 5 days into the next year.",
        "Sick notes must be sent to notes@asdfg.example on the first morning.",
        "Requests for unpaid leave are decided within 10 business days.",
    ),
    "travel": (
        "Train tickets should be booked at least 21 days before the trip.",
        "You can spend up to $75 on dinner in a foreign city.",
        "Receipts must be handed in by March 31 in the office of the travel team.",
        "Post questions about visas and passports in #travel-desk.",
    ),
}


@dataclass
class StopsAfter(Silent):
    """Asks to stop after some looks."""

    looks: int
    notes: list[str] = field(default_factory=list)

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        self.notes.append(f"{done:g}/{total:g} {note}")

    def stop_requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.fixture
def library(home: Home, tmp_path: Any) -> Home:
    folder = tmp_path / "documents"
    (folder / "hr").mkdir(parents=True)
    for name, sentences in SENTENCES.items():
        text = "\n\n".join(sentences)
        (folder / "hr" / f"{name}.md").write_text(f"# {name.title()}\n\n{text}\n", "utf-8")
    open_retrieval(home, HashingEmbedder()).ingestor.ingest([folder], progress=Silent())
    return home


def drafts(home: Home) -> Drafts:
    return Drafts(home, lambda _home: None)


def test_a_run_goes_on_after_a_stop_and_never_repeats_itself(library: Home) -> None:
    whole = drafts(library)
    with pytest.raises(Stopped, match="Stopped after 4 proposed questions; they stay"):
        whole.run(DraftPlan(count=8), StopsAfter(1), job_id=9)
    assert len(Candidates(library).of_job(9)) == 4
    progress = StopsAfter(99)
    result = whole.run(DraftPlan(count=8), progress, job_id=9)
    assert (result["survived"], result["tried"], result["left"]) == (8, 8, 4)
    assert len(Candidates(library).of_job(9)) == 8
    assert progress.notes[-1] == "8/8 8 sentences tried, 8 questions proposed"
    again = whole.run(DraftPlan(count=8), Silent(), job_id=10)
    assert (again["survived"], again["known"]) == (2, 8)
    assert again["dropped"] == {"no wording": 2}
    questions = [one.row["question"] for one in Candidates(library).waiting()]
    assert len(set(questions)) == len(questions) == 10


def test_what_was_proposed_just_before_a_kill_counts(library: Home) -> None:
    whole = drafts(library)
    with pytest.raises(Stopped):
        whole.run(DraftPlan(count=8), StopsAfter(1), job_id=9)
    with library.database.session() as session:
        session.execute(sa.delete(DraftRow))
    result = whole.run(DraftPlan(count=8), Silent(), job_id=9)
    assert (result["tried"], result["survived"], result["made_by"]) == (8, 8, {"rule": 8})
    assert len(Candidates(library).of_job(9)) == 8


def test_refused_sentences_and_asked_questions_are_passed_over(library: Home) -> None:
    whole, candidates = drafts(library), Candidates(library)
    whole.run(DraftPlan(count=2), Silent())
    first, second = candidates.waiting()
    candidates.refuse(first.id)
    candidates.accept(second.id, second.row, "people")
    result = whole.run(DraftPlan(count=500), Silent())
    assert (result["survived"], result["known"]) == (8, 2)
    wordings = [one.row["question"] for one in candidates.waiting()]
    assert QuestionSets(library).list()[0].questions[0].question not in wordings


def test_documents_are_named_by_path_folder_or_id(library: Home) -> None:
    whole = drafts(library)
    stored = {d.path: d.id for d in open_retrieval(library, HashingEmbedder()).library.documents(
        OPERATOR)}  # fmt: skip
    assert whole.named(["hr"]) == tuple(stored[path] for path in sorted(stored))
    assert whole.named(["leave.md", str(stored["hr/leave.md"])]) == (stored["hr/leave.md"],)
    with pytest.raises(NotFound, match="No document is named 'pay"):
        whole.named(["pay.md"])
    result = whole.run(DraftPlan(whole.named(["leave.md"]), 50), Silent())
    assert (result["tried"], result["survived"]) == (4, 4)
    assert {one.row["evidence_file"] for one in Candidates(library).waiting()} == {"hr/leave.md"}


def test_a_run_that_cannot_be_is_refused(home: Home) -> None:
    with pytest.raises(InvalidInput, match="Ask for 1 to 500"):
        drafts(home).run(DraftPlan(count=501), Silent())
    with pytest.raises(InvalidInput, match="holds no documents"):
        drafts(home).run(DraftPlan(), Silent())
    with pytest.raises(NotFound, match="no document 77"):
        drafts(home).run(DraftPlan((77,)), Silent())
