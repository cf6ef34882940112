"""The gate on stored evaluations: what it picks, misses, refuses, keeps. No model, no index."""

from dataclasses import replace
from typing import Any

import pytest

from assistant.engines.adapter_files import weights_hash
from assistant.manifest import Manifest
from assistant.modes import AnswerMode
from assistant.shelf import Shelf
from core.errors import Conflict, InvalidInput, NotFound
from core.home import Home
from core.jobs import Jobs
from eval.__main__ import commands
from eval.arms import Plan
from eval.evaluations import Evaluations, QuestionSets
from eval.gate import Gate
from tests import eval_fakes

FIRM = (AnswerMode.RAG, AnswerMode.TUNED_RAG)
GENERAL = (AnswerMode.BASE, AnswerMode.TUNED)


def shelf_with(home: Home, *names: str) -> Shelf:
    """A shelf with adapters of a few bytes, each with weights of its own."""
    for name in names:
        folder = home.workspace.adapters / name
        folder.mkdir()
        manifest = Manifest(name, "m", "h", "w", "2026-01-01T00:00:00+00:00", "lora", "d")
        (folder / "manifest.json").write_text(manifest.to_json(), "utf-8")
        (folder / "adapter_config.json").write_text("{}", "utf-8")
        (folder / "adapter_model.safetensors").write_bytes(name.encode())
    return Shelf(home)


def question_set(home: Home, *, general: bool = False, count: int = 120) -> int:
    """A set of 20 facts in two wordings and `count` unanswerable questions."""
    rows = eval_fakes.rows(40, count)
    if general:
        rows = [{**row, "tags": ["general"]} for row in rows]
    return QuestionSets(home).add(rows, "general" if general else "firm").id


def service(home: Home, bad: str = "") -> Evaluations:
    """Evaluations of the adapters on the shelf; `bad` answers wrongly whenever it is on."""
    shelf = Shelf(home)

    def reply(question: Any, passages: Any) -> str:
        return "It is 7." if question.adapter == bad else eval_fakes.read_well(question, passages)

    assistant = eval_fakes.ScriptedAssistant(reply, eval_fakes.TopicRetriever())
    plain = eval_fakes.subject(assistant)

    def describe(arm: Any) -> dict[str, Any]:
        own = {"adapter_hash": weights_hash(shelf.get(arm.adapter).ref.path)} if arm.adapter else {}
        return {**plain.describe(arm), **own, "bad": bad}

    subject = replace(plain, describe=describe)
    return Evaluations(home, lambda _home: lambda _model: subject)


def measured(home: Home, adapters: tuple[str, ...], bad: str = "", *, general: bool = False) -> int:
    """A finished evaluation of the adapters."""
    made = service(home, bad)
    plan = Plan(modes=GENERAL if general else FIRM, adapters=adapters, latency_sample=0)
    number = made.create([question_set(home, general=general)], plan)
    made.run(number)
    return number


def jobs(home: Home) -> Jobs:
    """A queue that nobody works on."""
    return Jobs(home, {"evaluate": "eval.jobs"})


def test_the_gate_promotes_refuses_and_keeps_the_reason_of_an_override(home: Home) -> None:
    shelf, gate = shelf_with(home, "old", "new"), Gate(home)
    measured(home, ("old", "new"))
    for name in ("old", "new"):
        measured(home, (name,), general=True)
    assert gate.promote("old").outcome == "promoted"
    assert shelf.default() == "old"
    measured(home, ("old", "new"), bad="new")
    with pytest.raises(Conflict, match="present default 'old': -100"):
        gate.promote("new")
    assert shelf.default() == "old"
    decision = gate.promote("new", override_reason="urgent wording change")
    assert (decision.allowed, decision.overridden, shelf.default()) == (False, True, "new")
    assert [one.outcome for one in gate.history()] == ["overridden", "refused", "promoted"]
    assert [one.reason for one in gate.history()] == ["urgent wording change", "", ""]


def test_the_general_comparison_is_required_and_says_how_to_get_it(home: Home) -> None:
    shelf, gate = shelf_with(home, "old"), Gate(home)
    number = measured(home, ("old",))
    current, general = gate.judge("old").checks
    assert (current.passed, current.evaluation_id) == (True, number)
    assert (general.passed, general.missing) == (False, None)
    assert "tag 'general'" in general.finding
    with pytest.raises(Conflict, match="No stored question set is general"):
        gate.promote("old")
    with pytest.raises(Conflict, match="No evaluation that could be run"):
        gate.queue_missing("old", jobs(home))
    measured(home, ("old",), "old", general=True)
    with pytest.raises(Conflict, match="the base model on general questions: -"):
        gate.promote("old")
    assert shelf.default() is None


def test_exactly_the_missing_evaluations_are_queued_once_and_open_the_gate(home: Home) -> None:
    shelf, gate, queue = shelf_with(home, "old"), Gate(home), jobs(home)
    question_set(home)
    question_set(home, general=True)
    assert [check.evaluation_id for check in gate.judge("old").checks] == [None, None]
    made = gate.queue_missing("old", queue)
    assert gate.queue_missing("old", queue) == made
    assert [job.payload["evaluation_id"] for job in queue.list()] == made[::-1]
    plans = [Evaluations(home).get(number).plan for number in made]
    assert [plan.modes for plan in plans] == [FIRM, GENERAL]
    for number in made:
        service(home).run(number)
    assert gate.judge("old").missing == ()
    gate.promote("old")
    assert shelf.default() == "old"


def test_a_set_stored_under_two_names_is_asked_once(home: Home) -> None:
    shelf_with(home, "old")
    question_set(home)
    QuestionSets(home).add(eval_fakes.rows(40, 120), "the same from a file")
    missing = Gate(home).judge("old").checks[0].missing
    assert missing is not None
    assert (len(missing.question_set_ids), missing.questions) == (1, 160)


def test_one_evaluation_can_carry_both_comparisons(home: Home) -> None:
    shelf_with(home, "old")
    made = service(home)
    sets = [question_set(home), question_set(home, general=True)]
    plan = Plan(modes=tuple(AnswerMode), adapters=("old",), latency_sample=0)
    number = made.create(sets, plan)
    made.run(number)
    judgement = Gate(home).judge("old")
    assert judgement.allowed, judgement.findings
    assert [check.evaluation_id for check in judgement.checks] == [number, number]
    assert all("on 160 questions" in finding for finding in judgement.findings)


def test_the_newest_evaluation_decides_and_a_small_one_is_made_up_for(home: Home) -> None:
    shelf_with(home, "old")
    measured(home, ("old",))
    made = service(home)
    plan = Plan(modes=FIRM, adapters=("old",), limit=20, latency_sample=0)
    small = made.create([question_set(home)], plan)
    made.run(small)
    check = Gate(home).judge("old").checks[0]
    assert (check.evaluation_id, check.passed) == (small, False)
    assert "too few" in check.finding
    assert check.missing is not None
    assert check.missing.questions == 160


def test_the_gate_wants_the_weights_that_were_measured(home: Home) -> None:
    shelf_with(home, "old", "new")
    gate, number = Gate(home), measured(home, ("old",))
    weights = home.workspace.adapters / "old" / "adapter_model.safetensors"
    weights.write_bytes(b"trained again")
    assert gate.judge("old").checks[0].evaluation_id is None
    with pytest.raises(InvalidInput, match="other weights"):
        gate.promote("old", number)
    with pytest.raises(InvalidInput, match="did not measure 'tuned_rag' with the adapter 'new'"):
        gate.promote("new", number)
    with pytest.raises(NotFound, match="nobody"):
        gate.judge("nobody")


def test_taking_the_default_away_needs_a_reason_and_is_kept(home: Home) -> None:
    shelf, gate = shelf_with(home, "old"), Gate(home)
    with pytest.raises(Conflict, match="nothing to take away"):
        gate.clear("it is wrong")
    gate.promote("old", override_reason="first of all")
    with pytest.raises(InvalidInput, match="No reason"):
        gate.clear("  ")
    gate.clear("it says wrong things")
    assert shelf.default() is None
    newest = gate.history()[0]
    assert (newest.outcome, newest.adapter) == ("cleared", "")
    assert newest.reason == "it says wrong things"


def test_the_command_asks_the_gate_whatever_model_runs(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shelf_with(home, "new")
    monkeypatch.setenv("INHOUSE_MODEL", str(home.workspace.root / "another model"))
    command = ["promote", "new", "--workspace", str(home.workspace.root)]
    # Nothing is set for the mode rag: the built-in reader fits the embedded model alone.
    assert commands().run(command) == Conflict.exit_code
    assert "Not measured yet: 'new'" in capsys.readouterr().err
