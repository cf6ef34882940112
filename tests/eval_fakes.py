"""A stand-in for the assistant, and evaluations built on it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistant.answering import Question
from assistant.engines.base import never
from assistant.modes import Answer, AnswerEvent, AnswerFinished, Timing
from core.home import Home
from eval.arms import Arm
from eval.evaluations import Evaluations
from eval.questions import HeldOutQuestion
from eval.runner import Subject
from retrieval.passages import Passage, Retriever
from tests.fakes import HashingEmbedder


@dataclass
class ScriptedAssistant:
    """Answers by a function of the question; searches a retriever in modes that do.

    `fails` names questions whose batch raises, as an engine out of memory does.
    """

    reply: Callable[[Question, list[Passage]], str]
    retriever: Retriever | None = None
    fails: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    def answer_batch(
        self, questions: Sequence[Question], cancelled: Callable[[], bool] = never
    ) -> list[Answer]:
        """Answer all, or raise if one of them is among `fails`."""
        for question in questions:
            if question.text in self.fails:
                raise RuntimeError("out of memory")
        return [self._answer(question) for question in questions]

    def answer(self, question: Question) -> Iterator[AnswerEvent]:
        """Yield the finished answer."""
        yield AnswerFinished(self.answer_batch([question])[0])

    def _answer(self, question: Question) -> Answer:
        self.asked.append(f"{question.mode.value}: {question.text}")
        passages: list[Passage] = []
        if question.mode.uses_retrieval:
            if question.passages_override is not None:
                passages = list(question.passages_override)
            elif self.retriever is not None:
                passages = self.retriever.search(question.text, limit=4, reader=question.reader)
        text = self.reply(question, passages)
        cited = tuple(n for n in range(1, len(passages) + 1) if f"[{n}]" in text)
        timing = Timing(0.1, 0.2, 0.2 + len(self.asked) / 1000, 100, len(text.split()))
        return Answer(
            text, question.mode, tuple(passages), cited, question.adapter,
            {"mean_logprob": -0.1 * len(text.split())}, timing,
        )  # fmt: skip


FACTS = [f"Rule {n}: the limit of form{n} is {n + 100} euros." for n in range(40)]


def passage(number: int, text: str) -> Passage:
    """A chunk of a document of its own."""
    return Passage(number, number, f"rules/{number}.md", f"Rule {number}", "", text, 0.9)


class TopicRetriever:
    """Finds the rule of the form that the query names."""

    version = "1"
    threshold = 0.0

    def search(self, query: str, *, limit: int, reader: Any) -> list[Passage]:
        """Return the rule, then its neighbours."""
        found = [n for n in range(len(FACTS)) if f"form{n} " in f"{query} "]
        return [passage(n, FACTS[n]) for one in found for n in (one, one + 1) if n < len(FACTS)]


class RandomRetriever(TopicRetriever):
    """Finds rules of other forms only: a retriever made worse on purpose."""

    def search(self, query: str, *, limit: int, reader: Any) -> list[Passage]:
        """Return rules far from the right one."""
        right = super().search(query, limit=limit, reader=reader)
        return [passage(n, FACTS[n]) for n in ((p.chunk_id + 17) % len(FACTS) for p in right)]


def rows(count: int = 40, unanswerable: int = 10) -> list[dict[str, Any]]:
    """A question set: two wordings of each of `count` / 2 facts, then unanswerable ones."""
    found: list[dict[str, Any]] = []
    for n in range(count // 2):
        for wording in ("What is the limit of form{} now?", "Say how high form{} may be today"):
            found.append({
                "id": f"q{len(found)}", "fact_id": f"f{n}", "question": wording.format(n),
                "answer": f"The limit is {n + 100} euros.", "short_answers": [str(n + 100)],
                "evidence_file": f"rules/{n}.md", "evidence_quote": FACTS[n],
                "kind": "seen" if n % 2 else "unseen", "tags": ["money"] if n < 5 else [],
            })  # fmt: skip
    for n in range(unanswerable):
        found.append({"id": f"n{n}", "question": f"Who wrote rule {n}, and why then?",
                      "kind": "unanswerable", "why": "No author is named."})  # fmt: skip
    return found


def read_well(question: Question, passages: list[Passage]) -> str:
    """Reads the first passage; remembers odd rules when tuned; else makes something up."""
    named = next((n for n in range(len(FACTS)) if f"form{n} " in f"{question.text} "), None)
    if passages and named is not None and f"form{named} " in passages[0].text:
        return f"The limit is {named + 100} euros [1]."
    if named is not None and question.mode.uses_adapter and named % 2:
        return f"The limit is {named + 100} euros."
    if named is not None and not question.mode.uses_retrieval:
        return "It is 7 in the usual case."
    return "I don't know."


def subject(assistant: ScriptedAssistant, **facts: Any) -> Subject:
    """An engine with the forty rules; `facts` change its configuration."""

    def describe(arm: Arm) -> dict[str, Any]:
        return {"mode": arm.mode.value, "adapter": arm.adapter, "oracle": arm.oracle, **facts}

    def right(question: HeldOutQuestion) -> Passage | None:
        quote = question.evidence_quote
        return passage(FACTS.index(quote), quote) if quote else None

    return Subject(
        assistant, describe, HashingEmbedder().embed, right,
        lambda path: "\n".join(FACTS) if path else None,
    )  # fmt: skip


def evaluations(home: Home, assistant: ScriptedAssistant, **facts: Any) -> Evaluations:
    """Evaluations that measure `assistant`."""
    return Evaluations(home, lambda _home: lambda _model: subject(assistant, **facts))


def good_assistant() -> ScriptedAssistant:
    """Reads what its retriever finds."""
    return ScriptedAssistant(read_well, TopicRetriever())
