"""What an admin does with question sets, in a real browser against the real application."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FilePayload, expect

from tests.e2e.conftest import FACTS, SLOW, Desk
from tests.running import PASSWORD

pytestmark = pytest.mark.browser

HEADER = "id,question,answer,short_answers,kind,evidence_file,evidence_quote,tags"


def table() -> bytes:
    rows = [
        f'f{n},"Would you know: {q}","{a}",{s},unseen,part-{n}.md,"{a}",{"pay" if n else "leave"}'
        for n, (q, a, s) in enumerate(FACTS)
    ]
    return "\n".join([HEADER, *rows]).encode()


@pytest.fixture(scope="module")
def uploaded(boss: Desk, documents: list[str]) -> str:
    page = boss.open("/question-sets")
    page.get_by_role("button", name="Add a question set").click()
    page.locator("input[type=file]").first.set_input_files(
        FilePayload(name="office.csv", mimeType="text/csv", buffer=table())
    )
    page.get_by_label("office.csv").wait_for()
    page.get_by_role("button", name="Check and add").click()
    page.get_by_text("is added: 6 questions").wait_for(timeout=SLOW)
    page.get_by_text("holds 6 questions: below 30").first.wait_for()
    return "office"


def open_set(desk: Desk, name: str) -> None:
    page = desk.open("/question-sets")
    page.get_by_text("Choose a question set above").wait_for(timeout=SLOW)
    page.get_by_label("Question set", exact=True).click()
    page.get_by_role("option", name=name).click()
    page.locator(".set-about h2", has_text=name).wait_for()


def choose_question(desk: Desk, text: str) -> None:
    desk.page.get_by_label("Question to edit").click()
    desk.page.get_by_role("option", name=text).click()
    desk.page.get_by_role("button", name="Save as a new version").wait_for()


def test_an_uploaded_set_is_searched_and_edited_into_a_new_version(
    boss: Desk, uploaded: str
) -> None:
    open_set(boss, uploaded)
    page = boss.page
    page.get_by_label("Contains").fill("sick")
    expect(page.locator("table.questions tbody tr")).to_have_count(1, timeout=SLOW)
    choose_question(boss, "sick leave")
    boss.picture("question-editor", whole=True)
    page.locator("#editor").get_by_label("Answer", exact=True).fill("")
    page.locator("#editor").get_by_label("Short answers, parted by |").fill("")
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator(".problem")).to_contain_text(
        "Answer: marked unseen, yet has no answer", timeout=SLOW
    )
    page.locator("#editor").get_by_label("Answer", exact=True).fill("Ten days in a year.")
    page.locator("#editor").get_by_label("Short answers, parted by |").fill("ten|10")
    page.locator("#editor").get_by_label("Sentence that is the evidence").fill(
        "Eleven days a year."
    )
    page.get_by_role("button", name="Save as a new version").click()
    expect(page.locator(".notice", has_text="Saved as version 2.")).to_be_visible(timeout=SLOW)
    expect(page.locator(".warning")).to_contain_text("the quote is not in 'part-0.md'")
    page.locator(".set-about summary", has_text="2 versions").click()
    expect(page.locator(".set-about")).to_contain_text("changed 'f0'")
    boss.picture("question-sets", whole=True)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert "Ten days in a year." in download.value.path().read_text("utf-8-sig")


@pytest.fixture
def second(browser: Browser, boss: Desk) -> Iterator[Desk]:
    """The same admin at another browser."""
    desk = Desk(browser, boss.url)
    desk.sign_in("admin", PASSWORD)
    yield desk
    desk.close()


def test_two_admins_at_once_do_not_overwrite_each_other(
    boss: Desk, second: Desk, uploaded: str
) -> None:
    for desk in (boss, second):
        open_set(desk, uploaded)
        choose_question(desk, "travel")
        desk.page.locator("#editor").get_by_label("Answer", exact=True).fill(
            f"Said at desk {id(desk)}."
        )
    boss.page.get_by_role("button", name="Save as a new version").click()
    boss.page.get_by_text("Saved as version").wait_for(timeout=SLOW)
    second.page.get_by_role("button", name="Save as a new version").click()
    expect(second.page.locator(".problem, .toast-body")).to_contain_text(
        "changed meanwhile by 'admin'", timeout=SLOW
    )
    open_set(second, uploaded)
    expect(second.page.locator("table.questions")).to_contain_text(f"Said at desk {id(boss)}.")
    expect(second.page.locator("table.questions")).not_to_contain_text(f"desk {id(second)}.")


def test_a_question_is_added_and_a_version_restored_on_a_phone(boss: Desk, uploaded: str) -> None:
    page = boss.page
    page.set_viewport_size({"width": 390, "height": 844})
    try:
        open_set(boss, uploaded)
        page.get_by_role("button", name="Write a new question").click()
        page.locator("#editor").get_by_label("Question", exact=True).fill("Who waters the plants?")
        page.locator("#editor").get_by_label("Unanswerable: refusing is right").check()
        page.get_by_role("button", name="Save as a new version").click()
        page.get_by_text("Saved as version").wait_for(timeout=SLOW)
        boss.picture("phone-question-sets-open", whole=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_label("Older version").fill("Version 1")
        page.get_by_label("Older version").press("Enter")
        page.get_by_role("button", name="Restore it").click()
        expect(page.locator(".set-about")).to_contain_text("6 questions", timeout=SLOW)
    finally:
        page.set_viewport_size({"width": 1280, "height": 800})


def test_a_rated_answer_becomes_a_question_after_review(boss: Desk, documents: list[str]) -> None:
    boss.ask(f"My mail is anna@asdfg.example. {FACTS[5][0]}", "Documents")
    boss.page.get_by_label("This answer is good").click()
    boss.page.get_by_label("What was good? (optional)").wait_for()
    page = boss.open("/question-sets")
    page.get_by_role("tab", name="Proposed questions").click()
    review = page.locator("#review")
    question = review.get_by_label("Question", exact=True)
    question.wait_for(timeout=SLOW)
    while "My mail" not in question.input_value():
        before = question.input_value()
        page.get_by_role("button", name="Later").click()
        expect(question).not_to_have_value(before, timeout=SLOW)
    expect(question).to_have_value(f"My mail is [e-mail address removed]. {FACTS[5][0]}")
    boss.picture("question-review", whole=True)
    question.fill("Which bank keeps our money?")
    review.get_by_label("Unseen: not trained on").check()
    review.get_by_label("Answer", exact=True).fill("We use Harbour Bank.")
    review.get_by_label("Short answers, parted by |").fill("Harbour")
    review.get_by_label("Goes into the set").fill("from people")
    review.get_by_label("Goes into the set").press("Enter")
    page.get_by_role("button", name="Accept").click()
    page.get_by_text("Accepted into “from people”, now version 1").wait_for(timeout=SLOW)
    open_set(boss, "from people")
    expect(page.locator("table.questions")).to_contain_text("Which bank keeps our money?")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_questions_are_proposed_from_documents_and_refused(
    boss: Desk, documents: list[str]
) -> None:
    page = boss.open("/question-sets")
    page.get_by_role("tab", name="Proposed questions").click()
    page.get_by_text("Propose questions from documents").click()
    count = page.get_by_label("Questions", exact=True)
    # What is typed before the page has put its own number there would be overwritten.
    expect(count).to_have_value("30")
    count.fill("0")
    count.press("Tab")
    expect(count).to_have_value("0")
    page.get_by_role("button", name="Propose questions", exact=True).click()
    page.get_by_text("Ask for 1 to 500").wait_for(timeout=SLOW)
    count.fill("5")
    count.press("Tab")
    page.get_by_role("button", name="Propose questions", exact=True).click()
    page.locator(".drafted").wait_for(timeout=2 * SLOW)
    expect(page.locator(".drafted")).to_contain_text("sentences")
    boss.picture("question-drafts", whole=True)
