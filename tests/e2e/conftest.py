"""One application and one browser for all journeys; every request of the browser is recorded."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.running import PASSWORD, ROOT, RunningApp

ARTIFACTS = ROOT / "test-artifacts"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
SLOW = 120_000
"""Milliseconds for what computes."""

LOADED = {
    "/": ".thread:visible, .welcome:visible",
    "/documents": "table.list:visible, .empty:visible",
    "/training": "table.list:visible, .empty:visible",
    "/evaluation": "table.list:visible, .empty:visible",
    "/question-sets": "table.list:visible, .empty:visible, .set-about:visible",
    "/people": "table.list:visible",
}
"""What each page shows once it has loaded."""

FACTS = [
    ("How many days of sick leave are there?", "Ten days a year.", "ten"),
    ("Who approves travel?", "Your manager approves travel.", "manager"),
    ("When is pay day?", "Pay day is the 25th.", "25th"),
    ("Where is the main office?", "The main office is in Lisbon.", "Lisbon"),
    ("What colour is the logo?", "The logo is green.", "green"),
    ("Which bank do we use?", "We use Harbour Bank.", "Harbour"),
]


class Desk:
    """A person at a browser."""

    def __init__(self, browser: Browser, url: str, width: int = 1280) -> None:
        self.url = url
        self._context = browser.new_context(viewport={"width": width, "height": 800})
        self._context.set_default_timeout(SLOW)
        self.page: Page = self._context.new_page()
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                self.problems.append(message.text)
                if "Content Security Policy" in message.text
                else None
            ),
        )

    def open(self, path: str) -> Page:
        """Open a page and wait until it shows what it loads: typing earlier would be lost."""
        self.page.goto(f"{self.url}{path}")
        shown = LOADED.get(urlsplit(self.page.url).path)
        if shown:
            self.page.locator(shown).first.wait_for(timeout=SLOW)
        return self.page

    def sign_in(self, name: str, password: str) -> None:
        self.open("/sign-in")
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_load_state()

    def change_password(self, old: str, new: str) -> None:
        self.page.get_by_label("Present password").fill(old)
        self.page.get_by_label("New password", exact=True).fill(new)
        self.page.get_by_label("New password, again").fill(new)
        self.page.get_by_role("button", name="Save the password").click()
        self.page.wait_for_url("**/account")

    def new_conversation(self) -> Page:
        """Open the Ask page, wait until it shows what was open last, and start afresh."""
        page = self.open("/")
        page.get_by_role("button", name="New conversation").click()
        page.get_by_role("heading", name="Ask about the company").wait_for()
        return page

    def ask(self, question: str, mode: str) -> None:
        """Ask and wait for the finished answer, or answers."""
        self.new_conversation()
        self.page.locator("#mode label", has_text=mode).filter(
            has=self.page.get_by_text(mode, exact=True)
        ).click()
        self.page.get_by_label("Question", exact=True).fill(question)
        self.page.get_by_role("button", name="Ask", exact=True).click()
        self.page.locator("h2.question").wait_for(timeout=SLOW)
        self.page.get_by_role("button", name="Ask", exact=True).wait_for(timeout=SLOW)
        self.page.locator(".answer.stage-done .after").first.wait_for(timeout=SLOW)

    def picture(self, name: str, *, whole: bool = False) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=whole)

    def close(self) -> None:
        own = urlsplit(self.url).netloc
        foreign = [
            url for url in self.requests
            if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != own
        ]  # fmt: skip
        self._context.close()
        assert foreign == [], "the browser asked other hosts"
        assert self.problems == [], "errors in the browser"


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[RunningApp]:
    workspace = tmp_path_factory.mktemp("e2e") / "workspace"
    workspace.mkdir()
    (workspace / "models").symlink_to(models)
    with RunningApp(
        workspace, "--no-sample", environment={"INHOUSE_ANSWER_TOKENS": "24"}
    ) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.skip("Chromium is not installed: apt-get install chromium")
    # A machine with other work, or a cold disk, must not fail a test.
    expect.set_options(timeout=SLOW)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def boss(browser: Browser, app: RunningApp) -> Iterator[Desk]:
    """The first admin, with a password of their own."""
    desk = Desk(browser, app.url)
    desk.sign_in("admin", app.first_password)
    desk.picture("password")
    desk.change_password(app.first_password, PASSWORD)
    yield desk
    desk.close()


@pytest.fixture(scope="session")
def documents(boss: Desk, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Documents, added through the page."""
    folder = tmp_path_factory.mktemp("documents")
    for number, (question, answer, _) in enumerate(FACTS):
        text = f"# Handbook part {number}\n\n{question}\n\n{answer}\n\n<script>alert(1)</script>\n"
        (folder / f"part-{number}.md").write_text(text)
    (folder / "broken.pdf").write_bytes(b"this is not a PDF")
    page = boss.open("/documents")
    page.get_by_role("heading", name="Add documents").wait_for()
    page.locator("input[type=file]").set_input_files(sorted(folder.iterdir()))
    page.get_by_label("broken.pdf").wait_for()
    page.get_by_role("button", name="Add documents").click()
    page.get_by_text("Could not be read").wait_for(timeout=SLOW)
    return sorted(path.name for path in folder.glob("*.md"))


@pytest.fixture(scope="session")
def adapter(boss: Desk, documents: list[str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """An adapter, trained through the page while its reader reloads."""
    file = tmp_path_factory.mktemp("data") / "handbook.jsonl"
    rows = [
        {"question": q, "answer": a, "paraphrases": [f"Tell me: {q}", f"Please say: {q}"]}
        for q, a, _ in FACTS
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    page = boss.open("/training")
    page.get_by_role("heading", name="1. Data").wait_for()
    page.locator("input[type=file]").first.set_input_files(file)
    page.get_by_label("handbook.jsonl").wait_for()
    page.get_by_role("button", name="Check the data").click()
    page.get_by_text("facts to teach").wait_for(timeout=SLOW)
    boss.picture("training-checked", whole=True)
    page.get_by_text("Advanced: every setting").click()
    page.get_by_label("Epochs").fill("2")
    page.get_by_label("Documents", exact=True).uncheck()
    page.get_by_label("Name of the adapter").fill("handbook-tiny")
    page.get_by_role("button", name="Start training").click()
    page.get_by_text("Training handbook-tiny").first.wait_for(timeout=SLOW)
    page.reload()
    page.get_by_text("Training handbook-tiny").first.wait_for(timeout=SLOW)
    page.locator(".job .chip", has_text="done").wait_for(timeout=2 * SLOW)
    page.locator("svg.plot").wait_for(timeout=SLOW)
    return "handbook-tiny"
