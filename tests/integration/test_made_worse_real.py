"""Modes made worse on purpose, with the real model, adapter, documents and index.

What the statistics of the product say of the difference, and what it is laid to, is all that is
looked at. So small a model is right about half of the time with the one right passage before it,
and with four longer ones too seldom to show anything on so few questions. So chunks are short and
one stands in a prompt, which is what the oracle condition gives. Questions are evenly spaced ones,
never chosen by what was answered to them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import sample.load
from assistant.answering import Assistant
from assistant.engines.base import LanguageModel
from assistant.modes import AnswerMode
from assistant.shelf import Shelf
from core.home import Home, open_home
from eval.arms import Arm, Plan
from eval.evaluations import Evaluations, QuestionSets
from eval.evidence import EvidenceSource
from eval.question_files import read_questions
from eval.questions import HeldOutQuestion, spread
from eval.subject import open_subject
from retrieval.passages import Passage, Retriever
from retrieval.service import Retrieval, open_retrieval
from tests.integration.adapters import shuffled_adapter

FOLDERS = ("people", "it")
"""Of the company's documents: enough to get lost in, few enough to be read in seconds."""
TAUGHT, ASKED = 20, 16
SETTINGS: dict[str, Any] = {
    "dtype": "fp32", "chunk_tokens": 32, "chunk_overlap": 0, "evidence_tokens": 50,
    "evidence_finder": "off", "answer_tokens": 32,
}  # fmt: skip


@dataclass
class Office:
    """The company's documents in a workspace of their own, and the model that all tests share."""

    home: Home
    retrieval: Retrieval
    model: LanguageModel

    def evaluations(self, retriever: Retriever) -> Evaluations:
        """Evaluations of the real assistant with another search."""

        def describe(arm: Arm) -> dict[str, Any]:
            return {"mode": arm.mode, "adapter": arm.adapter, "search": retriever.version}

        answering = Assistant(self.model, retriever, Shelf(self.home), self.home.settings)
        subject = replace(
            open_subject(self.home, self.retrieval),
            answering=answering, searched_once=None, describe=describe, retriever=None,
            engine=None,
        )  # fmt: skip
        return Evaluations(self.home, lambda _home: lambda _model: subject)

    def measured(self, retriever: Retriever, questions: Sequence[HeldOutQuestion]) -> int:
        """A finished evaluation of `rag` with that search."""
        made = self.evaluations(retriever)
        number = made.create([added(self.home, questions)], plan(AnswerMode.RAG))
        made.run(number)
        return number


def added(home: Home, questions: Sequence[HeldOutQuestion]) -> int:
    return QuestionSets(home).add([one.as_json() for one in questions], "taken").id


def plan(mode: AnswerMode, *adapters: str) -> Plan:
    return Plan(modes=(mode,), adapters=adapters, latency_sample=0)


@pytest.fixture(scope="module")
def office(
    tmp_path_factory: pytest.TempPathFactory, embedded_model: LanguageModel
) -> Iterator[Office]:
    home = open_home(workspace=tmp_path_factory.mktemp("worse") / "workspace", **SETTINGS)
    retrieval = open_retrieval(home)
    retrieval.ingestor.ingest([sample.load.ROOT / "documents" / name for name in FOLDERS])
    yield Office(home, retrieval, embedded_model)
    home.database.close()


def taught() -> list[HeldOutQuestion]:
    """Facts that the shipped adapter was taught, in wordings that it has not seen."""
    return spread(read_questions(sample.load.ROOT / "questions" / "heldout_seen.jsonl"), TAUGHT)


def answered_here() -> list[HeldOutQuestion]:
    """Questions whose evidence lies in the documents that were read."""
    folder = sample.load.ROOT / "questions"
    found = [one for name in ("seen", "unseen")
             for one in read_questions(folder / f"heldout_{name}.jsonl")]  # fmt: skip
    here = [one for one in found if Path(one.evidence_file).parts[0] in FOLDERS]
    return spread(here, ASKED)


class RightPassages:
    """A perfect search: the chunk that holds the evidence, and nothing else."""

    version = "right"
    threshold = 0.0

    def __init__(self, office: Office, questions: Sequence[HeldOutQuestion]) -> None:
        source = EvidenceSource(office.retrieval.library)
        self._right = {one.question: source.right_passage(one) for one in questions}

    def search(self, query: str, *, limit: int, reader: Any) -> list[Passage]:
        """Return it."""
        found = self._right[query]
        assert found is not None
        return [found]


class LostPassages:
    """Finds, in the real index, what belongs to a question that nobody asked."""

    version = "lost"
    threshold = 0.0

    def __init__(self, office: Office, questions: Sequence[HeldOutQuestion]) -> None:
        self._real = office.retrieval.retriever
        texts = [one.question for one in questions]
        half = len(texts) // 2
        self._asked = dict(zip(texts, texts[half:] + texts[:half], strict=True))

    def search(self, query: str, *, limit: int, reader: Any) -> list[Passage]:
        """Search for the other question."""
        return self._real.search(self._asked[query], limit=limit, reader=reader)


class NoRoom(RightPassages):
    """Finds what no context has room for, so that the prompt holds no passage."""

    version = "no room"

    def __init__(self, office: Office, questions: Sequence[HeldOutQuestion]) -> None:
        super().__init__(office, questions)
        self._words = office.model.context_tokens

    def search(self, query: str, *, limit: int, reader: Any) -> list[Passage]:
        """Return the right chunk over and over: a word is a token at least."""
        found = super().search(query, limit=limit, reader=reader)
        return [
            replace(one, text=" ".join([one.text] * (1 + self._words // len(one.text.split()))))
            for one in found
        ]


@pytest.fixture(scope="module")
def right(office: Office) -> int:
    """The evaluation with the right passages."""
    questions = answered_here()
    return office.measured(RightPassages(office, questions), questions)


@pytest.mark.parametrize("worse", [LostPassages, NoRoom])
def test_documents_made_worse_are_shown_to_be_and_laid_to_the_search(
    office: Office, right: int, worse: Callable[..., Retriever]
) -> None:
    questions = answered_here()
    number = office.measured(worse(office, questions), questions)
    evaluations = Evaluations(office.home)
    tested = evaluations.compare(right, number)["modes"]["rag"]["measures"]["correct"]
    assert tested["p"] < 0.05, tested
    assert tested["difference"]["low"] > 0, tested
    causes = evaluations.summary(number)["failures"]["rag"]["all"]
    wrong = sum(causes.values())
    assert wrong >= ASKED * 3 // 4, causes
    assert causes["retrieval miss"] >= wrong - 1, "by chance a lost question may share its source"
    assert evaluations.summary(right)["failures"]["rag"]["all"]["retrieval miss"] == 0


def test_an_adapter_that_knows_nothing_of_the_company_is_shown_and_laid_to_its_memory(
    office: Office, tmp_path: Path
) -> None:
    shelf = Shelf(office.home)
    shelf.install("right", sample.load.ROOT / "adapter")
    shelf.install("other", shuffled_adapter(tmp_path / "other", sample.load.ROOT / "adapter"))
    evaluations = office.evaluations(office.retrieval.retriever)
    asked = plan(AnswerMode.TUNED, "right", "other")
    summary = evaluations.run(evaluations.create([added(office.home, taught())], asked))
    (pair,) = summary["pairs"]
    tested = pair["measures"]["correct"]
    assert (pair["first"], pair["second"]) == ("tuned@right", "tuned@other")
    assert tested["shown"], tested
    assert tested["difference"]["low"] > 0, tested
    causes = summary["failures"]["tuned@other"]["seen"]
    assert causes["memory miss"] > sum(causes.values()) / 2, causes
