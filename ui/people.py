"""The People page: accounts, roles, groups, sign-ins and the audit log. Admins only."""

from enum import StrEnum
from typing import Any

import gradio as gr

from core.accounts import AccountDetails
from core.passwords import random_password
from core.permissions import Account, Role
from core.values import whole
from ui.guard import message, note
from ui.markup import piece
from ui.parts import groups_of, html, sheet
from ui.services import Services

ENTRIES = 50
ROLES = [("Employee: asks, reads", Role.EMPLOYEE.value), ("Admin: everything", Role.ADMIN.value)]


class Deed(StrEnum):
    """What is done to an account only after a second click, on a button that says it."""

    RENEW = "Set a new password"
    END = "End the sign-ins"
    DISABLE = "Disable the account"
    ENABLE = "Enable the account"
    DELETE = "Delete the account"


_NOT_TO_ONESELF = {
    Deed.RENEW: "This is your own account. Change your password under Account.",
    Deed.END: "This is your own account. Use 'Sign out everywhere' under Account.",
    Deed.DISABLE: "You cannot disable the account you are signed in with.",
    Deed.DELETE: "You cannot delete the account you are signed in with.",
}


class PeoplePage:
    """Handlers of the page; each gets the admin's account first."""

    def __init__(self, services: Services) -> None:
        """Use the accounts and the audit log of `services`."""
        self._accounts = services.accounts
        self._audit = services.audit

    def load(self, account: Account) -> list[Any]:
        """Fill the page."""
        return [*self.listing(account), *self.entries(account, ENTRIES)]

    def listing(self, account: Account) -> list[Any]:
        """Return the table and the choices."""
        people = self._accounts.list()
        return [
            piece("people.html", people=people, me=account.id),
            gr.update(choices=[(person.name, person.id) for person in people]),
        ]

    def entries(self, account: Account, limit: int) -> list[Any]:
        """Return the audit log and how much of it is shown."""
        limit = whole(limit, "number of entries")
        found = self._audit.entries(limit=limit + 1)
        shown = found[:limit]
        return [
            piece("audit.html", entries=shown), limit,
            gr.update(visible=len(found) > len(shown)),
        ]  # fmt: skip

    def more(self, account: Account, limit: int) -> list[Any]:
        """Show older entries too."""
        return self.entries(account, whole(limit, "number of entries") + ENTRIES)

    def create(self, account: Account, name: str, role: str, groups: str) -> list[Any]:
        """Make an account with a first password, shown once."""
        password = random_password()
        made = self._accounts.create(
            name or "", password, role, groups_of(groups or ""), actor=account.name
        )  # fmt: skip
        self._accounts.set_password(made.id, password, actor=account.name)
        shown = piece("first_password.html", name=made.name, password=password)
        return [shown, "", "", *self.listing(account)]

    def choose(self, account: Account, person_id: Any) -> list[Any]:
        """Show another account; what was asked about the last one is off."""
        return [*self.pick(account, person_id), *_NOTHING_ASKED]

    def pick(self, account: Account, person_id: Any) -> list[Any]:
        """Show one account's role, groups and sign-ins."""
        if not person_id:
            return ["", gr.update(), gr.update(), gr.update()]
        person = self._accounts.get(whole(person_id, "account"))
        sessions = self._accounts.sessions(person.id)
        return [
            piece("person.html", person=person, sessions=sessions),
            person.role.value,
            ", ".join(sorted(person.groups)),
            gr.update(value="Enable…" if person.disabled else "Disable…"),
        ]

    def save(self, account: Account, person_id: Any, role: str, groups: str) -> list[Any]:
        """Change role and groups."""
        one = picked(person_id)
        self._accounts.update(one, role=role, groups=groups_of(groups or ""), actor=account.name)
        note("Saved.")
        return [*self.pick(account, one), *self.listing(account)]

    def ask_password(self, account: Account, person_id: Any) -> list[Any]:
        """Ask before giving a new first password."""
        return self._ask(account, person_id, Deed.RENEW)

    def ask_end(self, account: Account, person_id: Any) -> list[Any]:
        """Ask before ending all sign-ins of an account."""
        return self._ask(account, person_id, Deed.END)

    def ask_toggle(self, account: Account, person_id: Any) -> list[Any]:
        """Ask before disabling an account, or enabling it again."""
        disabled = self._accounts.get(picked(person_id)).disabled
        return self._ask(account, person_id, Deed.ENABLE if disabled else Deed.DISABLE)

    def ask_delete(self, account: Account, person_id: Any) -> list[Any]:
        """Ask before deleting an account."""
        return self._ask(account, person_id, Deed.DELETE)

    def confirmed(self, account: Account, asked: Any) -> list[Any]:
        """Do what was asked, to whom it was asked about, whoever is picked by now."""
        if not asked:
            raise message("Choose an account first.", "Nobody chosen")
        deed, one = asked
        person = self._accounts.get(one)
        _refuse_own(account, person, deed)
        shown = self._do(account, person, deed)
        left = None if deed is Deed.DELETE else person.id
        table, choices = self.listing(account)
        return [
            *_NOTHING_ASKED, shown, *self.pick(account, left), table, {**choices, "value": left},
        ]  # fmt: skip

    def _ask(self, account: Account, person_id: Any, deed: Deed) -> list[Any]:
        person = self._accounts.get(picked(person_id))
        _refuse_own(account, person, deed)
        question = piece("confirm_account.html", name=person.name, deed=deed.name)
        asked = (deed, person.id)
        return [gr.update(visible=True), asked, question, gr.update(value=deed.value)]

    def _do(self, account: Account, person: AccountDetails, deed: Deed) -> str:
        """Return what is to be shown beside the note: a password, or nothing."""
        accounts, actor = self._accounts, account.name
        if deed is Deed.RENEW:
            password = random_password()
            accounts.set_password(person.id, password, actor=actor)
            note(f"{person.name} has a new password.")
            return piece("first_password.html", name=person.name, password=password)
        if deed is Deed.END:
            accounts.end_sessions(person.id, actor=actor)
            note(f"All sign-ins of {person.name} have ended.")
        elif deed is Deed.DELETE:
            accounts.delete(person.id, actor=actor)
            note(f"The account {person.name} is deleted.")
        else:
            accounts.update(person.id, disabled=deed is Deed.DISABLE, actor=actor)
            done = "disabled" if deed is Deed.DISABLE else "enabled"
            note(f"The account {person.name} is {done}.")
        return ""


_NOTHING_ASKED = (gr.update(visible=False), None)
"""Closes the question and forgets it."""


def _refuse_own(account: Account, person: AccountDetails, deed: Deed) -> None:
    if person.id == account.id and deed in _NOT_TO_ONESELF:
        raise message(_NOT_TO_ONESELF[deed])


def picked(person_id: Any) -> int:
    """Return the chosen account's id, or say that none was chosen."""
    if not person_id:
        raise message("Choose an account first.", "Nobody chosen")
    return whole(person_id, "account")


def people_page(blocks: Any, services: Services) -> None:
    """Build the page."""
    page = PeoplePage(services)
    guard = services.guard
    with gr.Column(elem_classes="sheet"):
        sheet("People", "Who may sign in, what they may do, and which documents they may read.")
        table = html()
        with gr.Row(equal_height=False):
            with gr.Column(elem_classes="plate"):
                html("<h2>New account</h2>")
                name = gr.Textbox(label="Name", max_lines=1)
                role = gr.Radio(ROLES, value=Role.EMPLOYEE.value, label="Role")
                groups = gr.Textbox(label="Groups", placeholder="legal, board", max_lines=1)
                create = gr.Button("Create account", variant="primary")
                made = html()
            with gr.Column(elem_classes="plate"):
                html("<h2>Change an account</h2>")
                person = gr.Dropdown(label="Account", choices=[], value=None)
                about = html()
                new_role = gr.Radio(ROLES, label="Role")
                new_groups = gr.Textbox(label="Groups", max_lines=1)
                save = gr.Button("Save role and groups", variant="primary")
                with gr.Row(elem_classes="tools"):
                    reset = gr.Button("New password…", size="sm")
                    end = gr.Button("End sign-ins…", size="sm")
                    toggle = gr.Button("Disable…", size="sm")
                    delete = gr.Button("Delete…", size="sm")
                confirm, question, yes, leave = _question()
                renewed = html()
        html("<h2>What was done</h2>")
        log = html()
        older = gr.Button("Show older entries", size="sm", visible=False)
        limit = gr.State(ENTRIES)
        asked = gr.State(None)
    listed = [table, person]
    shown = [about, new_role, new_groups, toggle]
    guard.admin(blocks.load, page.load, None, [*listed, log, limit, older])
    guard.admin(create.click, page.create, [name, role, groups], [made, name, groups, *listed])
    closed = [confirm, asked]
    guard.admin(person.input, page.choose, [person], [*shown, *closed])
    guard.admin(save.click, page.save, [person, new_role, new_groups], [*shown, *listed])
    for button, ask in (
        (reset, page.ask_password), (end, page.ask_end),
        (toggle, page.ask_toggle), (delete, page.ask_delete),
    ):  # fmt: skip
        guard.admin(button.click, ask, [person], [*closed, question, yes])
    guard.admin(yes.click, page.confirmed, [asked], [*closed, renewed, *shown, *listed])
    guard.admin(leave.click, lambda account: list(_NOTHING_ASKED), None, closed)
    guard.admin(older.click, page.more, [limit], [log, limit, older])


def _question() -> tuple[Any, Any, Any, Any]:
    """Return a hidden question: its frame, its text, and the buttons for yes and no."""
    with gr.Group(visible=False, elem_classes="confirm") as frame:
        text = html()
        with gr.Row():
            yes = gr.Button("Yes", variant="stop", size="sm")
            leave = gr.Button("Leave it as it is", size="sm")
    return frame, text, yes, leave
