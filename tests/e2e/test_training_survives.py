"""A training run outlives reloads, other browsers, and the death of the application."""

import csv
import io

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.e2e.conftest import FACTS, SLOW, Desk
from tests.running import PASSWORD, RunningApp

pytestmark = pytest.mark.browser

NAME = "handbook-long"
CHIP = ".job .chip"


def csv_of_facts() -> FilePayload:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["question", "answer", "paraphrases"])
    for question, answer, _ in FACTS:
        writer.writerow([question, answer, f"Tell me: {question}|Please say: {question}"])
    return FilePayload(name="facts.csv", mimeType="text/csv", buffer=text.getvalue().encode())


def start(page: Page) -> None:
    page.get_by_role("heading", name="1. Data").wait_for()
    page.locator("input[type=file]").first.set_input_files(csv_of_facts())
    page.get_by_label("facts.csv").wait_for()
    page.get_by_role("button", name="Check the data").click()
    page.get_by_text("facts to teach").wait_for(timeout=SLOW)
    page.get_by_text("Advanced: every setting").click()
    page.get_by_label("Epochs").fill("500")
    page.get_by_label("Checkpoint every").fill("1")
    page.get_by_label("Documents", exact=True).uncheck()
    page.get_by_label("Name of the adapter").fill(NAME)
    page.get_by_role("button", name="Start training").click()


def steps_done(page: Page) -> int:
    figure = page.locator(".run .figures div", has_text="step").locator("b").first
    text = figure.inner_text(timeout=SLOW).replace(",", "")
    return int(text) if text.isdigit() else 0


def wait_for_step(page: Page, wanted: int) -> None:
    page.wait_for_function(
        """wanted => [...document.querySelectorAll('.run .figures div')]
            .some(e => e.innerText.includes('step')
                && parseInt(e.querySelector('b').innerText.replace(',', '')) >= wanted)""",
        arg=wanted,
        timeout=2 * SLOW,
    )


def test_a_run_survives_a_killed_application_and_can_be_stopped_and_resumed(
    app: RunningApp, boss: Desk, browser: Browser, documents: list[str]
) -> None:
    page = boss.open("/training")
    start(page)
    wait_for_step(page, 2)

    second = Desk(browser, boss.url, width=390)
    second.sign_in("admin", PASSWORD)
    second.open("/training")
    wait_for_step(second.page, 2)
    expect(second.page.get_by_role("button", name="Stop the run")).to_be_visible()
    second.close()

    before = steps_done(page)
    app.kill()
    app.start()
    page = boss.open("/training")
    wait_for_step(page, before + 1)
    boss.picture("training-after-a-kill", whole=True)

    page.get_by_role("button", name="Stop the run").click()
    expect(page.locator(CHIP).first).to_have_text("stopped", timeout=SLOW)
    stopped_at = steps_done(page)
    assert stopped_at > before
    page.get_by_role("button", name="Resume the run").click()
    wait_for_step(page, stopped_at + 1)
    page.get_by_role("button", name="Stop the run").click()
    expect(page.locator(CHIP).first).to_have_text("stopped", timeout=SLOW)

    page.get_by_role("button", name="Delete the run…").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator("table.list").first).not_to_contain_text(NAME, timeout=SLOW)
