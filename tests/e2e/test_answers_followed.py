"""An answer that is under way when it is stopped, or a page is opened, reloaded, or open twice."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect

from core.home import open_home
from core.permissions import Role
from tests.e2e.conftest import Desk
from tests.served import PASSWORD, make_app, running
from tests.slow_model import SlowModel

pytestmark = pytest.mark.browser
ANSWER = ".answer .text"


@dataclass
class SlowApp:
    """An application whose answers end when the test says so."""

    url: str
    model: SlowModel


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlowApp]:
    home = open_home(
        workspace=tmp_path_factory.mktemp("slow") / "workspace", port=1, evidence_finder="off",
        rag_reader="off",
    )  # fmt: skip
    model = SlowModel()
    app, services = make_app(home, model)
    services.accounts.create("anna", PASSWORD, Role.EMPLOYEE)
    with running(app) as url:
        yield SlowApp(url, model)


@pytest.fixture
def desk(browser: Browser, slow: SlowApp) -> Iterator[Desk]:
    slow.model.end.clear()
    desk = Desk(browser, slow.url)
    desk.sign_in("anna", PASSWORD)
    yield desk
    slow.model.end.set()
    desk.close()


def begin(desk: Desk, question: str) -> None:
    """Ask, and wait for the first words."""
    desk.new_conversation()
    desk.page.locator("#mode label", has_text="Base model").click()
    desk.page.get_by_label("Question", exact=True).fill(question)
    desk.page.get_by_role("button", name="Ask", exact=True).click()
    expect(desk.page.locator(ANSWER)).to_contain_text("word3")


def test_stopping_keeps_what_was_said(desk: Desk) -> None:
    begin(desk, "What stays of an answer that is stopped?")
    desk.page.get_by_role("button", name="Stop", exact=True).click()
    expect(desk.page.locator(".answer.stage-done .text")).to_contain_text("word3")
    expect(desk.page.locator(".answer .made-by")).to_contain_text("cut short")
    desk.page.reload()
    expect(desk.page.locator(ANSWER)).to_contain_text("word3")


def test_a_reload_ends_in_what_was_said(desk: Desk) -> None:
    begin(desk, "What is said before a reload?")
    desk.page.reload()
    expect(desk.page.locator(ANSWER)).to_contain_text("word3")
    expect(desk.page.locator(".answer .status")).to_have_text("cut short")
    expect(desk.page.locator(ANSWER)).to_have_count(1)
    desk.picture("cut-short-by-a-reload")


def test_a_second_page_follows_the_answer_of_the_first(desk: Desk, slow: SlowApp) -> None:
    begin(desk, "What does the other page show?")
    second = desk.page.context.new_page()
    second.goto(slow.url)
    expect(second.locator(".answer .status")).to_have_text("writing…")
    first = second.locator(ANSWER).inner_text()
    expect(second.locator(ANSWER)).not_to_have_text(first)
    slow.model.end.set()
    expect(second.locator(".answer.stage-done .text")).to_contain_text("word3")
    expect(second.locator(ANSWER)).to_have_count(1)
    expect(second.get_by_role("button", name="Ask again")).to_be_hidden()
    second.close()
