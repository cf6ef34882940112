"""Judge and rates from the page's form: checked, kept, used by the job, shown in the report."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest

from assistant.answering import Assistant
from assistant.modes import AnswerMode
from assistant.shelf import Shelf
from core.accounts import Accounts
from core.errors import EngineError, InvalidInput
from core.home import Home
from core.permissions import Account, Role
from eval.evaluations import Evaluations
from retrieval.service import open_retrieval
from tests.eval_fakes import good_assistant, rows
from tests.fakes import HashingEmbedder, ScriptedModel
from tests.integration.test_eval_extras import BreakingJudge, judged_by_hand, opened
from tests.quick import QUICK
from ui.evaluation import EvaluationPage
from ui.evaluation_form import judges, plan_of
from ui.services import Services, open_services

BOSS = Account(1, "boss", Role.ADMIN)
MODES = [AnswerMode.BASE.value, AnswerMode.RAG.value]


@pytest.fixture
def services(home: Home) -> Iterator[Services]:
    retrieval = open_retrieval(home, HashingEmbedder())
    model = ScriptedModel(lambda _text, _adapter: "")
    # Nobody works on its queue: the job is looked at, and run here.
    made = open_services(
        home, retrieval, Assistant(model, retrieval.retriever, Shelf(home), home.settings),
        Accounts(home.database, home.settings, passwords=QUICK),
    )  # fmt: skip
    made.accounts.create(BOSS.name, "forty-two open doors", BOSS.role)
    yield made


def asked(services: Services, judge: str, *rates: float | None) -> int:
    """What the form sends; returns the evaluation of the job that it queued."""
    sets = [services.question_sets.add(rows(), "rules").id]
    page = EvaluationPage(services)
    page.run(BOSS, sets, "", MODES, None, 0, False, judge, *rates)
    return int(services.jobs.list("evaluate", limit=1)[0].payload["evaluation_id"])


def test_judge_and_rates_of_the_form_reach_job_report_and_page(services: Services) -> None:
    number = asked(services, "embedded", 3.6, 200, 0.5)
    plan = services.evaluations.get(number).plan
    assert (plan.judge, plan.price_per_hour, plan.watts, plan.price_per_kwh) == (
        "embedded", 3.6, 200.0, 0.5)  # fmt: skip
    judge = BreakingJudge(judged_by_hand)
    # As the job does, with an engine that is made up.
    Evaluations(services.home, opened(good_assistant(), judge)).run(number)
    report = services.evaluations.report_path(number, "md").read_text("utf-8")
    seconds = services.evaluations.summary(number)["timing"]["rag"]["seconds_per_question_in_batch"]
    price = f"{seconds * 1000 / 3600 * (3.6 + 0.2 * 0.5):.3g}"
    assert "Cohen's kappa 1.00" in report
    assert f"| {price} |" in report
    page = str(EvaluationPage(services).show(BOSS, number)[0])
    assert "Cohen&#39;s kappa 1.00" in page
    assert f'<td class="num">{price}</td>' in page
    assert "LLM judge" in page


def test_without_judge_and_rates_nothing_of_them_is_shown(services: Services) -> None:
    number = asked(services, "", None, 0, None)
    Evaluations(services.home, opened(good_assistant())).run(number)
    page = str(EvaluationPage(services).show(BOSS, number)[0])
    for word in ("LLM judge", "Kilowatt-hours", "Price of 1,000"):
        assert word not in page


@pytest.mark.parametrize(
    ("judge", "rates", "said"),
    [
        ("/etc", (0, 0, 0), "/etc.* is not known here"),
        ("", (-1, 0, 0), "price of an hour is -1. Give a number from 0 up"),
        ("", (0, -2.5, 0), "power in watts is -2.5"),
        ("", (0, 0, float("inf")), "price of a kilowatt-hour is inf"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_queued(
    services: Services, judge: str, rates: tuple[Any, ...], said: str
) -> None:
    with pytest.raises((InvalidInput, gr.Error), match=said):
        asked(services, judge, *rates)
    assert services.jobs.list("evaluate") == []
    assert services.evaluations.list() == []


def test_a_judge_of_the_settings_is_offered_and_must_be_there(home: Home) -> None:
    gone = str(home.workspace.root / "gone")
    home = replace(home, settings=home.settings.model_copy(update={"judge": gone}))
    assert [value for _, value in judges(home)] == ["", gone, "embedded"]
    with pytest.raises(EngineError, match=f"judge '{gone}' cannot be opened. Choose another"):
        plan_of(home, MODES, None, 0, False, gone, 0, 0, 0)
