"""Questions being answered, away from the page that shows them.

The work runs in its own thread and stores what was said whatever becomes of the page; the page
only looks. When nobody looks any more the answer is stopped, and what was said is kept.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from assistant.answering import Assistant, Question
from assistant.conversations import Conversations
from assistant.modes import Answer, AnswerEvent, AnswerFinished, AnswerMode, PassagesFound
from core.logs import explained, record_fault
from retrieval.passages import Passage

ABANDONED_AFTER = 15.0
"""Seconds without a look after which nobody is taken to be there."""


class Stage(StrEnum):
    """How far one answer is."""

    WAITING = "waiting"
    SEARCHING = "searching"
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Part:
    """One mode's answer, as far as it is."""

    mode: AnswerMode
    stage: Stage = Stage.WAITING
    text: str = ""
    passages: tuple[Passage, ...] = ()
    first_word_s: float | None = None
    answer: Answer | None = None
    answer_id: int | None = None
    problem: str = ""


@dataclass
class Turn:
    """One question in one or several modes, one after another."""

    questions: Sequence[Question]
    """The same text, once for each mode."""
    conversation_id: int = 0
    """Set when it starts."""
    streams: Sequence[Iterator[AnswerEvent]] = ()
    patience: float = ABANDONED_AFTER
    parts: list[Part] = field(default_factory=list)
    finished: bool = False
    version: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _looked_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Start with every mode waiting."""
        self.parts = [Part(question.mode) for question in self.questions]

    def look(self, seen: int, timeout: float) -> tuple[int, list[Part], bool]:
        """Wait for something newer than version `seen`; return version, parts and whether done."""
        with self._changed:
            self._looked_at = time.monotonic()
            self._changed.wait_for(lambda: self.version > seen or self.finished, timeout)
            return self.version, list(self.parts), self.finished

    def stop(self) -> None:
        """Ask the answer to end after the present word."""
        self._stop.set()

    def cancelled(self) -> bool:
        """Tell whether somebody pressed stop, or everybody has left."""
        return self._stop.is_set() or time.monotonic() - self._looked_at > self.patience

    def change(self, index: int, part: Part) -> None:
        """Set one part and wake whoever looks."""
        with self._changed:
            self.parts[index] = part
            self.version += 1
            self._changed.notify_all()

    def finish(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self.finished = True
            self.version += 1
            self._changed.notify_all()


class Turns:
    """Starts turns and remembers those that run."""

    def __init__(
        self,
        assistant: Assistant,
        conversations: Conversations,
        logs: Path,
        patience: float = ABANDONED_AFTER,
    ) -> None:
        """`logs` is the folder for faults; `patience` in seconds without a look."""
        self._patience = patience
        self._assistant = assistant
        self._conversations = conversations
        self._logs = logs
        self._running: dict[int, Turn] = {}
        self._lock = threading.Lock()

    def accept(self, questions: Sequence[Question]) -> Turn:
        """Check the questions; nothing is answered or stored yet.

        Raises:
            InhouseError: as `Assistant.answer`.
        """
        turn = Turn(questions, patience=self._patience)
        turn.streams = [self._assistant.answer(one, turn.cancelled) for one in questions]
        return turn

    def start(self, turn: Turn, conversation_id: int) -> None:
        """Answer one question after another and store each answer in the conversation."""
        turn.conversation_id = conversation_id
        with self._lock:
            earlier = self._running.get(conversation_id)
            self._running[conversation_id] = turn
        if earlier is not None:
            earlier.stop()
        threading.Thread(target=self._run, args=(turn,), daemon=True, name="turn").start()

    def stop(self, conversation_id: int) -> None:
        """Stop what is being answered in a conversation, if anything is."""
        with self._lock:
            turn = self._running.get(conversation_id)
        if turn is not None:
            turn.stop()

    def warm_up(self) -> None:
        """Load language model and embedder in the background, for whoever asks first."""
        threading.Thread(target=self._warm_up, daemon=True, name="warm-up").start()

    def _warm_up(self) -> None:
        try:
            for _ in self._assistant.answer(Question("Hello", AnswerMode.RAG), lambda: True):
                pass
        except Exception as error:  # noqa: BLE001 - whoever asks first sees what is wrong
            record_fault(self._logs, error, "loading the language model")

    def stop_all(self) -> None:
        """Stop everything; the app is going down."""
        with self._lock:
            turns = list(self._running.values())
        for turn in turns:
            turn.stop()

    def _run(self, turn: Turn) -> None:
        try:
            for index, question in enumerate(turn.questions):
                if turn.cancelled():
                    break
                self._answer(turn, index, question)
        finally:
            with self._lock:
                if self._running.get(turn.conversation_id) is turn:
                    del self._running[turn.conversation_id]
            turn.finish()

    def _answer(self, turn: Turn, index: int, question: Question) -> None:
        try:
            self._stream(turn, index, question)
        except Exception as error:  # noqa: BLE001 - the last net, logged with an id
            told = explained(self._logs, error, f"answering in mode {question.mode}")
            self._fail(turn, index, told.message)

    def _fail(self, turn: Turn, index: int, problem: str) -> None:
        turn.change(index, replace(turn.parts[index], stage=Stage.FAILED, problem=problem))

    def _stream(self, turn: Turn, index: int, question: Question) -> None:
        started = time.monotonic()
        stage = Stage.SEARCHING if question.mode.uses_retrieval else Stage.WRITING
        part = replace(turn.parts[index], stage=stage)
        turn.change(index, part)
        for event in turn.streams[index]:
            if isinstance(event, PassagesFound):
                part = replace(part, stage=Stage.WRITING, passages=event.passages)
            elif isinstance(event, AnswerFinished):
                stored = self._conversations.add_answer(
                    turn.conversation_id, question.text, event.answer
                )
                part = replace(
                    part, stage=Stage.DONE, text=event.answer.text, answer=event.answer,
                    passages=event.answer.passages, answer_id=stored,
                )  # fmt: skip
            else:
                first = part.first_word_s
                part = replace(
                    part,
                    text=part.text + event.text,
                    first_word_s=time.monotonic() - started if first is None else first,
                )
            turn.change(index, part)
