"""Which adapters answer whom, over real HTTP; and what one click of an admin cannot undo."""

from collections.abc import Iterator
from typing import Any

import pytest

from assistant.modes import AnswerMode
from assistant.shelf import NO_ADAPTER, NONE_APPROVED, Shelf
from core.errors import Conflict
from core.home import open_home
from eval.arms import Plan
from tests.eval_fakes import evaluations, good_assistant, rows
from tests.fakes import ScriptedModel
from tests.served import (
    NAMES,
    PASSWORD,
    Served,
    fire,
    gradio_pages,
    handlers,
    ingest,
    make_app,
    running,
)
from tests.unit.adapters import build_adapter


def said(text: str, adapter: Any) -> str:
    return f"{adapter.name if adapter else 'plain'} says so"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An application with the adapters good, old and raw; the first two are approved."""
    folder = tmp_path_factory.mktemp("served")
    home = open_home(workspace=folder / "workspace", port=1, rag_reader="off",
                     evidence_finder="off")  # fmt: skip
    for name in ("good", "old", "raw"):
        build_adapter(home.workspace.adapters / name, name.encode())
    app, services = make_app(home, ScriptedModel(said))
    for name, role in NAMES.items():
        services.accounts.create(name, PASSWORD, role)
    with running(app) as url:
        tokens = {name: services.accounts.sign_in(name, PASSWORD, "test") for name in NAMES}
        yield Served(url, services, gradio_pages(app), tokens, ingest(folder, services))


@pytest.fixture
def approved(served: Served) -> Shelf:
    """The shelf with old and good promoted one after the other."""
    shelf: Shelf = served.services.shelf
    shelf.set_default(None, None, "afresh")
    for name in ("old", "good"):
        shelf.set_default(name, None, "let through")
    return shelf


def event_of(pages: Any, name: str) -> tuple[int, Any]:
    """The number and the function of a page event, by the handler behind its guard."""
    for number, wrapped, _ in handlers(pages):
        for cell in wrapped.__closure__ or ():
            if getattr(cell.cell_contents, "__qualname__", "") == name:
                return number, wrapped
    raise AssertionError(name)


def ask(served: Served, name: str, **body: Any) -> tuple[int, str]:
    with served.client(name) as client:
        response = client.post("/api/ask", json={"question": "Who?", **body})
    return response.status_code, response.text


@pytest.mark.parametrize("mode", ["tuned", "tuned_rag"])
@pytest.mark.parametrize("adapter", ["raw", "nowhere", "../good", "RAW"])
def test_an_employee_gets_no_adapter_that_was_not_let_through(
    served: Served, approved: Shelf, mode: str, adapter: str
) -> None:
    status, text = ask(served, "anna", mode=mode, adapter=adapter)
    assert 400 <= status < 500
    assert "raw says so" not in text
    assert "You may not use an adapter" in text
    assert "good, old" in text


def test_a_name_with_an_odd_character_is_refused_before_any_adapter_is_sought(
    served: Served, approved: Shelf
) -> None:
    status, text = ask(served, "anna", mode="tuned", adapter="raw\x00")
    assert 400 <= status < 500
    assert "raw says so" not in text
    assert "NUL" in text


def test_an_employee_gets_the_approved_ones_and_an_admin_all(
    served: Served, approved: Shelf
) -> None:
    for name, adapter in (("anna", "good"), ("anna", "old"), ("boss", "raw")):
        status, text = ask(served, name, mode="tuned", adapter=adapter)
        assert (status, f"{adapter} says so" in text) == (200, True)
    assert "good says so" in ask(served, "anna", mode="tuned")[1]


def test_where_none_is_approved_it_is_said_and_other_modes_answer(
    served: Served, approved: Shelf
) -> None:
    approved.set_default(None, None, "it does harm")
    for adapter in (None, "good", "raw"):
        status, text = ask(served, "anna", mode="tuned", adapter=adapter)
        assert (400 <= status < 500, NONE_APPROVED in text) == (True, True)
    assert ask(served, "anna", mode="base", adapter="raw")[0] == 200


def test_the_picker_of_the_page_offers_what_may_be_used(served: Served, approved: Shelf) -> None:
    from ui.chat import AskPage

    page = AskPage(served.services)
    accounts = served.services.accounts
    anna, boss = (accounts.by_token(served.tokens[name]) for name in ("anna", "boss"))
    offered = {one.name: page.adapters(one, None)[0] for one in (anna, boss)}
    assert [value for _, value in offered["anna"]["choices"]] == ["good", "old"]
    assert {value for _, value in offered["boss"]["choices"]} >= {"good", "old", "raw"}
    assert offered["anna"]["value"] == "good"
    approved.set_default(None, None, "off")
    assert page.adapters(anna, "good")[0]["choices"] == [(NONE_APPROVED, "")]
    assert page.adapters(boss, None)[0]["value"] is None, "never whatever comes first"


def test_a_forged_name_in_a_page_event_is_refused_too(served: Served, approved: Shelf) -> None:
    number, _ = event_of(served.pages, "AskPage.ask")
    with served.client("anna") as client:
        result = fire(client, number, ["Who?", "tuned", "raw", None])
    assert "raw says so" not in result["text"]
    assert result.get("success") is False


def test_deleting_asks_first_and_names_what_goes(served: Served) -> None:
    from ui.audits import AuditPanel
    from ui.evaluation import EvaluationPage
    from ui.review import ReviewPage

    services = served.services
    boss = services.accounts.by_token(served.tokens["boss"])
    sets = [services.question_sets.add(rows(4, 0), "Small set").id]
    made = evaluations(services.home, good_assistant())
    plan = Plan(modes=(AnswerMode.BASE,), latency_sample=0)
    number = made.create(sets, plan, title="Spring <b>check</b>")
    page = EvaluationPage(services)
    shown, text, about = page.ask_delete(boss, number)
    assert (shown["visible"], about) == (True, number)
    assert "Spring &lt;b&gt;check&lt;/b&gt;" in text
    assert services.evaluations.get(number).title == "Spring <b>check</b>"
    page.delete(boss, about)
    assert not services.evaluations.exists(number)
    for panel in (AuditPanel(services).ask_delete, page.ask_delete):
        with pytest.raises(Exception, match="first"):
            panel(boss, None)
    with pytest.raises(Exception, match="no proposed question"):
        ReviewPage(services).ask_refuse(boss, "", None)


def test_what_was_not_asked_about_is_not_deleted_whatever_a_program_sends(
    served: Served,
) -> None:
    found = [
        number
        for number, fn in served.pages.fns.items()
        if fn.fn is not None
        and any(
            "bind.<locals>.act" in getattr(cell.cell_contents, "__qualname__", "")
            for cell in getattr(fn.fn, "__closure__", None) or ()
        )
    ]
    assert len(found) >= 4
    with served.client("boss") as client:
        for number in found:
            result = fire(client, number, [1])
            assert result.get("success") is False
            assert "confirm" in result["text"]


def test_deleting_the_default_asks_what_replaces_it(served: Served, approved: Shelf) -> None:
    from ui.promotion import PromotionPanel

    services = served.services
    boss = services.accounts.by_token(served.tokens["boss"])
    panel = PromotionPanel(services)
    *_, about, heir = panel.ask_delete(boss, "good")
    assert (about, heir["visible"]) == ("good", True)
    assert [value for _, value in heir["choices"]] == ["old", NO_ADAPTER]
    assert panel.ask_delete(boss, "raw")[-1]["visible"] is False
    for wrong in (None, "", "raw", "good"):
        with pytest.raises(Conflict):
            panel.delete(boss, "good", wrong)
    panel.delete(boss, "good", "old")
    assert approved.default() == "old"
    panel.delete(boss, "old", NO_ADAPTER)
    assert approved.default() is None
    deeds = [one for one in services.audit.entries(20) if one.action == "adapter.delete"]
    assert [(one.subject, one.detail) for one in deeds] == [
        ("old", {"default": None}), ("good", {"default": "old"}),
    ]  # fmt: skip
    assert [one.outcome for one in services.gate.history(2)] == ["cleared", "promoted"]
    assert "'good', the default, was deleted" in services.gate.history(2)[1].findings[0]
