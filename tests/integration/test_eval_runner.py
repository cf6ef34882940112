"""Running an evaluation: stop, crash, failures, repetition. No model, no index."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assistant.modes import AnswerMode
from core.errors import InvalidInput, NotFound, Stopped
from core.home import Home, open_home
from core.progress import Silent
from eval.arms import Plan, parse_modes
from eval.evaluations import Evaluations, QuestionSets, RowFilter
from tests import eval_fakes
from tests.eval_fakes import evaluations, good_assistant, rows
from tests.reports import without_times

PLAN = Plan(adapters=("staff",), batch=8, latency_sample=2)


def asked_for(home: Home, service: Evaluations, plan: Plan = PLAN, **options: Any) -> int:
    return service.create([QuestionSets(home).add(rows(), "rules").id], plan, **options)


class StopAfter(Silent):
    """Asks to stop once `rows` rows are done."""

    def __init__(self, rows: int) -> None:
        self.rows, self.done, self.left = rows, 0.0, [1.0]

    def update(self, done: float, total: float, note: str = "",
               seconds_left: float | None = None) -> None:  # fmt: skip
        self.done = done
        if seconds_left is not None:
            self.left.append(seconds_left)

    def stop_requested(self) -> bool:
        return self.done >= self.rows


class Killed(BaseException):
    """What a kill looks like from inside: nothing may catch it."""


@pytest.fixture
def other_home(tmp_path: Path) -> Home:
    return open_home(workspace=tmp_path / "other")


def test_four_modes_end_to_end(any_home: Home) -> None:
    home = any_home
    service = evaluations(home, good_assistant())
    number = asked_for(home, service)
    summary = service.run(number)
    accuracy = {arm: table["accuracy"]["value"] for arm, table in summary["modes"].items()}
    assert accuracy == {"base": 0.0, "rag": 1.0, "tuned": 0.5, "tuned_rag": 1.0}
    assert summary["modes"]["rag"]["refusal_recall"]["value"] == 1.0
    assert summary["modes"]["rag"]["citation_precision"]["value"] == 1.0
    assert summary["recommendation"]["arm"] == "rag"
    assert service.get(number).state == "done"
    for kind in ("html", "md", "json"):
        assert service.report_path(number, kind).stat().st_size > 1000
    wrong = service.rows(number, RowFilter(arm="tuned", diagnosis="memory miss"))
    assert wrong == []
    assert {row.diagnosis for row in service.rows(number, RowFilter(arm="base"))} == {
        "invention", "right"}  # fmt: skip


def test_a_stopped_evaluation_goes_on_and_reports_the_same(home: Home, other_home: Home) -> None:
    whole, parts = good_assistant(), good_assistant()
    smooth, broken = evaluations(home, whole), evaluations(other_home, parts)
    smooth.run(asked_for(home, smooth))
    number = asked_for(other_home, broken)
    progress = StopAfter(90)
    with pytest.raises(Stopped):
        broken.run(number, progress)
    assert broken.get(number).state == "stopped"
    assert broken.live(number)["base"]["answered"] > 0
    assert all(left >= 0 for left in progress.left)
    before = len(parts.asked)
    broken.run(number)
    assert len(parts.asked) == len(whole.asked) == 4 * 52
    assert len(set(parts.asked[:before]) & set(parts.asked[before:])) <= 4 * 2
    assert without_times(home.workspace.evaluations / "1") == without_times(
        other_home.workspace.evaluations / "1"
    )


def test_a_stop_is_heard_within_a_batch(home: Home) -> None:
    assistant, progress = good_assistant(), StopAfter(1000)
    service = evaluations(home, assistant)
    number = asked_for(home, service)
    real: Callable[..., Any] = assistant.answer_batch
    heard: list[bool] = []

    def asks(questions: Any, cancelled: Callable[[], bool]) -> list[Any]:
        if len(heard) == 2:
            progress.rows = 0
        heard.append(cancelled())
        if heard[-1]:
            raise Stopped("stopped")
        return list(real(questions, cancelled))

    assistant.answer_batch = asks  # type: ignore[method-assign, assignment]
    with pytest.raises(Stopped):
        service.run(number, progress)
    assert heard == [False, False, True]
    assert service.get(number).state == "stopped"
    assert sum(one["answered"] for one in service.live(number).values()) == 2 * PLAN.batch


def test_a_kill_loses_one_batch_at_most(home: Home) -> None:
    assistant = good_assistant()
    service = evaluations(home, assistant)
    number = asked_for(home, service)
    real: Callable[..., Any] = assistant.answer_batch
    calls = []

    def dies(questions: Any, cancelled: Any) -> Any:
        calls.append(len(questions))
        answers = real(questions, cancelled)
        if len(calls) == 7:
            raise Killed
        return answers

    assistant.answer_batch = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        service.run(number)
    kept = sum(one["answered"] for one in service.live(number).values())
    assert kept == sum(calls[:6])
    assistant.answer_batch = real  # type: ignore[method-assign]
    service.run(number)
    assert len(assistant.asked) == 4 * 52 + calls[6]


def test_scoring_again_and_asking_again_generate_nothing(home: Home) -> None:
    assistant = good_assistant()
    service = evaluations(home, assistant)
    number = asked_for(home, service)
    first = service.run(number)
    made = len(assistant.asked)
    again = service.rescore(number)
    second = service.run(asked_for(home, service))
    service.run(number)
    assert len(assistant.asked) == made
    for other in (again, second):
        assert {k: v for k, v in other.items() if k != "timing"} == {
            k: v for k, v in first.items() if k != "timing"}  # fmt: skip


def test_a_fresh_evaluation_answers_anew_and_agrees(home: Home) -> None:
    assistant = good_assistant()
    service = evaluations(home, assistant)
    first = service.run(asked_for(home, service))
    made = len(assistant.asked)
    second = service.run(asked_for(home, service, fresh=True))
    assert len(assistant.asked) == 2 * made
    assert second["modes"] == first["modes"]


def test_another_configuration_is_answered_anew(home: Home) -> None:
    assistant = good_assistant()
    evaluations(home, assistant).run(asked_for(home, evaluations(home, assistant)))
    made = len(assistant.asked)
    changed = evaluations(home, assistant, index_version="2")
    changed.run(asked_for(home, changed))
    assert len(assistant.asked) == 2 * made


def test_failed_rows_are_excluded_with_their_number_and_tried_again_later(home: Home) -> None:
    assistant = good_assistant()
    assistant.fails = frozenset({rows()[0]["question"], rows()[41]["question"]})
    service = evaluations(home, assistant)
    number = asked_for(home, service)
    summary = service.run(number)
    assert summary["counts"]["failed"] == 8
    assert summary["modes"]["rag"]["accuracy"]["n"] == 39
    assert summary["modes"]["rag"]["accuracy"]["value"] == 1.0
    assert "8 rows failed and are excluded" in service.report_path(number, "md").read_text()
    failed = service.rows(number, RowFilter(diagnosis="failed"))
    assert {row.error for row in failed} == {"RuntimeError: out of memory"}
    assistant.fails = frozenset()
    assert service.run(number)["counts"]["failed"] == 8
    assert service.run(asked_for(home, service))["counts"]["failed"] == 0


def test_an_evaluation_where_every_row_fails_says_so(home: Home) -> None:
    assistant = good_assistant()
    assistant.fails = frozenset(row["question"] for row in rows())
    service = evaluations(home, assistant)
    number = asked_for(home, service)
    summary = service.run(number)
    assert summary["recommendation"]["verdict"] == "withheld"
    assert service.report_path(number).exists()


def test_an_adapter_that_went_away_fails_the_evaluation_with_its_name(home: Home) -> None:
    def gone(_arm: object) -> dict[str, Any]:
        raise NotFound("There is no adapter 'staff'.")

    one = eval_fakes.subject(good_assistant())
    broken = type(one)(one.answering, gone, one.embed, one.right_passage, one.text_of)
    service = Evaluations(home, lambda _home: lambda _model: broken)
    number = asked_for(home, service)
    with pytest.raises(NotFound, match="staff"):
        service.run(number)
    assert service.get(number).state == "failed"
    assert "staff" in service.get(number).error


def test_the_oracle_condition_shows_what_the_retriever_costs(home: Home) -> None:
    assistant = eval_fakes.ScriptedAssistant(eval_fakes.read_well, eval_fakes.RandomRetriever())
    service = evaluations(home, assistant)
    plan = Plan(modes=(AnswerMode.BASE, AnswerMode.RAG), oracle=True, latency_sample=0)
    summary = service.run(asked_for(home, service, plan))
    assert summary["modes"]["rag"]["accuracy"]["value"] == 0.0
    assert summary["modes"]["rag+oracle"]["accuracy"]["value"] == 1.0
    assert summary["failures"]["rag"]["all"]["retrieval miss"] == 40
    changes = " ".join(summary["recommendation"]["would_change"])
    assert "with perfect retrieval “Documents” would answer 100%" in changes
    assert [(p["first"], p["second"]) for p in summary["pairs"]] == [("base", "rag")]


def test_two_adapters_are_two_columns(home: Home) -> None:
    service = evaluations(home, good_assistant())
    plan = Plan(modes=(AnswerMode.TUNED,), adapters=("a", "b"), latency_sample=0)
    summary = service.run(asked_for(home, service, plan))
    assert list(summary["modes"]) == ["tuned@a", "tuned@b"]


def test_two_evaluations_are_compared_question_by_question(home: Home) -> None:
    good, bad = good_assistant(), eval_fakes.ScriptedAssistant(
        eval_fakes.read_well, eval_fakes.RandomRetriever())  # fmt: skip
    first, second = evaluations(home, good), evaluations(home, bad, index_version="random")
    one, other = asked_for(home, first), asked_for(home, second)
    first.run(one)
    second.run(other)
    found = first.compare(one, other)["modes"]["rag"]
    assert found["measures"]["accuracy"]["difference"]["value"] == 1.0
    assert found["measures"]["accuracy"]["p"] < 0.001
    assert (len(found["wins"]), found["losses"]) == (40, [])


def test_plans_that_cannot_be_run_are_refused() -> None:
    with pytest.raises(InvalidInput, match="need an adapter"):
        Plan()
    with pytest.raises(InvalidInput, match="'ragg' is unknown"):
        parse_modes(["ragg"])
    with pytest.raises(InvalidInput, match="limit is 0"):
        Plan(adapters=("a",), limit=0)
    with pytest.raises(InvalidInput, match="No mode"):
        Plan(modes=())
    plan = Plan(adapters=("a",), oracle=True, limit=3)
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


def test_deleting_takes_the_report_and_keeps_the_answers(home: Home) -> None:
    assistant = good_assistant()
    service = evaluations(home, assistant)
    number = asked_for(home, service)
    service.run(number)
    service.delete(number)
    assert not (home.workspace.evaluations / str(number)).exists()
    with pytest.raises(NotFound):
        service.get(number)
    made = len(assistant.asked)
    service.run(asked_for(home, service))
    assert len(assistant.asked) == made
