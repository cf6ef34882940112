"""The gate in a real browser: closed, overridden with a reason, listed.

The evaluations are made before the application starts, by assistants that are made up: what is
shown here is how figures reach a person, not how they come to be.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from core.home import Home, open_home
from tests.e2e.conftest import SLOW, Desk
from tests.integration.test_eval_gate import measured, shelf_with
from tests.running import PASSWORD, RunningApp

pytestmark = pytest.mark.browser


def fill(home: Home) -> None:
    """Two adapters: both measured on the firm's questions, one of them does harm."""
    shelf_with(home, "spring", "summer")
    measured(home, ("spring", "summer"), bad="summer")
    measured(home, ("spring",), general=True)


@pytest.fixture(scope="module")
def desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    workspace: Path = tmp_path_factory.mktemp("gate") / "workspace"
    home = open_home(workspace=workspace)
    with closing(home.database):
        fill(home)
    with RunningApp(workspace, "--no-sample") as app:
        desk = Desk(browser, app)
        desk.sign_in("admin", app.first_password)
        desk.change_password(app.first_password, PASSWORD)
        yield desk
        desk.close()


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
    expect(row).to_contain_text("admin")
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
    page.set_viewport_size({"width": 390, "height": 844})
    choose(desk, "summer")
    desk.picture("gate-phone", whole=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 800})
