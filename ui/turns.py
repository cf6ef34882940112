"""Questions being answered, away from the page that shows them.

The work runs in threads of its own and stores the question first and then what was said, whatever
becomes of the page; the page only looks. When nobody looks any more the answer is stopped, and
what was said is kept.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from assistant.answering import Assistant, Question
from assistant.conversations import Conversations, title_from
from assistant.modes import Answer, AnswerEvent, AnswerFinished, AnswerMode, PassagesFound
from core.disk import disk_error
from core.errors import EngineError, InhouseError, Stopped
from core.logs import fault_message, record_fault
from core.permissions import Account
from retrieval.passages import Passage
from ui.line import Limits, Line
from ui.readiness import Readiness

_NOTHING_SAID = "This answer was stopped before its first word. Ask again."
"""The question stays as one that was interrupted, which can be asked again."""
ABANDONED_AFTER = 15.0
"""Seconds without a look after which nobody is taken to be there."""
KEEP_EVERY = 1.0
"""Seconds between storing what was said so far: as much as a fault can lose."""


class Stage(StrEnum):
    """How far one answer is."""

    LOADING = "loading"
    WAITING = "waiting"
    SEARCHING = "searching"
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"


WAKING = "Waking the model…"
"""What is said while it is loaded."""
NOT_BEGUN = (Stage.LOADING, Stage.WAITING)


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
    error: InhouseError | None = None
    """What failed, where it was foreseen."""
    fault: str = ""
    """Its id in the log, where the fault is ours."""


@dataclass(eq=False)
class Turn:
    """One question in one or several modes, one after another."""

    person: int
    questions: Sequence[Question]
    """The same text, once for each mode."""
    patience: float = ABANDONED_AFTER
    conversation_id: int = 0
    answer_ids: Sequence[int] = ()
    """One for each question; these two are set when it starts."""
    streams: Sequence[Iterator[AnswerEvent]] = ()
    parts: list[Part] = field(default_factory=list)
    finished: bool = False
    version: int = 0
    on_stop: Callable[["Turn"], None] = lambda _turn: None
    check: Callable[[Question], None] = lambda _question: None
    """Raises where a question may no longer be answered: rights change while it waits."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _viewers: set[Callable[[], None]] = field(default_factory=set)
    _looked_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Start with every mode waiting."""
        self.parts = [Part(question.mode) for question in self.questions]

    async def look(self, seen: int, timeout: float) -> tuple[int, list[Part], bool]:
        """Wait for something newer than version `seen`; return version, parts and whether done.

        Holds no thread while it waits.
        """
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            # The loop of somebody who has left may be closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(news.set)

        with self._lock:
            self._looked_at = time.monotonic()
            if self.version > seen or self.finished:
                news.set()
            else:
                self._viewers.add(wake)
        try:
            async with asyncio.timeout(timeout):
                await news.wait()
        except TimeoutError:
            pass
        finally:
            with self._lock:
                self._viewers.discard(wake)
        with self._lock:
            self._looked_at = time.monotonic()
            return self.version, list(self.parts), self.finished

    def stop(self) -> None:
        """Ask the answer to end after the present word."""
        if not self._stop.is_set():
            self._stop.set()
            self.on_stop(self)

    def cancelled(self) -> bool:
        """Tell whether somebody pressed stop, or everybody has left."""
        return self._stop.is_set() or time.monotonic() - self._looked_at > self.patience

    def change(self, index: int, part: Part) -> None:
        """Set one part and wake whoever looks."""
        with self._lock:
            self.parts[index] = part
            self._tell()

    def show(self, stage: Stage) -> None:
        """Set the stage of all parts that have not begun."""
        with self._lock:
            self.parts = [
                replace(part, stage=stage) if part.stage in NOT_BEGUN else part
                for part in self.parts
            ]
            self._tell()

    def finish(self) -> None:
        """Say that nothing more will come."""
        with self._lock:
            self.finished = True
            self._tell()

    def _tell(self) -> None:
        self.version += 1
        for wake in self._viewers:
            wake()


class Turns:
    """Starts turns, in the order that is fair, and remembers those that are open."""

    def __init__(
        self,
        assistant: Assistant,
        conversations: Conversations,
        readiness: Readiness,
        limits: Limits,
        logs: Path,
        *,
        patience: float = ABANDONED_AFTER,
    ) -> None:
        """Compose from parts; no thread runs yet.

        Args:
            assistant: who answers.
            conversations: where questions and answers are kept.
            readiness: what is awaited before the first answer.
            limits: how many turns are open and answered at once.
            logs: folder for faults.
            patience: in seconds without a look.
        """
        self._patience = patience
        self._assistant = assistant
        self._conversations = conversations
        self._readiness = readiness
        self._line: Line[Turn] = Line(limits, self._run)
        self._logs = logs
        self._open: set[Turn] = set()
        self._lock = threading.Lock()
        self._closing = False

    def ask(
        self,
        account: Account,
        questions: Sequence[Question],
        conversation_id: int | None,
        check: Callable[[Question], None] = lambda _question: None,
    ) -> Turn:
        """Store the question and answer it when its turn comes, one mode after another.

        Args:
            account: who asks.
            questions: the same text, once for each mode.
            conversation_id: None: a new one, once the question is accepted.
            check: raises where a question may no longer be answered when its turn comes.

        Raises:
            TooManyRequests: too many questions are open.
            Stopped: the app is going down.
            InhouseError: as `Assistant.answer`.
        """
        turn = Turn(account.id, questions, self._patience, on_stop=self._stopped, check=check)
        turn.streams = [self._assistant.answer(one, turn.cancelled) for one in questions]
        self._line.take_place(turn.person)
        try:
            if conversation_id is None:
                title = title_from(questions[0].text)
                conversation_id = self._conversations.create(account, title).id
            turn.conversation_id = conversation_id
            to_come = [
                Answer("", one.mode, (), (), one.adapter, inherited=one.inherited)
                for one in questions
            ]
            turn.answer_ids = self._conversations.begin(conversation_id, questions[0].text, to_come)
        except BaseException:
            self._line.give_back(turn.person)
            raise
        self._start(turn)
        return turn

    def _start(self, turn: Turn) -> None:
        if not self._readiness.ready:
            turn.show(Stage.LOADING)
        with self._lock:
            earlier = [one for one in self._open if one.conversation_id == turn.conversation_id]
            self._open.add(turn)
        for one in earlier:
            one.stop()
        self._line.join(turn.person, turn)
        if self._closing:
            turn.stop()

    def stop(self, conversation_id: int) -> None:
        """Stop what is being answered in a conversation, if anything is."""
        with self._lock:
            turns = [one for one in self._open if one.conversation_id == conversation_id]
        for turn in turns:
            turn.stop()

    def answering(self, conversation_id: int) -> bool:
        """Tell whether something is being answered in a conversation."""
        with self._lock:
            return any(one.conversation_id == conversation_id for one in self._open)

    def close(self, seconds: float) -> bool:
        """Take no more questions, stop all answers; return whether all were stored in time."""
        self._closing = True
        self._line.close()
        with self._lock:
            turns = list(self._open)
        for turn in turns:
            turn.stop()
        return self._line.wait_until_empty(seconds)

    def _stopped(self, turn: Turn) -> None:
        if self._line.leave(turn.person, turn):
            self._end(turn)

    def _run(self, turn: Turn) -> None:
        try:
            if self._loaded(turn):
                for index, question in enumerate(turn.questions):
                    if turn.cancelled():
                        break
                    self._answer(turn, index, question)
                self._forget_what_never_began(turn)
        finally:
            self._end(turn)

    def _end(self, turn: Turn) -> None:
        with self._lock:
            self._open.discard(turn)
        self._line.give_back(turn.person)
        turn.finish()

    def _loaded(self, turn: Turn) -> bool:
        try:
            self._readiness.wait(turn.cancelled)
        except Stopped:
            return False
        except InhouseError as error:
            for index in range(len(turn.questions)):
                self._fail(turn, index, error)
            return False
        turn.show(Stage.WAITING)
        return True

    def _forget_what_never_began(self, turn: Turn) -> None:
        """Modes that a person stopped before they began; the first keeps the question."""
        pairs = list(zip(turn.answer_ids, turn.parts, strict=True))[1:]
        never = [number for number, part in pairs if part.stage in NOT_BEGUN]
        if never and not self._closing:
            self._conversations.discard(never)

    def _answer(self, turn: Turn, index: int, question: Question) -> None:
        try:
            turn.check(question)
            self._stream(turn, index, question)
        except Exception as error:  # noqa: BLE001 - the last net, logged with an id
            self._fail(turn, index, error)
            part = turn.parts[index]
            if part.text:
                self._keep(turn, index, part)

    def _fail(self, turn: Turn, index: int, error: Exception) -> None:
        known = error if isinstance(error, InhouseError) else disk_error(error, self._logs.parent)
        fault = ""
        if known is None or isinstance(known, EngineError):
            doing = f"answering in mode {turn.questions[index].mode}"
            fault = record_fault(self._logs, error, doing)
        problem = known.message if known else fault_message(fault)
        failed = replace(
            turn.parts[index], stage=Stage.FAILED, problem=problem, error=known, fault=fault
        )
        turn.change(index, failed)

    def _keep(self, turn: Turn, index: int, part: Part) -> None:
        try:
            self._conversations.keep(turn.answer_ids[index], part.text, part.passages)
        except Exception as error:  # noqa: BLE001 - a full disk may pass before the answer ends
            record_fault(self._logs, error, "keeping an unfinished answer")

    def _stream(self, turn: Turn, index: int, question: Question) -> None:
        started = kept = time.monotonic()
        stage = Stage.SEARCHING if question.mode.uses_retrieval else Stage.WRITING
        part = replace(turn.parts[index], stage=stage)
        turn.change(index, part)
        for event in turn.streams[index]:
            if isinstance(event, PassagesFound):
                part = replace(part, stage=Stage.WRITING, passages=event.passages)
            elif isinstance(event, AnswerFinished):
                if turn.cancelled() and not event.answer.text.strip():
                    raise Stopped(_NOTHING_SAID)
                self._conversations.finish(turn.answer_ids[index], event.answer)
                part = replace(
                    part, stage=Stage.DONE, text=event.answer.text, answer=event.answer,
                    passages=event.answer.passages, answer_id=turn.answer_ids[index],
                )  # fmt: skip
            else:
                first = part.first_word_s
                part = replace(
                    part,
                    text=part.text + event.text,
                    first_word_s=time.monotonic() - started if first is None else first,
                )
                if time.monotonic() - kept >= KEEP_EVERY:
                    self._keep(turn, index, part)
                    kept = time.monotonic()
            turn.change(index, part)
