"""Takes the pictures of docs/screenshots anew: `python -m tests.e2e.screenshots [WORKSPACE]`.

Without a workspace the sample company is loaded into a fresh one. A workspace that was used
must have the account `admin` with the tests' password.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.e2e.conftest import CHROMIUM, FLAGS, SLOW, Desk
from tests.running import PASSWORD, ROOT, RunningApp

FOLDER = ROOT / "docs" / "screenshots"
QUESTION = "What is Asdfg Financial and what does it do?"
PAGES = ["documents", "training", "evaluation", "question-sets", "people", "account"]


def small(path: Path) -> None:
    """Reduce a picture to 128 colours: text stays sharp, the file gets small."""
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


def picture(desk: Desk, name: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    desk.page.wait_for_timeout(1500)
    desk.page.screenshot(path=FOLDER / f"{name}.png")
    small(FOLDER / f"{name}.png")


def at_both_widths(desk: Desk, name: str) -> None:
    picture(desk, name)
    desk.page.set_viewport_size({"width": 390, "height": 844})
    desk.page.wait_for_timeout(300)
    picture(desk, f"{name}-phone")
    desk.page.set_viewport_size({"width": 1280, "height": 800})


def tour(desk: Desk, workspace: Path) -> None:
    """Visit every page."""
    # The first answer loads the model; the pictures show what people see from then on.
    desk.ask("Where are the offices?", "Documents")
    tuned = any(workspace.glob("adapters/*/manifest.json"))
    desk.ask(QUESTION, "Fine-tuned + documents" if tuned else "Documents")
    at_both_widths(desk, "ask")
    if tuned:
        desk.ask(QUESTION, "Compare all four")
        at_both_widths(desk, "compare")
    for name in PAGES:
        desk.open(f"/{name}")
        desk.page.locator(".gradio-container h1").first.wait_for(timeout=SLOW)
        desk.page.locator("table.list, .empty, dl.facts").first.wait_for(timeout=SLOW)
        at_both_widths(desk, name)
    link = desk.open("/documents").locator("table.list a").first
    link.wait_for()
    desk.open(link.get_attribute("href") or "/")
    at_both_widths(desk, "source")


def main() -> None:
    """Start the application and a browser, and take all pictures."""
    with tempfile.TemporaryDirectory() as fresh:
        workspace = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(fresh) / "workspace"
        with RunningApp(workspace) as app, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            desk = Desk(browser, app.url)
            if "password '" in app.output:
                desk.open("/sign-in")
                picture(desk, "sign-in")
                desk.sign_in("admin", app.first_password)
                desk.change_password(app.first_password, PASSWORD)
            else:
                desk.sign_in("admin", PASSWORD)
            tour(desk, workspace)
            desk.close()
            browser.close()


if __name__ == "__main__":
    main()
