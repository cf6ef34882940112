"""The report of an evaluation in a real browser: on a phone, in the dark, on paper."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from core.home import open_home
from eval.arms import Plan
from eval.evaluations import QuestionSets
from tests.eval_fakes import evaluations, good_assistant, rows

pytestmark = pytest.mark.browser

A4_PX = 688
"""Width that a page of A4 leaves between its margins, at 96 dots an inch."""
DARKNESS = """() => getComputedStyle(document.body).color.match(/\\d+/g).slice(0, 3)
    .map(Number).reduce((a, b) => a + b) / 3"""
WIDEST = """() => Math.max(...[...document.querySelectorAll('table, figure, pre')]
    .filter(e => e.offsetParent).map(e => e.getBoundingClientRect().right))"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Six columns: as wide as a report of one adapter gets."""
    home = open_home(workspace=tmp_path_factory.mktemp("report") / "workspace")
    assistant = good_assistant()
    assistant.fails = frozenset({rows()[3]["question"]})
    service = evaluations(home, assistant)
    plan = Plan(adapters=("staff-2026",), oracle=True, latency_sample=2)
    number = service.create([QuestionSets(home).add(rows(24, 6), "rules").id], plan)
    service.run(number)
    yield service.report_path(number)
    home.database.close()


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(report.as_uri())
    yield page
    context.close()


def test_on_a_phone_tables_scroll_under_their_own_names(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.locator(".scroll").first
    assert wide.evaluate("e => e.scrollWidth > e.clientWidth")
    wide.evaluate("e => { e.scrollLeft = 200 }")
    name = page.get_by_role("rowheader", name="Accuracy").first
    assert name.evaluate("e => e.getBoundingClientRect().left") >= 0
    caption = page.locator("caption span").first.bounding_box()
    assert caption is not None
    assert caption["x"] >= 0
    assert caption["x"] + caption["width"] <= 390


def test_on_paper_nothing_is_cut_or_shut_and_ink_is_dark(page: Page) -> None:
    page.set_viewport_size({"width": A4_PX, "height": 1000})
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    shut = "document.querySelectorAll('details:not([open])').length"
    assert page.evaluate(shut) == 0
    assert page.evaluate(WIDEST) <= A4_PX + 1
    assert page.evaluate(DARKNESS) < 100, "a dark screen must not print light ink"
    assert not page.locator(".filters").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(shut) > 10


def test_in_the_dark_ink_is_light(page: Page) -> None:
    assert page.evaluate(DARKNESS) < 100
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(DARKNESS) > 200
