"""The People page: accounts, roles, groups, sign-ins and the audit log. Admins only."""

from typing import Any

import gradio as gr

from core.passwords import random_password
from core.permissions import Account, Role
from ui.guard import message, note
from ui.markup import piece
from ui.parts import groups_of, html, sheet
from ui.services import Services

ENTRIES = 50
ROLES = [("Employee: asks, reads", Role.EMPLOYEE.value), ("Admin: everything", Role.ADMIN.value)]


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
        found = self._audit.entries(limit=int(limit) + 1)
        shown = found[: int(limit)]
        return [
            piece("audit.html", entries=shown), int(limit),
            gr.update(visible=len(found) > len(shown)),
        ]  # fmt: skip

    def more(self, account: Account, limit: int) -> list[Any]:
        """Show older entries too."""
        return self.entries(account, int(limit) + ENTRIES)

    def create(self, account: Account, name: str, role: str, groups: str) -> list[Any]:
        """Make an account with a first password, shown once."""
        password = random_password()
        made = self._accounts.create(
            name or "", password, role, groups_of(groups or ""), actor=account.name
        )  # fmt: skip
        self._accounts.set_password(made.id, password, actor=account.name)
        shown = piece("first_password.html", name=made.name, password=password)
        return [shown, "", "", *self.listing(account)]

    def pick(self, account: Account, person_id: Any) -> list[Any]:
        """Show one account's role, groups and sign-ins."""
        if not person_id:
            return ["", gr.update(), gr.update(), gr.update()]
        person = self._accounts.get(int(person_id))
        sessions = self._accounts.sessions(person.id)
        return [
            piece("person.html", person=person, sessions=sessions),
            person.role.value,
            ", ".join(sorted(person.groups)),
            gr.update(value="Enable" if person.disabled else "Disable"),
        ]

    def save(self, account: Account, person_id: Any, role: str, groups: str) -> list[Any]:
        """Change role and groups."""
        one = picked(person_id)
        self._accounts.update(one, role=role, groups=groups_of(groups or ""), actor=account.name)
        note("Saved.")
        return [*self.pick(account, one), *self.listing(account)]

    def reset(self, account: Account, person_id: Any) -> list[Any]:
        """Give a new first password."""
        person = self._accounts.get(picked(person_id))
        password = random_password()
        self._accounts.set_password(person.id, password, actor=account.name)
        shown = piece("first_password.html", name=person.name, password=password)
        return [shown, *self.listing(account)]

    def end(self, account: Account, person_id: Any) -> list[Any]:
        """End all sign-ins of an account."""
        one = picked(person_id)
        self._accounts.end_sessions(one, actor=account.name)
        note("All sign-ins of this account have ended.")
        return self.pick(account, one)

    def toggle(self, account: Account, person_id: Any) -> list[Any]:
        """Disable an account, or enable it again."""
        person = self._accounts.get(picked(person_id))
        self._accounts.update(person.id, disabled=not person.disabled, actor=account.name)
        return [*self.pick(account, person.id), *self.listing(account)]

    def ask_delete(self, account: Account, person_id: Any) -> list[Any]:
        """Ask before deleting an account."""
        person = self._accounts.get(picked(person_id))
        return [piece("confirm_account.html", name=person.name), gr.update(visible=True)]

    def delete(self, account: Account, person_id: Any) -> list[Any]:
        """Delete an account with its conversations."""
        one = picked(person_id)
        if one == account.id:
            raise message("You cannot delete the account you are signed in with.")
        self._accounts.delete(one, actor=account.name)
        note("The account is deleted.")
        return [gr.update(value=None), "", gr.update(visible=False), *self.listing(account)]


def picked(person_id: Any) -> int:
    """Return the chosen account's id, or say that none was chosen."""
    if not person_id:
        raise message("Choose an account first.", "Nobody chosen")
    return int(person_id)


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
                    reset = gr.Button("New password", size="sm")
                    end = gr.Button("End sign-ins", size="sm")
                    toggle = gr.Button("Disable", size="sm")
                    ask_delete = gr.Button("Delete…", size="sm")
                with gr.Group(visible=False, elem_classes="confirm") as confirm:
                    confirm_text = html()
                    with gr.Row():
                        delete = gr.Button("Delete the account", variant="stop", size="sm")
                        leave = gr.Button("Keep it", size="sm")
                renewed = html()
        html("<h2>What was done</h2>")
        log = html()
        older = gr.Button("Show older entries", size="sm", visible=False)
        limit = gr.State(ENTRIES)
    listed = [table, person]
    shown = [about, new_role, new_groups, toggle]
    guard.admin(blocks.load, page.load, None, [*listed, log, limit, older])
    guard.admin(create.click, page.create, [name, role, groups], [made, name, groups, *listed])
    guard.admin(person.input, page.pick, [person], shown)
    guard.admin(save.click, page.save, [person, new_role, new_groups], [*shown, *listed])
    guard.admin(reset.click, page.reset, [person], [renewed, *listed])
    guard.admin(end.click, page.end, [person], shown)
    guard.admin(toggle.click, page.toggle, [person], [*shown, *listed])
    guard.admin(ask_delete.click, page.ask_delete, [person], [confirm_text, confirm])
    guard.admin(delete.click, page.delete, [person], [person, about, confirm, *listed])
    guard.admin(leave.click, lambda account: gr.update(visible=False), None, [confirm])
    guard.admin(older.click, page.more, [limit], [log, limit, older])
