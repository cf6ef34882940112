"""The Account page: who one is, where one is signed in, the password."""

from typing import Any

import gradio as gr

from core.permissions import Account
from ui.markup import piece
from ui.parts import html, sheet
from ui.services import Services


class AccountPage:
    """Handlers of the page."""

    def __init__(self, services: Services) -> None:
        """Use the accounts of `services`."""
        self._accounts = services.accounts

    def load(self, account: Account) -> str:
        """Show the account and its sign-ins."""
        person = self._accounts.get(account.id)
        return piece("person.html", person=person, sessions=self._accounts.sessions(account.id))


def account_page(blocks: Any, services: Services) -> None:
    """Build the page."""
    page = AccountPage(services)
    with gr.Column(elem_classes="sheet"):
        sheet("Your account", "What Inhouse knows about you, and where you are signed in.")
        with gr.Column(elem_classes="plate"):
            about = html()
            html(piece("account_tools.html"))
    services.guard.employee(blocks.load, page.load, None, [about])
