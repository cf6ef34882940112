"""A turn goes on, is stopped, or is given up, whatever becomes of the page that shows it."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from assistant.answering import Question
from assistant.conversations import Conversation
from assistant.modes import Answer, AnswerEvent, AnswerFinished, AnswerMode, TextDelta
from core.database import now
from core.errors import (
    EngineError,
    InvalidInput,
    PermissionDenied,
    Stopped,
    TooManyRequests,
)
from core.permissions import Account, Role
from tests.waiting import PATIENCE_S, complete, eventually
from ui.line import Limits
from ui.readiness import Readiness
from ui.turns import Part, Stage, Turn, Turns


@dataclass
class TalkingAssistant:
    """Says words until it is stopped, at most `words` of them."""

    words: int = 3
    fault: Exception | None = None

    def answer(self, question: Question, cancelled: Callable[[], bool]) -> Iterator[AnswerEvent]:
        if not question.text:
            raise InvalidInput("The question is empty.")
        return self._events(question, cancelled)

    def _events(self, question: Question, cancelled: Callable[[], bool]) -> Iterator[AnswerEvent]:
        said = ""
        for _ in range(self.words):
            if cancelled():
                break
            said += "word "
            yield TextDelta("word ")
            time.sleep(0.001)
        if self.fault is not None:
            raise self.fault
        yield AnswerFinished(Answer(said, question.mode, (), (), None, cut_off=cancelled()))


@dataclass
class KeptAnswers:
    """Remembers what was stored."""

    kept: list[tuple[int, Answer]] = field(default_factory=list)
    begun: list[tuple[int, str, AnswerMode]] = field(default_factory=list)
    so_far: dict[int, str] = field(default_factory=dict)
    discarded: list[int] = field(default_factory=list)

    def create(self, account: Account, title: str) -> Conversation:
        return Conversation(7, title, now(), now())

    def begin(self, conversation_id: int, question: str, to_come: Any) -> tuple[int, ...]:
        first = len(self.begun)
        self.begun += [(conversation_id, question, answer.mode) for answer in to_come]
        return tuple(range(first, len(self.begun)))

    def keep(self, answer_id: int, text: str, passages: Any) -> None:
        self.so_far[answer_id] = text

    def finish(self, answer_id: int, answer: Answer) -> None:
        self.kept.append((answer_id, answer))

    def discard(self, answer_ids: Any) -> None:
        self.discarded += answer_ids


def person(number: int = 1) -> Account:
    return Account(number, f"person{number}", Role.EMPLOYEE)


def opened(
    tmp_path: Path,
    assistant: Any,
    *,
    patience: float = 15.0,
    limits: Limits | None = None,
    load: Callable[[], object] = lambda: None,
) -> Any:
    kept: Any = KeptAnswers()
    readiness = Readiness(load, tmp_path)
    limits = limits or Limits(parallel=4, each=10, everybody=20)
    return Turns(assistant, kept, readiness, limits, tmp_path, patience=patience), kept


def started(tmp_path: Path, assistant: Any, *modes: AnswerMode, patience: float = 15.0) -> Any:
    turns, kept = opened(tmp_path, assistant, patience=patience)
    questions = [Question("Who?", mode) for mode in modes or (AnswerMode.BASE,)]
    return turns, turns.ask(person(), questions, None), kept


def look(turn: Turn, seen: int, timeout: float) -> tuple[int, list[Part], bool]:
    return complete(turn.look(seen, timeout))


def watched_to_the_end(turn: Turn) -> None:
    version, done = -1, False
    deadline = time.monotonic() + PATIENCE_S
    while not done and time.monotonic() < deadline:
        version, _, done = look(turn, version, 0.5)
    assert done


def test_every_mode_is_answered_in_turn_and_stored(tmp_path: Path) -> None:
    _, turn, kept = started(tmp_path, TalkingAssistant(), *AnswerMode)
    watched_to_the_end(turn)
    assert [answer.mode for _, answer in kept.kept] == list(AnswerMode)
    assert [part.stage for part in turn.parts] == [Stage.DONE] * 4
    assert turn.parts[0].first_word_s is not None


def test_stopping_keeps_what_was_said_and_skips_the_rest(tmp_path: Path) -> None:
    turns, turn, kept = started(tmp_path, TalkingAssistant(10_000), *AnswerMode)
    while not look(turn, -1, 0.1)[1][0].text:
        pass
    turns.stop(7)
    watched_to_the_end(turn)
    assert len(kept.kept) == 1
    assert kept.kept[0][1].cut_off
    assert turn.parts[1].stage is Stage.WAITING
    assert kept.discarded == [1, 2, 3]


def test_when_nobody_looks_any_more_the_answer_ends_and_is_kept(tmp_path: Path) -> None:
    _, turn, kept = started(tmp_path, TalkingAssistant(1_000_000), patience=0.1)
    eventually(lambda: turn.finished)
    assert kept.kept[0][1].text


def test_a_second_question_in_a_conversation_stops_the_first(tmp_path: Path) -> None:
    turns, first, _ = started(tmp_path, TalkingAssistant(1_000_000))
    second = turns.ask(person(), [Question("And?", AnswerMode.BASE)], 7)
    watched_to_the_end(first)
    assert turns.close(10)
    watched_to_the_end(second)


def test_a_bad_question_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    turns, turn, kept = started(tmp_path, TalkingAssistant())
    watched_to_the_end(turn)
    with pytest.raises(InvalidInput):
        turns.ask(person(), [Question("", AnswerMode.BASE)], None)
    assert len(kept.begun) == len(kept.kept) == 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [(EngineError("The model is gone."), "The model is gone."), (KeyError("x"), "Internal error")],
)
def test_a_failure_is_told_in_its_column(tmp_path: Path, fault: Exception, says: str) -> None:
    _, turn, kept = started(tmp_path, TalkingAssistant(fault=fault))
    watched_to_the_end(turn)
    assert turn.parts[0].stage is Stage.FAILED
    assert says in turn.parts[0].problem
    assert kept.kept == []


@dataclass
class WaitingAssistant:
    """Begins an answer and goes on with it when `go` is set; remembers who was served."""

    go: threading.Event = field(default_factory=threading.Event)
    begun: list[str] = field(default_factory=list)

    def answer(self, question: Question, cancelled: Callable[[], bool]) -> Iterator[AnswerEvent]:
        self.begun.append(question.text)
        yield TextDelta("word")
        while not self.go.wait(0.002) and not cancelled():
            pass
        yield AnswerFinished(Answer("word", question.mode, (), (), None, cut_off=cancelled()))


def ask(turns: Turns, number: int, text: str = "Who?", thread: int | None = None) -> Turn:
    return turns.ask(person(number), [Question(text, AnswerMode.BASE)], thread)


def test_beyond_the_limits_a_person_is_told_when_to_come_back(tmp_path: Path) -> None:
    assistant = WaitingAssistant()
    turns, kept = opened(tmp_path, assistant, limits=Limits(parallel=2, each=2, everybody=3))
    mine = [ask(turns, 1, thread=n) for n in (1, 2)]
    with pytest.raises(TooManyRequests, match=r"You have 2 .* Ask again in \d+ seconds?\.") as own:
        ask(turns, 1, thread=3)
    assert own.value.retry_after_s >= 1
    theirs = ask(turns, 2, thread=4)
    with pytest.raises(TooManyRequests, match="Too many questions"):
        ask(turns, 3, thread=5)
    assert len(kept.begun) == 3
    assistant.go.set()
    for turn in [*mine, theirs]:
        watched_to_the_end(turn)
    watched_to_the_end(ask(turns, 1, thread=6))


def test_ten_questions_of_one_person_do_not_keep_the_first_of_another(tmp_path: Path) -> None:
    assistant = WaitingAssistant()
    turns, _ = opened(tmp_path, assistant, limits=Limits(parallel=4, each=10, everybody=20))
    for n in range(10):
        ask(turns, 1, f"mine {n}", n + 1)
    eventually(lambda: len(assistant.begun) == 2)
    ask(turns, 2, "theirs", 11)
    eventually(lambda: "theirs" in assistant.begun)
    assert sorted(assistant.begun) == ["mine 0", "mine 1", "theirs"]
    assert turns.close(10)


def test_a_question_taken_back_while_it_waits_frees_its_place_at_once(tmp_path: Path) -> None:
    assistant = WaitingAssistant()
    turns, _ = opened(tmp_path, assistant, limits=Limits(parallel=1, each=2, everybody=2))
    ask(turns, 1, thread=1)
    waiting = ask(turns, 1, "never", thread=2)
    waiting.stop()
    assert waiting.finished
    ask(turns, 1, "instead", thread=3)
    assistant.go.set()
    eventually(lambda: "instead" in assistant.begun)
    assert turns.close(10)
    assert "never" not in assistant.begun


def test_questions_wait_until_the_model_is_loaded_and_say_so(tmp_path: Path) -> None:
    loaded = threading.Event()
    turns, _ = opened(tmp_path, TalkingAssistant(), load=lambda: loaded.wait(PATIENCE_S))
    asked = [ask(turns, n, thread=n) for n in range(1, 5)]
    assert {turn.parts[0].stage for turn in asked} == {Stage.LOADING}
    loaded.set()
    for turn in asked:
        watched_to_the_end(turn)
        assert turn.parts[0].stage is Stage.DONE


def test_loading_that_failed_is_told_and_tried_again_by_the_next(tmp_path: Path) -> None:
    tries: list[int] = []

    def load() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ImportError("half a module")

    turns, _ = opened(tmp_path, TalkingAssistant(), load=load)
    first = ask(turns, 1)
    watched_to_the_end(first)
    assert isinstance(first.parts[0].error, EngineError)
    assert first.parts[0].fault in (tmp_path / "app.log").read_text()
    assert "half a module" in (tmp_path / "app.log").read_text()
    second = ask(turns, 1)
    watched_to_the_end(second)
    assert second.parts[0].stage is Stage.DONE
    assert len(tries) == 2


def test_going_down_stores_what_was_said_and_takes_no_more(tmp_path: Path) -> None:
    turns, turn, kept = started(tmp_path, TalkingAssistant(1_000_000), *AnswerMode)
    eventually(lambda: turn.parts[0].text)
    assert turns.close(10)
    assert kept.kept[0][1].cut_off
    assert kept.kept[0][1].text
    assert kept.discarded == []  # they can be asked again after the next start
    with pytest.raises(Stopped, match="is being stopped"):
        ask(turns, 1)


def test_what_was_said_before_a_fault_is_kept(tmp_path: Path) -> None:
    _, turn, kept = started(tmp_path, TalkingAssistant(fault=EngineError("The GPU is gone.")))
    watched_to_the_end(turn)
    assert kept.so_far == {0: "word word word "}


def test_what_was_said_is_stored_while_it_is_said(tmp_path: Path) -> None:
    turns, _, kept = started(tmp_path, TalkingAssistant(1_000_000))
    eventually(lambda: kept.so_far)
    assert kept.so_far[0].startswith("word ")
    assert turns.close(10)


def test_what_may_be_answered_is_looked_at_again_when_its_turn_comes(tmp_path: Path) -> None:
    def check(question: Question) -> None:
        raise PermissionDenied("What you may read changed.")

    assistant = TalkingAssistant()
    turns, kept = opened(tmp_path, assistant)
    turn = turns.ask(person(), [Question("Who?", AnswerMode.BASE)], None, check)
    watched_to_the_end(turn)
    (part,) = turn.parts
    assert (part.stage, part.problem, part.text) == (Stage.FAILED, "What you may read changed.", "")
    assert kept.kept == []
