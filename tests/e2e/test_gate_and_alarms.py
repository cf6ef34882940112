"""The gate and the alarms in a real browser: closed, overridden, listed; raised, read, closed.

The evaluations are made before the application starts, by assistants that are made up: what is
shown here is how figures reach a person, not how they come to be.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from core.home import Home, open_home
from core.permissions import Role
from tests.e2e.conftest import SLOW, Desk
from tests.fakes import ScriptedModel
from tests.integration.test_eval_gate import measured, shelf_with
from tests.integration.test_eval_watch import Office, lost_retriever
from tests.served import PASSWORD, make_app, running

pytestmark = pytest.mark.browser


def fill(home: Home) -> None:
    """Two adapters, one of which does harm; and a search that got worse with its documents."""
    shelf_with(home, "spring", "summer")
    measured(home, ("spring", "summer"), bad="summer")
    measured(home, ("spring",), general=True)
    office = Office(home)
    office.choose()
    office.watch.look()
    office.work()
    office.version = "2"
    office.watch.look()
    office.work(lost_retriever())
    assert len(office.watch.look().alarms) == 1
    # The installation itself has another model and other documents: it shall not begin anew.
    office.choose(on_change=False)


@pytest.fixture(scope="module")
def desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    workspace = tmp_path_factory.mktemp("gate") / "workspace"
    home = open_home(workspace=workspace, port=1, rag_reader="off")
    fill(home)
    app, services = make_app(home, ScriptedModel())
    services.accounts.create("boss", PASSWORD, Role.ADMIN)
    with running(app) as url:
        desk = Desk(browser, url)
        desk.sign_in("boss", PASSWORD)
        yield desk
        desk.close()
    services.close()


def choose(desk: Desk, adapter: str) -> None:
    page = desk.open("/training")
    page.get_by_role("heading", name="Decisions").wait_for(timeout=SLOW)
    page.get_by_label("Adapter", exact=True).click()
    page.get_by_role("option", name=adapter).click()
    page.locator(".gate").wait_for(timeout=SLOW)


def test_a_closed_gate_says_why_and_an_override_keeps_its_reason(desk: Desk) -> None:
    page = desk.page
    choose(desk, "summer")
    expect(page.locator(".gate")).to_contain_text("the gate is closed")
    expect(page.locator(".gate")).to_contain_text("worse, beyond the margin of 3 points")
    expect(page.locator(".gate")).to_contain_text("Not measured yet")
    expect(page.get_by_role("button", name="Run the missing evaluation")).to_be_visible()
    expect(page.get_by_role("button", name="Make it the default", exact=True)).to_be_hidden()
    desk.picture("gate-closed", whole=True)
    page.get_by_role("button", name="Make it the default all the same").click()
    page.get_by_text("Write why it becomes the default").wait_for()
    page.get_by_label("Override the gate").fill("The regulator wants the new wording today.")
    page.get_by_role("button", name="Make it the default all the same").click()
    row = page.locator("table.list tbody tr", has_text="overridden")
    expect(row).to_contain_text("The regulator wants the new wording today.", timeout=SLOW)
    expect(row).to_contain_text("boss")
    expect(page.locator("table.list tr", has_text="default").first).to_contain_text("summer")
    desk.open("/people")
    expect(page.locator("body")).to_contain_text("adapter.default", timeout=SLOW)


def test_an_open_gate_promotes_and_the_default_can_be_taken_away(desk: Desk) -> None:
    page = desk.page
    choose(desk, "spring")
    expect(page.locator(".gate")).to_contain_text("the gate is open")
    desk.picture("gate-open", whole=True)
    page.get_by_role("button", name="Make it the default", exact=True).click()
    expect(page.locator("table.list tbody tr", has_text="promoted")).to_contain_text(
        "spring", timeout=SLOW
    )
    page.get_by_role("button", name="Use no adapter…").click()
    page.get_by_label("Why? It is kept with your name.").fill("Under review.")
    page.get_by_role("button", name="Use no adapter", exact=True).click()
    row = page.locator("table.list tbody tr", has_text="default taken away")
    expect(row).to_contain_text("Under review.", timeout=SLOW)
    choose(desk, "summer")
    page.set_viewport_size({"width": 390, "height": 844})
    desk.picture("gate-phone", whole=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 800})


def test_an_alarm_is_shown_with_its_losses_and_a_note_closes_it(desk: Desk) -> None:
    page = desk.open("/evaluation")
    alarm = page.locator(".alarm")
    expect(alarm).to_contain_text("25.0 points fewer of 160 questions", timeout=SLOW)
    expect(alarm).to_contain_text("documents: 1 → 2")
    expect(page.locator("header .badge")).to_contain_text("1")
    alarm.get_by_text("The questions that were lost (40)").click()
    alarm.locator("details.answer-row summary").first.click()
    expect(alarm.locator("details.answer-row").first).to_contain_text("Expected:")
    desk.picture("alarm", whole=True)
    page.get_by_role("button", name="Acknowledge the alarm").click()
    page.get_by_text("The note is empty").wait_for()
    page.get_by_label("What was found or done").fill("The handbook was moved back.")
    page.get_by_role("button", name="Acknowledge the alarm").click()
    expect(alarm).to_have_count(0, timeout=SLOW)
    page.get_by_text("Acknowledged alarms (1)").click()
    expect(page.locator(".closed")).to_contain_text("The handbook was moved back.")
    page.reload()
    page.get_by_text("Acknowledged alarms (1)").wait_for(timeout=SLOW)
    expect(page.locator("header .badge")).to_have_count(0)


def test_two_evaluations_are_compared_and_a_history_is_drawn(desk: Desk) -> None:
    page = desk.open("/evaluation")
    history = page.locator(".history")
    expect(history.locator("svg circle").first).to_be_visible(timeout=SLOW)
    history.get_by_text("As a table").click()
    expect(history.locator("tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Compare", exact=True).click()
    found = page.locator(".comparison")
    expect(found).to_contain_text("160 questions in common", timeout=SLOW)
    expect(found.get_by_role("row", name=re.compile("^Documents"))).to_contain_text("worse")
    expect(found.get_by_role("row", name=re.compile("^Base model"))).to_contain_text(
        "no difference shown"
    )
    found.get_by_text("Documents: 40 lost").click()
    expect(found.locator("details.answer-row").first).to_be_visible()
    desk.picture("comparison", whole=True)
    page.set_viewport_size({"width": 390, "height": 844})
    desk.picture("comparison-phone", whole=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 800})


def test_the_watch_keeps_its_settings(desk: Desk) -> None:
    page = desk.open("/evaluation")
    page.get_by_role("heading", name="Re-evaluation by itself").wait_for(timeout=SLOW)
    # What is typed before the page has loaded its values would be written over by them.
    page.locator("table.list:visible, .empty:visible").first.wait_for(timeout=SLOW)
    page.get_by_text("When, and on which questions").click()
    days, floor = page.get_by_label("Every so many days"), page.get_by_label("Floor, Documents: %")
    # A field that is shown late takes its stored value once more.
    while (days.input_value(), floor.input_value()) != ("30", "60"):
        for field, value in ((days, "30"), (floor, "60")):
            field.fill(value)
            field.press("Tab")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Saved. The next look follows it.").wait_for(timeout=SLOW)
    page.reload()
    page.get_by_text("When, and on which questions").click()
    expect(page.get_by_label("Every so many days")).to_have_value("30", timeout=SLOW)
    expect(page.get_by_label("Floor, Documents: %")).to_have_value("60")
