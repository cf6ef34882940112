"""Who may read a document, set in a real browser against the real application."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import SLOW, Desk

pytestmark = pytest.mark.browser

NAME = "part-5.md"


def test_groups_are_filled_in_and_opening_a_document_is_asked_about(
    boss: Desk, documents: list[str]
) -> None:
    page = boss.open("/documents")
    row = page.locator("table.list tr", has_text=NAME)
    picked = page.get_by_role("combobox", name="Documents")
    picked.click()
    page.get_by_role("option", name=NAME).click()
    groups = page.get_by_label("Groups", exact=True)
    groups.fill(" Board ")  # No Enter: what was typed must count when the button is pressed.
    page.get_by_role("button", name="Set groups").click()
    page.get_by_text("Nobody is in the group").wait_for(timeout=SLOW)
    expect(row.locator(".chip.warn")).to_have_text("board", timeout=SLOW)

    picked.click()
    page.get_by_role("option", name=NAME).click()
    token = page.locator(".token", has_text="board")
    token.wait_for(timeout=SLOW)
    token.locator(".token-remove").click()
    page.get_by_role("button", name="Set groups").click()
    page.get_by_text("until now board (0 people); then everyone").wait_for(timeout=SLOW)
    boss.picture("documents-wider", whole=True)
    expect(row.locator(".chip.warn")).to_have_text("board")
    page.get_by_role("button", name="Let them read").click()
    expect(row.locator(".chip")).to_have_text("everyone", timeout=SLOW)
