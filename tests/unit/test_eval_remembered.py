"""An evaluation searches once for what two modes ask, and says what each would cost alone."""

from assistant.answering import Assistant
from assistant.modes import AnswerMode
from assistant.shelf import Shelf
from core.database import now
from core.home import Home
from core.permissions import OPERATOR, Reader
from core.progress import Silent
from eval.arms import Plan
from eval.questions import HeldOutQuestion, Kind
from eval.records import Records
from eval.remembered import ROOM, remembered
from eval.runner import Runner, SearchedOnce, Subject, prepare
from retrieval.passages import Passage, Quoter
from tests.fakes import HashingEmbedder, ListRetriever, ScriptedModel
from tests.unit.adapters import put_adapter

LEAVE = Passage(1, 1, "leave.md", "Leave", "", "Employees get 28 days of leave.", 0.8)


class CountingRetriever(ListRetriever):
    """Remembers what it was asked."""

    def __init__(self, passages: list[Passage]) -> None:
        super().__init__(passages)
        self.asked: list[tuple[str, int, Reader]] = []

    def search(self, query: str, *, limit: int, reader: Reader) -> list[Passage]:
        self.asked.append((query, limit, reader))
        return super().search(query, limit=limit, reader=reader)


class QuotingRetriever(CountingRetriever):
    """Also judges sentences."""

    def best_sentences(self, question: str, passages: object, count: int) -> list[tuple[int, str]]:
        return [(0, LEAVE.text)][:count]


def test_the_second_search_is_the_first_and_its_time_is_told() -> None:
    inner = CountingRetriever([LEAVE])
    once = remembered(inner)
    assert once.search("days of leave", limit=4, reader=OPERATOR) == [LEAVE]
    assert once.saved_s("days of leave") == 0.0
    assert once.search("days of leave", limit=4, reader=OPERATOR) == [LEAVE]
    assert once.saved_s("days of leave") > 0.0
    assert len(inner.asked) == 1
    assert (once.version, once.threshold) == (inner.version, inner.threshold)
    assert once.saved_s(None) == once.saved_s("something else") == 0.0


def test_nothing_is_remembered_for_others_for_more_or_for_other_documents() -> None:
    inner = CountingRetriever([LEAVE])
    once = remembered(inner)
    once.search("days of leave", limit=4, reader=OPERATOR)
    once.search("days of leave", limit=4, reader=Reader())
    once.search("days of leave", limit=9, reader=OPERATOR)
    inner.version = "2"
    once.search("days of leave", limit=4, reader=OPERATOR)
    assert len(inner.asked) == 4
    assert once.saved_s("days of leave") == 0.0


def test_the_oldest_are_forgotten() -> None:
    inner = CountingRetriever([LEAVE])
    once = remembered(inner)
    for number in range(ROOM + 1):
        once.search(f"leave {number}", limit=4, reader=OPERATOR)
    once.search(f"leave {ROOM}", limit=4, reader=OPERATOR)
    assert len(inner.asked) == ROOM + 1
    once.search("leave 0", limit=4, reader=OPERATOR)
    assert len(inner.asked) == ROOM + 2


def test_it_quotes_if_what_it_remembers_for_does() -> None:
    plain, quoting = remembered(CountingRetriever([LEAVE])), remembered(QuotingRetriever([LEAVE]))
    assert not isinstance(plain, Quoter)
    assert isinstance(quoting, Quoter)
    assert quoting.best_sentences("leave", [LEAVE], 1) == [(0, LEAVE.text)]


def test_both_modes_with_documents_are_charged_for_the_one_search(home: Home) -> None:
    put_adapter(home, "house")
    inner, shelf = CountingRetriever([LEAVE]), Shelf(home)
    once = remembered(inner)
    alone, twice = (
        Assistant(ScriptedModel(), each, shelf, home.settings) for each in (inner, once)
    )
    subject = Subject(
        alone,
        lambda arm: {"mode": arm.mode.value},
        HashingEmbedder().embed,
        lambda _: None,
        lambda _: None,
        searched_once=SearchedOnce(twice, once),
    )
    records = Records(home.database)
    runner = Runner(records, lambda _: subject, Silent(), now())
    asked = [HeldOutQuestion("1", "f", "How many days of leave?", "28", ("28",), Kind.SEEN)]
    modes = (AnswerMode.RAG, AnswerMode.TUNED_RAG)
    plan = Plan(modes, ("house",), latency_sample=0)
    arms = prepare(plan, asked, lambda _: subject)
    runner.run(plan, asked, arms)
    assert len(inner.asked) == 1
    first, second = (records.answers(arm.hash, arm.question_hashes) for arm in arms)
    (rag,), (both,) = (
        [stored.answer for stored in answers.values()] for answers in (first, second)
    )
    assert rag is not None
    assert both is not None
    assert rag["passages"] == both["passages"] != []
    found = next(iter(once._found.values()))[1]
    assert both["timing"]["search_s"] >= found
    assert both["timing"]["total_s"] >= found
    runner.run(Plan(modes, ("house",), latency_sample=1), asked, arms)
    assert len(inner.asked) == 3, "answers that are timed search anew"
