"""The Documents page: everyone sees what they may read; admins add, restrict and delete."""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from core.jobs import Job
from core.permissions import Account, Role, reader_of
from core.values import whole
from core.workspace import remove_folder
from retrieval.discovery import Failure
from retrieval.leftovers import by_reason
from retrieval.library import Document
from ui.chat_view import source_path
from ui.guard import Guard, chosen, message, note
from ui.markup import piece
from ui.parts import TICK, groups_of, html, job_html, sheet, uploaded
from ui.services import Services

PAGE = 50
KIND = "ingest"

_NO_JOB: list[Any] = ["", gr.update(visible=False), gr.update(active=False)]


class DocumentsPage:
    """Handlers of the page; each gets the account first."""

    def __init__(self, services: Services) -> None:
        """Use the library and jobs of `services`."""
        self._home = services.home
        self._library = services.retrieval.library
        self._retriever = services.retrieval.retriever
        self._jobs = services.jobs
        self._audit = services.audit

    def load(self, account: Account) -> list[Any]:
        """Fill the page: list, choices, job, and the admin's panels."""
        admin = account.role is Role.ADMIN
        return [
            *self.listing(account, "", PAGE),
            gr.update(visible=admin),
            gr.update(visible=admin),
            *(self.watch(account) if admin else _NO_JOB),
        ]

    def listing(self, account: Account, query: str, limit: int) -> list[Any]:
        """Return the table, the choices of the change panel and the 'more' button."""
        reader = reader_of(account)
        limit = whole(limit, "number of documents")
        found = self._library.documents(reader, limit=limit, query=query or "")
        total = self._library.count(reader, query or "")
        table = documents_html(found, total, query or "", admin=account.role is Role.ADMIN)
        choices = [(document.path, document.id) for document in found]
        return [
            table,
            gr.update(choices=choices),
            gr.update(visible=total > len(found)),
            limit,
        ]

    def more(self, account: Account, query: str, limit: int) -> list[Any]:
        """Show another page of the list."""
        return self.listing(account, query, whole(limit, "number of documents") + PAGE)

    def add(self, account: Account, files: Any, groups: str) -> list[Any]:
        """Keep uploaded files and queue a job that reads them."""
        paths = uploaded(files)
        if not paths:
            raise message("Choose one or more files first.", "No file")
        folder = keep(paths, self._home.workspace.uploads)
        names = sorted(groups_of(groups or ""))
        count = f"{len(paths)} file{'s' if len(paths) != 1 else ''}"
        payload = {"paths": [str(folder)], "groups": names}
        job_id = self._jobs.submit(
            KIND, payload, title=f"Reading {count}", account_id=account.id
        )  # fmt: skip
        self._audit.record(
            account.name, "documents.add", count, {"job": job_id, "groups": names}
        )  # fmt: skip
        return [gr.update(value=None), *self.watch(account)]

    def watch(self, account: Account) -> list[Any]:
        """Return the newest job's state, and whether to look again."""
        jobs = self._jobs.list(KIND, limit=1)
        if not jobs:
            return _NO_JOB
        job = jobs[0]
        return [ingest_html(job), gr.update(visible=job.active), gr.update(active=job.active)]

    def tick(self, account: Account, query: str, limit: int) -> list[Any]:
        """Look at the job; refresh the list with it, so that it grows before one's eyes."""
        return [*self.watch(account), *self.listing(account, query, limit)]

    def stop(self, account: Account) -> list[Any]:
        """Stop the running ingest; what is in stays in."""
        for job in self._jobs.list(KIND, limit=10):
            if job.active:
                self._jobs.stop(job.id)
                self._audit.record(account.name, "job.stop", job.title, {"job": job.id})
        return self.watch(account)

    def set_groups(
        self, account: Account, ids: Any, groups: str, query: str, limit: int
    ) -> list[Any]:
        """Restrict the chosen documents to groups, or open them to everyone."""
        names = groups_of(groups or "")
        for document_id in chosen(ids, "one or more documents"):
            self._library.set_groups(document_id, names)
            self._audit.record(
                account.name, "documents.groups", str(document_id), {"groups": sorted(names)}
            )
        note(f"Restricted to {', '.join(sorted(names))}." if names else "Open to everyone.")
        return [gr.update(value=[]), *self.listing(account, query, limit)]

    def ask_delete(self, account: Account, ids: Any) -> list[Any]:
        """Ask before deleting."""
        wanted = chosen(ids, "one or more documents")
        names = [self._library.get(one, reader_of(account)).path for one in wanted]
        return [piece("confirm.html", names=names), gr.update(visible=True)]

    def delete(self, account: Account, ids: Any, query: str, limit: int) -> list[Any]:
        """Delete the chosen documents."""
        wanted = chosen(ids, "one or more documents")
        count = self._library.delete(wanted)
        self._audit.record(account.name, "documents.delete", f"{count} documents", {"ids": wanted})
        note(f"{count} deleted.")
        hidden = gr.update(visible=False)
        return [gr.update(value=[]), hidden, *self.listing(account, query, limit)]

    def try_search(self, account: Account, query: str) -> str:
        """Search as the assistant would, and show what comes."""
        if not (query or "").strip():
            raise message("Type what to search for.", "Nothing to search for")
        found = self._retriever.search(query, limit=8, reader=reader_of(account))
        rows = [(passage, source_path(passage)) for passage in found]
        return piece("search.html", rows=rows)


def keep(paths: Sequence[Path], uploads: Path) -> Path:
    """Move files that just arrived into a folder of their own; same names get a number."""
    folder = uploads / secrets.token_hex(8)
    folder.mkdir(parents=True)
    for path in paths:
        target = folder / path.name
        number = 2
        while target.exists():
            target = folder / f"{path.stem} ({number}){path.suffix}"
            number += 1
        shutil.move(path, target)
    return folder


def forget_uploads(uploads: Path, jobs: Sequence[Job]) -> None:
    """Remove files that people sent and no job will read any more; for the start of the app.

    What a stopped ingest left, and training data that was only looked at, should not stay:
    a document that was never stored cannot be deleted by anybody either.
    """
    kept = {path for job in jobs if job.active for path in job.payload.get("paths", ())}
    for folder in uploads.iterdir():
        if folder.name != "held-out" and str(folder) not in kept:
            remove_folder(folder)


def documents_html(found: Sequence[Document], total: int, query: str, *, admin: bool) -> str:
    """Render the list."""
    return piece("documents.html", documents=found, total=total, query=query, admin=admin)


def ingest_html(job: Job) -> str:
    """Render an ingest: its progress, then what went in and what failed with its reason."""
    if not job.result or job.active:
        return job_html(job)
    left_out = by_reason(Failure(**one) for one in job.result["failed"])
    return job_html(job) + piece("ingest.html", result=job.result, left_out=left_out)


def documents_page(blocks: Any, services: Services) -> None:
    """Build the page."""
    page = DocumentsPage(services)
    guard = services.guard
    with gr.Column(elem_classes="sheet"):
        sheet("Documents", "What the assistant may search. Answers cite these files.")
        with gr.Column(visible=False, elem_classes="plate") as add_panel:
            files, groups, add, job, stop = _add_panel()
        with gr.Row(elem_classes="finder"):
            query = gr.Textbox(
                label="Find by name", placeholder="Part of a name or title", max_lines=1
            )  # fmt: skip
        table = html()
        more = gr.Button("Show more", size="sm", visible=False)
        limit = gr.State(PAGE)
        with gr.Column(visible=False, elem_classes="plate") as change_panel:
            html("<h2>Change documents</h2>")
            picked = gr.Dropdown(label="Documents", choices=[], multiselect=True, value=[])
            with gr.Row():
                new_groups = gr.Textbox(
                    label="Groups", placeholder="Empty: everyone may read", max_lines=1, scale=3
                )  # fmt: skip
                set_groups = gr.Button("Set groups", scale=1)
                ask_delete = gr.Button("Delete…", scale=1)
            with gr.Group(visible=False, elem_classes="confirm") as confirm:
                confirm_text = html()
                with gr.Row():
                    delete = gr.Button("Delete them", variant="stop", size="sm")
                    leave = gr.Button("Keep them", size="sm")
        _search_panel(page, guard)
    timer = gr.Timer(TICK, active=False)
    listed = [table, picked, more, limit]
    watched = [job, stop, timer]
    guard.employee(blocks.load, page.load, None, [*listed, add_panel, change_panel, *watched])
    guard.employee(query.change, page.listing, [query, limit], listed, trigger_mode="always_last")
    guard.employee(more.click, page.more, [query, limit], listed)
    guard.admin(add.click, page.add, [files, groups], [files, *watched])
    guard.admin(timer.tick, page.tick, [query, limit], [*watched, *listed])
    guard.admin(stop.click, page.stop, None, watched)
    changed = [picked, *listed]
    guard.admin(set_groups.click, page.set_groups, [picked, new_groups, query, limit], changed)
    guard.admin(ask_delete.click, page.ask_delete, [picked], [confirm_text, confirm])
    guard.admin(delete.click, page.delete, [picked, query, limit], [picked, confirm, *listed])
    guard.admin(leave.click, lambda account: gr.update(visible=False), None, [confirm])


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


def _add_panel() -> tuple[Any, Any, Any, Any, Any]:
    html("<h2>Add documents</h2>")
    files = gr.File(
        label="Files: Markdown, text, HTML, PDF, Word, Excel, CSV", file_count="multiple",
        height=150,
    )  # fmt: skip
    with gr.Row():
        groups = gr.Textbox(
            label="Only for these groups", placeholder="Everyone, or: legal, board",
            max_lines=1, scale=3,
        )  # fmt: skip
        add = gr.Button("Add documents", variant="primary", scale=1)
    job = html()
    stop = gr.Button("Stop reading", size="sm", visible=False)
    return files, groups, add, job, stop
