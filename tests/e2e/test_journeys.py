"""What people do with the product, in a real browser against the real application."""

import json
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, FilePayload, expect

from tests.e2e.conftest import FACTS, SLOW, Desk
from tests.running import PASSWORD, RunningApp

pytestmark = pytest.mark.browser

QUESTION = FACTS[0][0]
MODES = ["Base model", "Documents", "Fine-tuned", "Fine-tuned + documents"]


def test_the_first_password_is_printed_once_and_changed_at_once(
    app: RunningApp, boss: Desk
) -> None:
    boss.open("/")
    expect(boss.page.get_by_role("link", name="admin")).to_be_visible()
    assert app.output.count("password '") == 1


def test_documents_are_listed_and_failures_say_why(boss: Desk, documents: list[str]) -> None:
    page = boss.open("/documents")
    for name in documents:
        page.get_by_text(name).first.wait_for()
    expect(page.locator(".ingest")).to_contain_text("broken.pdf")
    boss.picture("documents", whole=True)
    page.get_by_label("Find by name").fill("part-3")
    expect(page.locator("table.list tbody", has_text="part-3.md")).not_to_contain_text("part-4")
    page.get_by_label("Question or words").fill("bank")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".source").first).to_contain_text("Harbour Bank", timeout=SLOW)


def test_a_citation_opens_the_source_at_the_passage(boss: Desk, documents: list[str]) -> None:
    boss.ask(QUESTION, "Documents")
    boss.picture("ask")
    boss.page.locator("details.more summary, a.source").first.wait_for()
    for details in boss.page.locator("details.more:not([open]) summary").all():
        details.click()
    source = boss.page.locator("a.source", has_text="part 0").first
    with boss.page.context.expect_page() as opened:
        source.click()
    page = opened.value
    page.wait_for_load_state()
    expect(page.locator("mark#passage")).to_contain_text("Ten days a year.")
    expect(page.locator("mark#passage")).to_contain_text("<script>alert(1)</script>")
    expect(page.locator("mark#passage")).to_be_in_viewport()
    page.screenshot(path="test-artifacts/source.png")
    page.close()


def test_a_conversation_survives_a_reload_and_can_be_renamed_and_deleted(
    boss: Desk, documents: list[str]
) -> None:
    boss.ask("Who approves travel, please?", "Documents")
    page = boss.page
    page.reload()
    expect(page.locator("h2.question")).to_have_text("Who approves travel, please?")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Title").fill("About travel")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#conversations")).to_contain_text("About travel")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator("#conversations")).not_to_contain_text("About travel")


def test_an_answer_is_rated_and_the_rating_is_kept(boss: Desk, documents: list[str]) -> None:
    boss.ask("Which bank do we use?", "Documents")
    page = boss.page
    expect(page.locator(".made-by .tag")).to_have_text("read by the built-in reader")
    page.get_by_label("This answer is good").click()
    page.get_by_label("What was good? (optional)").fill("Short.")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Thank you.").wait_for()
    page.reload()
    expect(page.get_by_label("This answer is good")).to_have_attribute("aria-pressed", "true")
    page.get_by_text("How this answer was made").click()
    expect(page.locator(".made dl")).to_contain_text("Index version")


def test_training_is_watched_and_its_adapter_is_on_the_shelf(boss: Desk, adapter: str) -> None:
    page = boss.open("/training")
    page.locator("svg.plot").wait_for()
    expect(page.locator(".figures", has_text="validation loss").last).to_be_visible()
    expect(page.locator("table.list", has_text="Adapter").last).to_contain_text(adapter)
    boss.picture("training", whole=True)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_answers(boss: Desk, adapter: str, mode: str) -> None:
    boss.ask(QUESTION, mode)
    article = boss.page.locator(".answer")
    expect(article).to_have_count(1)
    expect(article.locator(".made-by b")).to_have_text(mode)
    expect(article.locator(".text")).not_to_be_empty()
    has_sources = boss.page.locator(".sources").count() > 0
    assert has_sources is ("ocuments" in mode)


def test_all_modes_side_by_side(boss: Desk, adapter: str) -> None:
    boss.ask(QUESTION, "Compare all four")
    expect(boss.page.locator(".answer.stage-done")).to_have_count(4)
    boss.picture("compare")
    boss.page.reload()
    expect(boss.page.locator(".side-by-side .answer")).to_have_count(4)


def test_bad_questions_get_a_message(boss: Desk) -> None:
    page = boss.open("/")
    page.get_by_label("Question", exact=True).fill("x" * 5000)
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_text("5,000 characters").wait_for()


def test_an_evaluation_ends_in_a_report(boss: Desk, adapter: str) -> None:
    rows = [
        {"id": f"q{n}", "fact_id": f"f{n}", "question": f"Could you look up: {q}", "answer": a,
         "short_answers": [s],
         "kind": "seen", "evidence_file": f"part-{n}.md", "evidence_quote": a}
        for n, (q, a, s) in enumerate(FACTS[:2])
    ]  # fmt: skip
    content = "\n".join(json.dumps(row) for row in rows).encode()
    page = boss.open("/evaluation")
    page.locator(".sheet").get_by_role("link", name="Question sets").click()
    page.get_by_role("button", name="Add a question set").click()
    page.locator("input[type=file]").set_input_files(
        FilePayload(name="held-out.jsonl", mimeType="application/json", buffer=content)
    )
    page.get_by_label("held-out.jsonl").wait_for()
    page.get_by_role("button", name="Check and add").click()
    page.get_by_text("is added: 2 questions").wait_for(timeout=SLOW)
    boss.open("/evaluation")
    page.get_by_label("Question sets").click()
    page.get_by_role("option", name="held-out (2)").click()
    page.keyboard.press("Escape")
    page.get_by_text("More: a judge, energy and price").click()
    page.get_by_label("Language model that also grades").click()
    page.get_by_role("option", name="embedded").click()
    page.get_by_label("Watts while it answers").fill("-1")
    page.get_by_role("button", name="Run the evaluation").click()
    page.get_by_text("The power in watts is -1. Give a number from 0 up").wait_for()
    page.get_by_label("Watts while it answers").fill("65")
    boss.picture("evaluation-form", whole=True)
    page.get_by_role("button", name="Run the evaluation").click()
    page.locator(".verdict .say").wait_for(timeout=2 * SLOW)
    expect(page.locator(".report")).to_contain_text("LLM judge")
    expect(page.locator(".figures-table")).to_contain_text("Kilowatt-hours of 1,000 questions")
    expect(page.locator(".figures-table")).to_contain_text("Token F1")
    expect(page.locator(".answer-row").first).to_be_visible()
    page.locator(".answer-row summary").first.click()
    boss.picture("evaluation", whole=True)
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open the whole report").click()
    opened.value.wait_for_load_state()
    assert "held-out" in opened.value.content()
    opened.value.close()


@pytest.fixture(scope="module")
def employee(browser: Browser, boss: Desk, app: RunningApp) -> Iterator[Desk]:
    """Somebody whom the admin has let in through the page."""
    page = boss.open("/people")
    page.locator("table.list").first.wait_for()
    page.get_by_label("Name", exact=True).fill("anna")
    page.get_by_role("button", name="Create account").click()
    first = page.locator(".notice code").inner_text(timeout=SLOW)
    boss.picture("people", whole=True)
    desk = Desk(browser, app.url)
    desk.sign_in("anna", first)
    desk.change_password(first, PASSWORD + "!")
    yield desk
    desk.close()


def test_an_employee_sees_and_reaches_no_admin_page(documents: list[str], employee: Desk) -> None:
    page = employee.open("/")
    expect(page.get_by_role("link", name="Documents", exact=True)).to_be_visible()
    assert page.get_by_role("link", name="Training").count() == 0
    for path in ("/training", "/question-sets", "/people"):
        employee.open(path)
        assert page.url == f"{employee.url}/"
    employee.open("/documents")
    page.locator("table.list").wait_for()
    expect(page.get_by_role("button", name="Add documents")).to_have_count(0)
    cookies = {one["name"]: one["value"] for one in page.context.cookies()}
    upload = httpx.post(
        f"{employee.url}/gradio_api/upload", cookies=cookies, files={"files": ("a.md", b"x")}
    )
    assert upload.status_code == 403


@pytest.mark.parametrize(
    "path",
    ["/", "/documents", "/training", "/evaluation", "/question-sets", "/people", "/account"],
)
def test_every_page_fits_a_phone(boss: Desk, documents: list[str], path: str) -> None:
    page = boss.page
    page.set_viewport_size({"width": 390, "height": 844})
    try:
        boss.open(path)
        page.locator(".gradio-container h1, h2.question").first.wait_for(timeout=SLOW)
        boss.picture(f"phone{path.replace('/', '-')}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390
    finally:
        page.set_viewport_size({"width": 1280, "height": 800})


def test_every_control_has_a_name(boss: Desk, documents: list[str]) -> None:
    nameless = """() => [...document.querySelectorAll('button, input, textarea, select')]
        .filter(e => e.offsetParent && e.type !== 'file' && !(e.innerText || '').trim()
            && !e.getAttribute('aria-label') && !e.getAttribute('title') && !e.labels?.length
            && !e.closest('label'))
        .map(e => e.outerHTML.slice(0, 160))"""
    for path in ("/", "/documents", "/people", "/account"):
        boss.open(path)
        boss.page.locator(".gradio-container h1, h2.question").first.wait_for(timeout=SLOW)
        assert boss.page.evaluate(nameless) == [], path


def test_signing_out_everywhere_closes_the_page(employee: Desk) -> None:
    page = employee.open("/account")
    page.get_by_role("button", name="Sign out everywhere").click()
    page.wait_for_url("**/sign-in")
    employee.open("/")
    assert "/sign-in" in page.url
