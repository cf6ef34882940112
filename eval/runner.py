"""Every arm answers every question, through the answering code that employees use.

Answers are committed batch by batch under the hash of their configuration, so that a stop or a
crash loses one batch at most and nothing finished is ever generated again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from assistant.answering import Question
from assistant.engines.base import LanguageModel, never
from assistant.modes import Answer, AnswerEvent, AnswerFinished
from core.errors import AdapterError, InhouseError, NotFound, Stopped
from core.permissions import OPERATOR
from core.progress import Progress
from eval.arms import Arm, Plan, digest
from eval.cost import MemoryWatch
from eval.questions import HeldOutQuestion, spread
from eval.records import Records, Result, StoredAnswer, answer_as_json
from eval.remembered import RememberedSearches
from retrieval.passages import Array, Passage, Retriever

ROW_FAULTS = (InhouseError, RuntimeError, ValueError, OSError, MemoryError)
"""What an engine may raise over one question without ending the evaluation."""
ARM_FAULTS = (Stopped, AdapterError, NotFound)
"""What ends it: no other question would fare better."""


class Answering(Protocol):
    """The part of `Assistant` that is measured."""

    def answer_batch(
        self, questions: Sequence[Question], cancelled: Callable[[], bool] = never
    ) -> list[Answer]:
        """Answer all, in order, as `answer` would under greedy decoding.

        Raises:
            Stopped: `cancelled()` turned true; none of them is answered.
        """

    def answer(self, question: Question) -> Iterator[AnswerEvent]:
        """Answer one as a person asks it."""


@dataclass(frozen=True)
class SearchedOnce:
    """The assistant over searches that are remembered."""

    answering: Answering
    searches: RememberedSearches


@dataclass(frozen=True)
class Subject:
    """One engine with the documents and adapters of an installation, ready to be asked."""

    answering: Answering
    """Answers as a person asks, every search made anew."""
    describe: Callable[[Arm], dict[str, Any]]
    """Everything an arm's answers depend on: model, hashes, versions, limits."""
    embed: Callable[[Sequence[str]], Array]
    right_passage: Callable[[HeldOutQuestion], Passage | None]
    """The chunk that holds the evidence, for the oracle condition."""
    text_of: Callable[[str], str | None]
    """All text of an evidence file, None if it is not among the documents."""
    retriever: Retriever | None = None
    """The search alone, whole chunks; None: how deep the evidence lies is not measured."""
    engine: LanguageModel | None = None
    """The bare engine, to judge with; None: it cannot judge."""
    searched_once: SearchedOnce | None = None
    """Answers batches alike, with a search that two modes ask for made once; None: `answering`."""

    @property
    def batches(self) -> Answering:
        """What answers batches."""
        return self.searched_once.answering if self.searched_once else self.answering

    def saved_s(self, query: str | None) -> float:
        """Seconds that a search remembered would have taken."""
        return self.searched_once.searches.saved_s(query) if self.searched_once else 0.0


@dataclass(frozen=True)
class PreparedArm:
    """An arm with the identity of its configuration and of each question under it."""

    arm: Arm
    configuration: dict[str, Any]
    hash: str
    given: tuple[tuple[Passage, ...] | None, ...]
    """Passages put in place of a search, by question; None: search."""
    question_hashes: tuple[str, ...]

    @property
    def streamed_hash(self) -> str:
        """Configuration of the answers asked one by one, for timing."""
        return digest([self.hash, "streamed"])

    def question(self, ordinal: int, text: str) -> Question:
        """The question as the assistant gets it."""
        return Question(
            text=text,
            mode=self.arm.mode,
            adapter=self.arm.adapter if self.arm.mode.uses_adapter else None,
            reader=OPERATOR,
            passages_override=self.given[ordinal],
        )


def prepare(
    plan: Plan, questions: Sequence[HeldOutQuestion], subject_of: Callable[[str | None], Subject]
) -> list[PreparedArm]:
    """Resolve every arm of a plan.

    Raises:
        NotFound: an adapter that is not there (any more).
        InvalidInput: a mode that searches documents where there are none.
    """
    prepared = []
    for arm in plan.arms():
        subject = subject_of(arm.model)
        configuration = {**subject.describe(arm), "repeat": plan.repeat}
        given = tuple(_given(arm, question, subject) for question in questions)
        hashes = tuple(
            digest([question.question, None if p is None else [one.text for one in p]])
            for question, p in zip(questions, given, strict=True)
        )
        prepared.append(PreparedArm(arm, configuration, digest(configuration), given, hashes))
    return prepared


def _given(arm: Arm, question: HeldOutQuestion, subject: Subject) -> tuple[Passage, ...] | None:
    if not arm.oracle:
        return None
    passage = subject.right_passage(question)
    return None if passage is None else (passage,)


@dataclass
class _Clock:
    """Counts rows done and estimates the time left from the rows made in this process."""

    progress: Progress
    total: int
    done: int = 0
    made: int = 0
    started: float = field(default_factory=time.monotonic)

    def advance(self, rows: int, made: int, note: str) -> None:
        self.done += rows
        self.made += made
        left = None
        if self.made:
            left = (time.monotonic() - self.started) / self.made * (self.total - self.done)
        self.progress.update(self.done, self.total, note, left)


@dataclass(frozen=True)
class Runner:
    """Makes the missing answers of an evaluation."""

    records: Records
    subject_of: Callable[[str | None], Subject]
    """Opens an engine by its setting; None: the installation's own."""
    progress: Progress
    began: datetime
    """When the evaluation was asked for: rows that failed before are tried again."""

    def run(
        self, plan: Plan, questions: Sequence[HeldOutQuestion], arms: Sequence[PreparedArm]
    ) -> None:
        """Answer what is not answered yet.

        Batches are cut from the whole list of questions, whatever is answered already, so that
        a resumed evaluation forms the same batches as one that never stopped.

        Raises:
            Stopped: somebody asked; finished batches are kept.
            AdapterError, NotFound: an adapter vanished or does not fit.
        """
        sample = [questions.index(q) for q in spread(questions, plan.latency_sample)]
        clock = _Clock(self.progress, len(arms) * (len(questions) + len(sample)))
        for model in dict.fromkeys(arm.arm.model for arm in arms):
            group = [arm for arm in arms if arm.arm.model == model]
            for start in range(0, len(questions), plan.batch):
                part = range(start, min(start + plan.batch, len(questions)))
                for arm in group:
                    self._complete(arm, part, questions, clock)
            for arm in group:
                self._time_answers(arm, sample, questions, clock)

    def _complete(
        self,
        arm: PreparedArm,
        part: Sequence[int],
        questions: Sequence[HeldOutQuestion],
        clock: _Clock,
    ) -> None:
        missing = self._missing(arm.hash, arm, part)
        if missing:
            self._stop_if_asked()
            asked = [arm.question(ordinal, questions[ordinal].question) for ordinal in missing]
            with MemoryWatch() as memory:
                results = self._answer(arm, asked)
            # The oracle is given its passage and searches nothing.
            saved = (lambda _: 0.0) if arm.arm.oracle else self.subject_of(arm.arm.model).saved_s
            kept = [_measured(result, memory.peak_mb, saved) for result in results]
            hashes = [arm.question_hashes[ordinal] for ordinal in missing]
            self.records.save(arm.hash, dict(zip(hashes, kept, strict=True)))
        clock.advance(len(part), len(missing), arm.arm.label)

    def _missing(self, configuration: str, arm: PreparedArm, part: Sequence[int]) -> list[int]:
        hashes = [arm.question_hashes[ordinal] for ordinal in part]
        stored = self.records.answers(configuration, hashes)
        wanted: dict[str, int] = {}
        for ordinal, question_hash in zip(part, hashes, strict=True):
            if not self._final(stored.get(question_hash)):
                wanted.setdefault(question_hash, ordinal)
        return list(wanted.values())

    def _final(self, stored: StoredAnswer | None) -> bool:
        return stored is not None and (not stored.error or stored.created_at >= self.began)

    def _answer(self, arm: PreparedArm, asked: Sequence[Question]) -> list[Answer | str]:
        answering = self.subject_of(arm.arm.model).batches
        try:
            return list(answering.answer_batch(asked, self.progress.stop_requested))
        except ARM_FAULTS:
            raise
        except ROW_FAULTS as error:
            self.progress.log(f"{arm.arm.name}: a batch failed ({error}); asking one by one.")
        return [self._answer_alone(answering, arm, question) for question in asked]

    def _answer_alone(
        self, answering: Answering, arm: PreparedArm, question: Question
    ) -> Answer | str:
        try:
            return answering.answer_batch([question], self.progress.stop_requested)[0]
        except ARM_FAULTS:
            raise
        except ROW_FAULTS as error:
            self.progress.log(f"{arm.arm.name}: '{question.text[:60]}' failed: {error}")
            return f"{type(error).__name__}: {error}"

    def _time_answers(
        self,
        arm: PreparedArm,
        sample: Sequence[int],
        questions: Sequence[HeldOutQuestion],
        clock: _Clock,
    ) -> None:
        for ordinal in sample:
            missing = self._missing(arm.streamed_hash, arm, [ordinal])
            if missing:
                self._stop_if_asked()
                asked = arm.question(ordinal, questions[ordinal].question)
                result = self._stream(arm, asked)
                self.records.save(arm.streamed_hash, {arm.question_hashes[ordinal]: result})
            clock.advance(1, len(missing), f"{arm.arm.label}: timing")

    def _stream(self, arm: PreparedArm, question: Question) -> Answer | str:
        answering = self.subject_of(arm.arm.model).answering
        try:
            for event in answering.answer(question):
                if isinstance(event, AnswerFinished):
                    return event.answer
        except ARM_FAULTS:
            raise
        except ROW_FAULTS as error:
            return f"{type(error).__name__}: {error}"
        return "the stream ended without an answer"

    def _stop_if_asked(self) -> None:
        if self.progress.stop_requested():
            raise Stopped("The evaluation was stopped. What is answered is kept; start it again.")


def _measured(
    result: Answer | str, peak_mb: float, saved_s: Callable[[str | None], float]
) -> Result:
    """The answer as it is stored.

    With the most memory held while its batch was answered, and with the time of its search also
    where another mode had made it: a mode costs what it costs alone.
    """
    if isinstance(result, str):
        return result
    row = answer_as_json(result)
    saved = saved_s(result.provenance.get("query"))
    waited = {
        name: row["timing"][name] + saved for name in ("search_s", "first_token_s", "total_s")
    }
    return {**row, "timing": {**row["timing"], **waited, "peak_memory_mb": peak_mb}}
