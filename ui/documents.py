"""The Documents page: everyone sees what they may read; admins add, restrict and delete."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from core.permissions import Account, Role, reader_of
from core.values import whole
from retrieval.library import Document
from ui.adding import HIDDEN, NO_JOB, Adding, add_panel, groups_field, hide
from ui.chat_view import source_path
from ui.guard import Guard, chosen, message, note
from ui.markup import piece
from ui.parts import groups_of, html, sheet
from ui.readers import Change, Readers
from ui.services import Services

PAGE = 50
LONGEST_FILTER = 200
"""Characters of a part of a name."""


class DocumentsPage:
    """Handlers of the page; each gets the account first."""

    def __init__(self, services: Services) -> None:
        """Use the library and jobs of `services`."""
        self.adding = Adding(services)
        self._library = services.retrieval.library
        self._retriever = services.retrieval.retriever
        self._readers = Readers(services.retrieval.library, services.accounts)
        self._audit = services.audit
        self._longest = services.home.settings.question_characters

    def load(self, account: Account) -> list[Any]:
        """Fill the page: list, choices, job, and the admin's panels."""
        admin = account.role is Role.ADMIN
        return [
            *self.listing(account, "", PAGE),
            gr.update(visible=admin),
            gr.update(visible=admin),
            gr.update(choices=self._readers.known() if admin else []),
            *(self.adding.watch(account) if admin else NO_JOB),
        ]

    def listing(self, account: Account, query: str, limit: int) -> list[Any]:
        """Return the table, the choices of the change panel and the 'more' button."""
        reader = reader_of(account)
        query = (query or "")[:LONGEST_FILTER]
        limit = whole(limit, "number of documents")
        found = self._library.documents(reader, limit=limit, query=query or "")
        total = self._library.count(reader, query or "")
        table = documents_html(found, total, query or "", admin=account.role is Role.ADMIN)
        choices = [(document.label, document.id) for document in found]
        return [
            table,
            gr.update(choices=choices),
            gr.update(visible=total > len(found)),
            limit,
        ]

    def more(self, account: Account, query: str, limit: int) -> list[Any]:
        """Show another page of the list."""
        return self.listing(account, query, whole(limit, "number of documents") + PAGE)

    def tick(self, account: Account, query: str, limit: int) -> list[Any]:
        """Look at the job; refresh the list with it, so that it grows before one's eyes."""
        return [*self.adding.watch(account), *self.listing(account, query, limit)]

    def pick(self, account: Account, ids: Any) -> list[Any]:
        """Show the groups of the chosen documents; a question about others is void."""
        documents = [self._library.get(int(one), reader_of(account)) for one in ids or []]
        groups = sorted({name for document in documents for name in document.groups})
        sets = {document.groups for document in documents}
        told = [(one.label, self._readers.told(one.groups)) for one in documents]
        differ = piece("groups_differ.html", rows=told) if len(sets) > 1 else ""
        return [gr.update(choices=self._readers.known(), value=groups), differ, HIDDEN, HIDDEN]

    def set_groups(
        self, account: Account, ids: Any, groups: Any, query: str, limit: int
    ) -> list[Any]:
        """Restrict the chosen documents to groups; ask first where more people could read."""
        changes = self._changes(account, ids, groups)
        wider = [change for change in changes if change.widens]
        if not wider:
            return self._change(account, changes, query, limit)
        shown = gr.update(visible=True)
        return [
            _asked(changes), self._readers.question(wider), shown,
            *(gr.update() for _ in range(4)),
        ]  # fmt: skip

    def widen(
        self, account: Account, asked: Any, ids: Any, groups: Any, query: str, limit: int
    ) -> list[Any]:
        """Do what was asked about; nothing else may have been chosen or changed since."""
        changes = self._changes(account, ids, groups)
        if asked != _asked(changes):
            raise message("The choice or its groups changed since you were asked. Set them again.")
        return self._change(account, changes, query, limit)

    def _changes(self, account: Account, ids: Any, groups: Any) -> list[Change]:
        names, reader = groups_of(groups), reader_of(account)
        wanted = chosen(ids, "one or more documents")
        return [Change(self._library.get(one, reader), names) for one in wanted]

    def _change(
        self, account: Account, changes: Sequence[Change], query: str, limit: int
    ) -> list[Any]:
        after = changes[0].after
        self._readers.warn_of_nobody(after)
        for change in changes:
            if change.differs:
                document = change.document
                self._library.set_groups(document.id, after)
                self._audit.record(
                    account.name, "documents.groups", document.label,
                    {
                        "document": document.id, "before": sorted(document.groups),
                        "groups": sorted(after),
                    },
                )  # fmt: skip
        note(f"Restricted to {', '.join(sorted(after))}." if after else "Open to everyone.")
        return [None, "", HIDDEN, *self._listed_anew(account, query, limit)]

    def _listed_anew(self, account: Account, query: str, limit: int) -> list[Any]:
        """The list, with no document chosen any more."""
        table, choices, *rest = self.listing(account, query, limit)
        return [table, {**choices, "value": []}, *rest]

    def ask_delete(self, account: Account, ids: Any) -> list[Any]:
        """Ask before deleting."""
        wanted = chosen(ids, "one or more documents")
        names = [self._library.get(one, reader_of(account)).label for one in wanted]
        return [sorted(wanted), piece("confirm.html", names=names), gr.update(visible=True)]

    def delete(self, account: Account, asked: Any, ids: Any, query: str, limit: int) -> list[Any]:
        """Delete the documents that were asked about."""
        wanted = chosen(ids, "one or more documents")
        if asked != sorted(wanted):
            raise message("The choice changed since you were asked. Delete again.")
        names = [self._library.get(one, reader_of(account)).label for one in wanted]
        count = self._library.delete(wanted)
        self._audit.record(account.name, "documents.delete", ", ".join(names), {"ids": wanted})
        note(f"{count} deleted.")
        return [HIDDEN, *self._listed_anew(account, query, limit)]

    def try_search(self, account: Account, query: str) -> str:
        """Search as the assistant would, and show what comes."""
        if not (query or "").strip():
            raise message("Type what to search for.", "Nothing to search for")
        if len(query) > self._longest:
            raise message(
                f"This text has {len(query):,} characters; search for at most {self._longest:,}."
            )
        found = self._retriever.search(query, limit=8, reader=reader_of(account))
        rows = [(passage, source_path(passage)) for passage in found]
        return piece("search.html", rows=rows)


def _asked(changes: Sequence[Change]) -> list[Any]:
    """What a question about `changes` was about, to be compared when it is answered."""
    return [
        [change.document.id, sorted(change.document.groups), sorted(change.after)]
        for change in changes
    ]


def documents_html(found: Sequence[Document], total: int, query: str, *, admin: bool) -> str:
    """Render the list."""
    return piece("documents.html", documents=found, total=total, query=query, admin=admin)


def documents_page(blocks: Any, services: Services) -> None:
    """Build the page."""
    page = DocumentsPage(services)
    guard = services.guard
    with gr.Column(elem_classes="sheet"):
        sheet("Documents", "What the assistant may search. Answers cite these files.")
        with gr.Column(visible=False, elem_classes="plate") as adding:
            timer, watched, groups = add_panel(page.adding, guard)
        with gr.Row(elem_classes="finder"):
            query = gr.Textbox(
                label="Find by name", placeholder="Part of a name or title", max_lines=1
            )  # fmt: skip
        table = html()
        more = gr.Button("Show more", size="sm", visible=False)
        limit = gr.State(PAGE)
        with gr.Column(visible=False, elem_classes="plate") as change_panel:
            picked = gr.Dropdown(
                label="Documents", choices=[], multiselect=True, value=[], render=False
            )  # fmt: skip
            listed = [table, picked, more, limit]
            _change_panel(page, guard, query, listed)
        _search_panel(page, guard)
    panels = [adding, change_panel, groups]
    guard.employee(blocks.load, page.load, None, [*listed, *panels, *watched])
    guard.employee(query.change, page.listing, [query, limit], listed, trigger_mode="always_last")
    guard.employee(more.click, page.more, [query, limit], listed)
    guard.admin(timer.tick, page.tick, [query, limit], [*watched, *listed])


def _change_panel(page: DocumentsPage, guard: Guard, query: Any, listed: list[Any]) -> None:
    _table, picked, _more, limit = listed
    html("<h2>Change documents</h2>")
    picked.render()
    with gr.Row():
        groups = groups_field("Groups", scale=3)
        set_groups = gr.Button("Set groups", scale=1)
        ask_delete = gr.Button("Delete…", scale=1)
    differ = html()
    widening, deleting = gr.State(), gr.State()
    with gr.Group(visible=False, elem_classes="confirm") as wider:
        wider_text = html()
        with gr.Row():
            widen = gr.Button("Let them read", variant="stop", size="sm")
            restrict = gr.Button("Leave it as it is", size="sm")
    with gr.Group(visible=False, elem_classes="confirm") as confirm:
        confirm_text = html()
        with gr.Row():
            delete = gr.Button("Delete them", variant="stop", size="sm")
            leave = gr.Button("Keep them", size="sm")
    where = [query, limit]
    guard.admin(picked.change, page.pick, [picked], [groups, differ, confirm, wider])
    changed = [widening, wider_text, wider, *listed]
    guard.admin(set_groups.click, page.set_groups, [picked, groups, *where], changed)
    guard.admin(widen.click, page.widen, [widening, picked, groups, *where], changed)
    guard.admin(restrict.click, hide, None, [wider])
    guard.admin(ask_delete.click, page.ask_delete, [picked], [deleting, confirm_text, confirm])
    guard.admin(delete.click, page.delete, [deleting, picked, *where], [confirm, *listed])
    guard.admin(leave.click, hide, None, [confirm])


def _search_panel(page: DocumentsPage, guard: Guard) -> None:
    with gr.Column(elem_classes="plate"):
        html("<h2>Try the search</h2>")
        with gr.Row():
            words = gr.Textbox(
                label="Question or words", placeholder="How many days of leave are there?",
                max_lines=1, scale=4,
            )  # fmt: skip
            search = gr.Button("Search", scale=1)
        hits = html()
    for trigger in (search.click, words.submit):
        guard.employee(trigger, page.try_search, [words], [hits])
