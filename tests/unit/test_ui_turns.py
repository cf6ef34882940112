"""A turn goes on, is stopped, or is given up, whatever becomes of the page that shows it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from assistant.answering import Question
from assistant.modes import Answer, AnswerEvent, AnswerFinished, AnswerMode, TextDelta
from core.errors import EngineError, InvalidInput
from ui.turns import Stage, Turn, Turns


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

    kept: list[tuple[int, str, Answer]] = field(default_factory=list)

    def add_answer(self, conversation_id: int, question: str, answer: Answer) -> int:
        self.kept.append((conversation_id, question, answer))
        return len(self.kept)


def started(tmp_path: Path, assistant: Any, *modes: AnswerMode, patience: float = 15.0) -> Any:
    kept = KeptAnswers()
    turns = Turns(assistant, kept, tmp_path, patience)  # type: ignore[arg-type]
    turn = turns.accept([Question("Who?", mode) for mode in modes or (AnswerMode.BASE,)])
    turns.start(turn, 7)
    return turns, turn, kept


def watched_to_the_end(turn: Turn) -> None:
    version, done = -1, False
    deadline = time.monotonic() + 10
    while not done and time.monotonic() < deadline:
        version, _, done = turn.look(version, 0.5)
    assert done


def test_every_mode_is_answered_in_turn_and_stored(tmp_path: Path) -> None:
    _, turn, kept = started(tmp_path, TalkingAssistant(), *AnswerMode)
    watched_to_the_end(turn)
    assert [answer.mode for _, _, answer in kept.kept] == list(AnswerMode)
    assert [part.stage for part in turn.parts] == [Stage.DONE] * 4
    assert turn.parts[0].first_word_s is not None


def test_stopping_keeps_what_was_said_and_skips_the_rest(tmp_path: Path) -> None:
    turns, turn, kept = started(tmp_path, TalkingAssistant(10_000), *AnswerMode)
    while not turn.look(-1, 0.1)[1][0].text:
        pass
    turns.stop(7)
    watched_to_the_end(turn)
    assert len(kept.kept) == 1
    assert kept.kept[0][2].cut_off
    assert turn.parts[1].stage is Stage.WAITING


def test_when_nobody_looks_any_more_the_answer_ends_and_is_kept(tmp_path: Path) -> None:
    _, turn, kept = started(tmp_path, TalkingAssistant(1_000_000), patience=0.1)
    deadline = time.monotonic() + 10
    while not turn.finished and time.monotonic() < deadline:
        time.sleep(0.02)
    assert turn.finished
    assert kept.kept[0][2].text


def test_a_second_question_in_a_conversation_stops_the_first(tmp_path: Path) -> None:
    turns, first, _ = started(tmp_path, TalkingAssistant(1_000_000))
    second = turns.accept([Question("And?", AnswerMode.BASE)])
    turns.start(second, 7)
    watched_to_the_end(first)
    turns.stop_all()
    watched_to_the_end(second)


def test_a_bad_question_is_refused_before_anything_is_stored(tmp_path: Path) -> None:
    turns, turn, kept = started(tmp_path, TalkingAssistant())
    watched_to_the_end(turn)
    with pytest.raises(InvalidInput):
        turns.accept([Question("", AnswerMode.BASE)])
    assert len(kept.kept) == 1


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
