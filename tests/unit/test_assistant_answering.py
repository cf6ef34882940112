"""The one path in four modes, without any model."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.answering import Assistant, Question
from assistant.engines.base import AdapterRef
from assistant.modes import Answer, AnswerFinished, AnswerMode, Message, PassagesFound, TextDelta
from assistant.prompts import PROMPT_VERSION, REFUSAL, PromptBuilder, render
from assistant.shelf import Shelf
from core.errors import AdapterError, InvalidInput, NotFound, Stopped
from core.home import Home
from retrieval.passages import Passage
from tests.fakes import ListRetriever, ScriptedModel
from tests.unit.adapters import put_adapter

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
LEAVE = Passage(1, 1, "leave.md", "Leave", "Annual", "Employees get 28 days of leave.", 0.8)
SICK = Passage(2, 1, "leave.md", "Leave", "", "Many sick employees call the manager first.", 0.6)


def reply(text: str, adapter: AdapterRef | None) -> str:
    return f"{'Tuned' if adapter else 'Plain'}: 28 days [1] [7]."


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel(reply)


@pytest.fixture
def assistant(home: Home, model: ScriptedModel) -> Assistant:
    return assistant_of(home, model)


def assistant_of(home: Home, model: ScriptedModel, **settings: object) -> Assistant:
    changed = home.settings.model_copy(update=settings)
    shelf = Shelf(home, home.workspace.root / "no built-in reader")
    return Assistant(model, ListRetriever([LEAVE, SICK]), shelf, changed)


def finished(assistant: Assistant, question: Question) -> Answer:
    *_, last = assistant.answer(question)
    assert isinstance(last, AnswerFinished)
    return last.answer


@pytest.mark.parametrize("mode", list(AnswerMode))
def test_two_switches_make_four_modes(
    home: Home, assistant: Assistant, model: ScriptedModel, mode: AnswerMode
) -> None:
    ref = put_adapter(home, "house")
    question = Question("How many days of leave?", mode, adapter="house")
    events = list(assistant.answer(question))
    assert isinstance(events[0], PassagesFound) == mode.uses_retrieval
    assert isinstance(events[-1], AnswerFinished)
    answer = events[-1].answer
    assert answer.mode is mode
    assert answer.text.startswith("Tuned" if mode.uses_adapter else "Plain")
    assert answer.passages == ((LEAVE, SICK) if mode.uses_retrieval else ())
    assert answer.cited == ((1,) if mode.uses_retrieval else ())
    assert answer.adapter == ("house" if mode.uses_adapter else None)
    assert answer.provenance["adapter_hash"] == (ref.hash if mode.uses_adapter else None)
    assert answer.provenance["model"] == "scripted"
    assert answer.provenance["prompt_version"] == PROMPT_VERSION
    assert answer.provenance["index_version"] == ("1" if mode.uses_retrieval else None)
    assert answer.provenance["passages"] == ([1, 2] if mode.uses_retrieval else [])
    assert answer.provenance["sampling"]["temperature"] == 0
    assert "".join(e.text for e in events if isinstance(e, TextDelta)).endswith("[1] [7].")
    timing = answer.timing
    assert 0 <= timing.search_s <= timing.first_token_s <= timing.total_s
    assert timing.answer_tokens == 5
    assert not answer.cut_off


@pytest.mark.parametrize("mode", list(AnswerMode))
def test_the_model_sees_exactly_the_golden_prompt(
    home: Home, assistant: Assistant, model: ScriptedModel, mode: AnswerMode
) -> None:
    put_adapter(home, "house")
    list(assistant.answer(Question("How many days of leave?", mode, adapter="house")))
    seen = "\n".join(f"<{m.role}>\n{m.content}" for m in model.seen[-1]) + "\n"
    path = GOLDEN / f"prompt_small_{'rag' if mode.uses_retrieval else 'base'}.txt"
    assert seen == path.read_text("utf-8")


def test_nothing_found_refuses_without_generating(
    assistant: Assistant, model: ScriptedModel
) -> None:
    answer = finished(assistant, Question("zebra?", AnswerMode.RAG))
    assert (answer.text, answer.provenance["refused"]) == (REFUSAL, "no passage")
    assert answer.provenance["query"] == "zebra?"
    assert model.seen == []


@pytest.mark.parametrize(("threshold", "refused"), [(0.79, None), (0.81, "below threshold")])
def test_a_weak_best_passage_refuses(
    home: Home, model: ScriptedModel, threshold: float, refused: str | None
) -> None:
    assistant = assistant_of(home, model, refusal_threshold=threshold)
    answer = finished(assistant, Question("days of leave", AnswerMode.RAG))
    assert answer.provenance["refused"] == refused
    assert (answer.text == REFUSAL) == (refused is not None) == (not model.seen)


@pytest.mark.parametrize(
    ("chosen", "own", "used", "refused"),
    [("auto", 0.0, 0.0, False), ("auto", 0.81, 0.81, True), ("auto", 0.79, 0.79, False),
     (0.0, 0.81, 0.0, False), (0.9, 0.1, 0.9, True)],
)  # fmt: skip
def test_auto_takes_the_threshold_of_what_scored_the_passages(
    home: Home, model: ScriptedModel, chosen: object, own: float, used: float, refused: bool
) -> None:
    settings = home.settings.model_copy(update={"refusal_threshold": chosen})
    found = ListRetriever([LEAVE, SICK], threshold=own)
    assistant = Assistant(model, found, Shelf(home), settings)
    answer = finished(assistant, Question("days of leave", AnswerMode.RAG))
    assert answer.provenance["refusal_threshold"] == used
    assert (answer.text == REFUSAL) is refused
    given = Question("days of leave", AnswerMode.RAG, passages_override=(SICK,))
    assert finished(assistant, given).provenance["refusal_threshold"] is None
    base = finished(assistant, Question("days of leave", AnswerMode.BASE))
    assert base.provenance["refusal_threshold"] is None


def test_a_question_must_have_a_fitting_length(home: Home, model: ScriptedModel) -> None:
    assistant = assistant_of(home, model, question_characters=10)
    with pytest.raises(InvalidInput, match="empty"):
        assistant.answer(Question(" \n", AnswerMode.BASE))
    with pytest.raises(InvalidInput, match=r"has 11 characters; at most 10"):
        assistant.answer(Question("x" * 11, AnswerMode.BASE))
    with pytest.raises(InvalidInput, match="100,000"):
        assistant.answer_batch([Question("x" * 100_000, AnswerMode.RAG)])


def test_a_tuned_mode_needs_an_adapter(home: Home, assistant: Assistant) -> None:
    question = Question("days of leave", AnswerMode.TUNED)
    with pytest.raises(InvalidInput, match="Train one first"):
        assistant.answer(question)
    put_adapter(home, "house")
    with pytest.raises(InvalidInput, match="Choose one of: house"):
        assistant.answer(question)
    with pytest.raises(NotFound, match="Did you mean 'house'"):
        assistant.answer(replace(question, adapter="hause"))


def test_the_promoted_adapter_is_used_unless_another_is_named(
    home: Home, assistant: Assistant
) -> None:
    put_adapter(home, "house")
    Shelf(home).set_default("house", None, "best")
    assert finished(assistant, Question("leave", AnswerMode.TUNED)).adapter == "house"
    (home.workspace.adapters / "house" / "manifest.json").write_text("{")
    with pytest.raises(AdapterError, match="damaged"):
        assistant.answer(Question("leave", AnswerMode.TUNED))


def test_a_stop_keeps_what_was_said(assistant: Assistant) -> None:
    heard: list[str] = []
    events = assistant.answer(Question("days", AnswerMode.BASE), lambda: len(heard) >= 2)
    for event in events:
        if isinstance(event, TextDelta):
            heard.append(event.text)
        elif isinstance(event, AnswerFinished):
            assert event.answer.text == "Plain: 28"
            assert event.answer.cut_off
            return
    raise AssertionError("no AnswerFinished")


def test_the_longest_answer_is_cut_off(home: Home, model: ScriptedModel) -> None:
    answer = finished(assistant_of(home, model, answer_tokens=2), Question("x", AnswerMode.BASE))
    assert answer.cut_off
    assert answer.text == "Plain: 28"


def test_a_batch_equals_one_by_one(home: Home, model: ScriptedModel) -> None:
    put_adapter(home, "house")
    assistant = assistant_of(home, model)
    questions = [
        Question(text, mode, adapter="house")
        for text in ("How many days of leave?", "zebra?", "Who to call when sick?")
        for mode in AnswerMode
    ]
    alone = [finished(assistant, question) for question in questions]
    together = assistant.answer_batch(questions)
    for one, other in zip(alone, together, strict=True):
        assert (one.text, one.mode, one.passages, one.cited, one.adapter, one.cut_off) == (
            other.text, other.mode, other.passages, other.cited, other.adapter, other.cut_off
        )  # fmt: skip
        assert one.timing.prompt_tokens == other.timing.prompt_tokens
        same = set(one.provenance) - {"timing"}
        assert {k: one.provenance[k] for k in same} == {k: other.provenance[k] for k in same}
        if not other.provenance["refused"]:
            assert other.provenance["timing"] == "share of a batch"
            assert other.provenance["mean_logprob"] == -0.5
    assert assistant.answer_batch([]) == []


def test_a_stopped_batch_answers_nothing(home: Home, model: ScriptedModel) -> None:
    questions = [Question(f"How many days {n}?", AnswerMode.RAG) for n in range(3)]
    calls = iter([False, True])
    with pytest.raises(Stopped, match="searched"):
        assistant_of(home, model).answer_batch(questions, lambda: next(calls))
    assert model.seen == []
    calls = iter([False] * 4 + [True])
    with pytest.raises(Stopped):
        assistant_of(home, model).answer_batch(questions, lambda: next(calls))
    assert len(model.seen) == 1


def test_given_passages_replace_the_search(assistant: Assistant) -> None:
    given = replace(LEAVE, chunk_id=9)
    answer = finished(assistant, Question("zebra", AnswerMode.RAG, passages_override=(given,)))
    assert answer.passages == (given,)
    empty = finished(assistant, Question("leave", AnswerMode.RAG, passages_override=()))
    assert empty.provenance["refused"] == "no passage"
    base = finished(assistant, Question("leave", AnswerMode.BASE, passages_override=(given,)))
    assert base.passages == ()


def test_a_follow_up_is_searched_with_what_it_leans_on(assistant: Assistant) -> None:
    history = (Message("user", "Who grants leave?"), Message("assistant", "Nobody."))
    answer = finished(assistant, Question("And for how long?", AnswerMode.RAG, history))
    assert answer.provenance["query"] == "Who grants leave? And for how long?"


def test_history_keeps_whole_pairs_and_the_newest(model: ScriptedModel) -> None:
    history = [
        Message(role, f"{role} {n} " + "word " * 20)
        for n in range(4)
        for role in ("user", "assistant")
    ]
    bare = model.count_tokens(render("Why?", None))
    for extra in range(0, 220, 7):
        small = replace(model, context_tokens=bare + 10 + extra)
        messages = PromptBuilder(small, 100, 10).build("Why?", None, history).messages
        turns = messages[1:-1]
        assert len(turns) == 2 * min(4, extra // 46)
        assert list(turns) == history[len(history) - len(turns) :]
        assert small.count_tokens(messages) <= small.context_tokens - 10


def test_the_generator_can_be_dropped_midway(assistant: Assistant) -> None:
    events: Iterator[object] = assistant.answer(Question("days", AnswerMode.BASE))
    next(events)
    del events
