"""The one way an answer is made, in every mode, for people and for evaluation alike."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from assistant.citations import check
from assistant.engines.base import AdapterRef, Generation, LanguageModel, Loadable, Sampling, never
from assistant.followups import search_query
from assistant.manifest import AdapterInfo
from assistant.modes import (
    Answer,
    AnswerEvent,
    AnswerFinished,
    AnswerMode,
    Message,
    PassagesFound,
    TextDelta,
    Timing,
)
from assistant.prompts import REFUSAL, Prompt, PromptBuilder, profile_of
from assistant.quoting import NAME as QUOTATION
from assistant.quoting import quoted_answer, quotes_alone
from assistant.shelf import Shelf
from core.errors import AdapterError, InvalidInput, Stopped
from core.permissions import Reader
from core.settings import Settings
from retrieval.passages import Passage, Quoter, Retriever

NO_PASSAGE = "no passage"
BELOW_THRESHOLD = "below threshold"


@dataclass(frozen=True)
class Question:
    """What somebody asks, how, and on whose behalf."""

    text: str
    mode: AnswerMode
    history: tuple[Message, ...] = ()
    """Earlier turns of this conversation in this mode: user, assistant, user, ..."""
    adapter: str | None = None
    """Name on the shelf; None: the promoted one. Modes without adapter ignore it."""
    reader: Reader = field(default_factory=Reader)
    passages_override: tuple[Passage, ...] | None = None
    """Given instead of searched, to measure reading apart from searching."""

    @property
    def inherited(self) -> frozenset[int]:
        """The documents behind the earlier turns, whether or not they find room in the prompt."""
        return frozenset[int]().union(*(message.documents for message in self.history))


@dataclass
class _Work:
    """A question on its way to an answer."""

    question: Question
    adapter: AdapterInfo | None
    """Chosen or promoted, in tuned modes."""
    reader: AdapterInfo | None = None
    """The built-in reader, in the mode `rag` if the settings say so."""
    quoted: bool = False
    """Answered in the documents' words, without a language model."""
    started: float = field(default_factory=time.monotonic)
    query: str | None = None
    index_version: str | None = None
    threshold: float | None = None
    """What the best passage's score was held against; None: against nothing."""
    refused: str | None = None
    prompt: Prompt = field(default_factory=lambda: Prompt((), ()))
    search_s: float = 0.0

    @property
    def on(self) -> AdapterInfo | None:
        """What is on the model."""
        return self.adapter or self.reader

    @property
    def ref(self) -> AdapterRef | None:
        return self.on.ref if self.on else None

    def elapsed(self) -> float:
        return time.monotonic() - self.started


class Assistant:
    """Answers questions. Safe to call from several threads."""

    def __init__(
        self, model: LanguageModel, retriever: Retriever, shelf: Shelf, settings: Settings
    ) -> None:
        """Compose from its parts; nothing is loaded yet.

        Raises:
            SettingsError: the settings want the built-in reader or quotations, and what it
                takes does not serve.
        """
        self._model = model
        self._retriever = retriever
        self._shelf = shelf
        self._settings = settings
        self._reader = shelf.serving_reader(settings)
        self._quoter = retriever if isinstance(retriever, Quoter) else None
        self._quotes = quotes_alone(settings, self._quoter)
        self._sampling = Sampling(settings.answer_tokens)
        self._prompts = PromptBuilder(
            model, settings.evidence_tokens, settings.answer_tokens, profile_of(settings)
        )

    def load(self) -> None:
        """Bring the language model into memory, unless answers are quotations.

        Raises:
            EngineError, AdapterError: as `answer`.
        """
        if isinstance(self._model, Loadable) and not self._quotes:
            self._model.load(self._reader.ref if self._reader else None)

    def answer(
        self, question: Question, cancelled: Callable[[], bool] = never
    ) -> Iterator[AnswerEvent]:
        """Check the question now; search, prompt and stream while the events are read.

        Yields:
            `PassagesFound` in modes with retrieval, then any number of `TextDelta`, then
            `AnswerFinished`, whose text has its citations checked. A stopped answer keeps its
            text and has `cut_off` set.

        Raises:
            InvalidInput: the question is empty or too long, or a tuned mode has no adapter.
            NotFound: there is no adapter of that name.
            AdapterError: the adapter is damaged or made for another model.
            EngineError: the model cannot be loaded or failed.
        """
        return self._events(self._accept(question), cancelled)

    def answer_batch(
        self, questions: Sequence[Question], cancelled: Callable[[], bool] = never
    ) -> list[Answer]:
        """Answer all, in order: the prompts, decoding and checks of `answer`.

        Searches are timed each; generation is timed together and shared out evenly, which
        `provenance["timing"]` says.

        Raises:
            Stopped: `cancelled()` turned true, which is asked between searches and tokens.
            As `answer`.
        """
        works = [self._accept(question) for question in questions]
        groups: dict[str, list[int]] = {}
        answers: dict[int, Answer] = {}
        for number, work in enumerate(works):
            if cancelled():
                raise Stopped("The answers were stopped while documents were searched.")
            work.started = time.monotonic()
            self._prepare(work)
            if (said := self._without_model(work)) is not None:
                answers[number] = self._at_once(work, said)
            else:
                groups.setdefault(work.ref.hash if work.ref else "", []).append(number)
        for numbers in groups.values():
            started = time.monotonic()
            results = self._model.generate_batch(
                [works[number].prompt.messages for number in numbers],
                adapter=works[numbers[0]].ref,
                sampling=self._sampling,
                cancelled=cancelled,
            )
            share = (time.monotonic() - started) / len(numbers)
            for number, result in zip(numbers, results, strict=True):
                answers[number] = self._from_batch(works[number], result, share)
        return [answers[number] for number in range(len(works))]

    def _accept(self, question: Question) -> _Work:
        limit = self._settings.question_characters
        if not question.text.strip():
            raise InvalidInput("The question is empty. Type what you want to know.")
        if len(question.text) > limit:
            raise InvalidInput(
                f"The question has {len(question.text):,} characters; at most {limit:,} are "
                "accepted. Shorten it, or raise INHOUSE_QUESTION_CHARACTERS."
            )
        reader = self._reader if question.mode is AnswerMode.RAG else None
        return _Work(question, self._adapter(question), reader)

    def _adapter(self, question: Question) -> AdapterInfo | None:
        if not question.mode.uses_adapter:
            return None
        name = question.adapter or self._shelf.default()
        if name is None:
            known = ", ".join(info.name for info in self._shelf.list())
            remedy = f"Choose one of: {known}." if known else "Train one first."
            raise InvalidInput(
                f"The mode '{question.mode.value}' needs an adapter, and none was chosen or "
                f"promoted. {remedy}"
            )
        info = self._shelf.get(name)
        if info.problem:
            raise AdapterError(info.problem)
        return info

    def _events(self, work: _Work, cancelled: Callable[[], bool]) -> Iterator[AnswerEvent]:
        work.started = time.monotonic()
        self._prepare(work)
        if work.question.mode.uses_retrieval:
            yield PassagesFound(work.prompt.passages)
        if (said := self._without_model(work)) is not None:
            yield TextDelta(said)
            yield AnswerFinished(self._at_once(work, said))
            return
        pieces: list[str] = []
        first = 0.0
        stopped = False

        def stop() -> bool:
            nonlocal stopped
            stopped = stopped or cancelled()
            return stopped

        for piece in self._model.stream(
            work.prompt.messages, adapter=work.ref, sampling=self._sampling, cancelled=stop
        ):
            first = first or work.elapsed()
            pieces.append(piece)
            yield TextDelta(piece)
        yield AnswerFinished(self._streamed(work, "".join(pieces), first, stopped))

    def _prepare(self, work: _Work) -> None:
        """Search if the mode does, decide whether to refuse, build the prompt."""
        question = work.question
        found: Sequence[Passage] | None = None
        if question.mode.uses_retrieval:
            found = self._search(work)
            work.search_s = work.elapsed()
            work.refused = self._reason_to_refuse(work, found)
        if not work.refused:
            quote = self._quote(work) if work.on and work.on.reads_quotations else None
            text = question.text.strip()
            work.prompt = self._prompts.build(text, found, question.history, quote)

    def _quote(self, work: _Work) -> Callable[[Sequence[Passage]], str] | None:
        """What names the best sentences of passages, where something judges them."""
        if self._quoter is None:
            return None
        return partial(quoted_answer, work.question.text.strip(), quoter=self._quoter)

    def _search(self, work: _Work) -> Sequence[Passage]:
        question = work.question
        work.query = search_query(question.text.strip(), question.history)
        work.index_version = self._retriever.version
        if question.passages_override is not None:
            return question.passages_override
        limit = self._settings.passages
        return self._retriever.search(work.query, limit=limit, reader=question.reader)

    def _reason_to_refuse(self, work: _Work, found: Sequence[Passage]) -> str | None:
        if work.question.passages_override is None:
            work.threshold = refusal_threshold(self._settings, self._retriever)
        if not found:
            return NO_PASSAGE
        if work.threshold and max(passage.score for passage in found) < work.threshold:
            return BELOW_THRESHOLD
        return None

    def _without_model(self, work: _Work) -> str | None:
        """The refusal, or a quotation where the settings want one; None: the model is asked."""
        if work.refused:
            return REFUSAL
        quote = self._quote(work)
        if quote is None or not self._quotes or work.question.mode is not AnswerMode.RAG:
            return None
        work.quoted = True
        return quote(work.prompt.passages)

    def _at_once(self, work: _Work, text: str) -> Answer:
        total = work.elapsed()
        return self._finished(work, text, Timing(work.search_s, total, total, 0, 0))

    def _streamed(self, work: _Work, text: str, first: float, stopped: bool) -> Answer:
        tokens = self._count(text)
        timing = Timing(
            work.search_s,
            first or work.elapsed(),
            work.elapsed(),
            self._model.count_tokens(work.prompt.messages),
            tokens,
        )
        cut_off = stopped or tokens >= self._sampling.max_tokens
        return self._finished(work, text, timing, cut_off=cut_off)

    def _from_batch(self, work: _Work, result: Generation, share: float) -> Answer:
        timing = Timing(
            work.search_s,
            work.search_s + share,
            work.search_s + share,
            result.prompt_tokens,
            result.answer_tokens,
        )
        note = {"timing": "share of a batch", "mean_logprob": result.mean_logprob}
        return self._finished(work, result.text, timing, cut_off=result.cut_off, note=note)

    def _count(self, text: str) -> int:
        said = self._model.count_tokens([Message("assistant", text)])
        return said - self._model.count_tokens([Message("assistant", "")])

    def _finished(
        self,
        work: _Work,
        text: str,
        timing: Timing,
        *,
        cut_off: bool = False,
        note: dict[str, Any] | None = None,
    ) -> Answer:
        passages = work.prompt.passages
        checked = check(text, passages, work.question.text)
        provenance: dict[str, Any] = {
            "model": None if work.refused or work.quoted else self._model.name,
            "adapter_hash": work.ref.hash if work.ref else None,
            "reader": QUOTATION if work.quoted else work.reader.name if work.reader else None,
            "index_version": work.index_version,
            "prompt_version": work.prompt.version or self._prompts.profile.version,
            "sampling": {
                "max_tokens": self._sampling.max_tokens,
                "temperature": self._sampling.temperature,
                "seed": self._sampling.seed,
            },
            "query": work.query,
            "refused": work.refused,
            "refusal_threshold": work.threshold,
            "passages": [passage.chunk_id for passage in passages],
            "citation": checked.by.value,
            "citations_removed": list(checked.removed),
            "timing": "measured",
            **(note or {}),
        }
        return Answer(
            text=checked.text,
            mode=work.question.mode,
            passages=passages,
            cited=checked.cited,
            adapter=work.adapter.name if work.adapter else None,
            provenance=provenance,
            timing=timing,
            cut_off=cut_off,
            inherited=work.prompt.inherited,
        )


def refusal_threshold(settings: Settings, retriever: Retriever) -> float:
    """Score of the best passage, 0 to 1, below which a question is refused; 0: never."""
    chosen = settings.refusal_threshold
    return retriever.threshold if chosen == "auto" else chosen
