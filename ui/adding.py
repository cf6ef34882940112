"""The part of the Documents page that adds documents and watches them being read."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from core.jobs import Job, JobState
from core.permissions import Account, reader_of
from retrieval.discovery import Failure
from retrieval.leftovers import by_reason
from retrieval.library import Document
from retrieval.origins import SameName
from ui.guard import Guard, message, note
from ui.markup import piece
from ui.parts import TICK, groups_of, html, job_html, uploaded
from ui.readers import Readers
from ui.services import Services
from ui.uploads import KIND, clean_name, discard, queue, try_again, waiting

HIDDEN = gr.update(visible=False)
NO_JOB: list[Any] = ["", HIDDEN, None, HIDDEN, None, gr.update(active=False)]


class Adding:
    """Handlers of the part; each gets the admin's account first."""

    def __init__(self, services: Services) -> None:
        """Use the library and jobs of `services`."""
        self._services = services
        self._uploads = services.home.workspace.uploads
        self._library = services.retrieval.library
        self._readers = Readers(services.retrieval.library, services.accounts)
        self._jobs = services.jobs
        self._audit = services.audit

    def add(self, account: Account, files: Any, groups: Any) -> list[Any]:
        """Queue uploaded files to be read, or ask first where their names are taken."""
        names = groups_of(groups)
        paths = _sent(files)
        taken = self._taken(account, paths, names)
        if not taken:
            return self._queue(account, paths, names, SameName.KEEP_BOTH)
        rows = [(one, self._readers.told(one.groups)) for one in taken]
        after = self._readers.told(names) if names else ""
        question = piece("confirm_same_name.html", rows=rows, after=after)
        return [gr.update(), question, gr.update(visible=True), *self.watch(account)]

    def keep_both(self, account: Account, files: Any, groups: Any) -> list[Any]:
        """Queue uploaded files; those whose names are taken get others."""
        return self._queue(account, _sent(files), groups_of(groups), SameName.KEEP_BOTH)

    def replace(self, account: Account, files: Any, groups: Any) -> list[Any]:
        """Queue uploaded files; they replace what is stored under their names."""
        return self._queue(account, _sent(files), groups_of(groups), SameName.REPLACE)

    def _taken(
        self, account: Account, paths: Sequence[Path], groups: frozenset[str]
    ) -> list[Document]:
        """Return documents that have a file's name but not its bytes, or other groups."""
        sent: dict[str, str] = {}
        for path in paths:
            with path.open("rb") as file:
                sent[clean_name(path.name)] = hashlib.file_digest(file, "sha256").hexdigest()
        return [
            document for document in self._library.uploaded(sent, reader_of(account))
            if document.sha256 != sent[document.path] or (groups and groups != document.groups)
        ]  # fmt: skip

    def _queue(
        self, account: Account, paths: Sequence[Path], names: frozenset[str], same_name: SameName
    ) -> list[Any]:
        self._readers.warn_of_nobody(names)
        queue(self._services, account, paths, names, same_name)
        return [gr.update(value=None), "", HIDDEN, *self.watch(account)]

    def watch(self, account: Account) -> list[Any]:
        """Return the jobs to look at, which can be stopped or tried again, whether to go on."""
        open_jobs = [job for job in self._jobs.unsettled() if job.kind == KIND]
        active = sorted((one for one in open_jobs if one.active), key=_runs_last)
        newest = self._jobs.list(KIND, limit=1)
        failed = [job for job in (*newest, *reversed(open_jobs)) if waiting(job, self._uploads)]
        running, held = next(iter(active), None), next(iter(failed), None)
        seen = (running or next(iter(newest), None), held)
        shown = {job.id: ingest_html(job) for job in seen if job is not None}
        queued = {"more": len(active) - 1, "held": len({job.id for job in failed})}
        return [
            Markup("").join(shown.values()) + piece("ingest_queue.html", **queued),
            gr.update(visible=running is not None),
            running.id if running else None,
            gr.update(visible=held is not None),
            held.id if held else None,
            gr.update(active=bool(active)),
        ]

    def stop(self, account: Account, job_id: Any) -> list[Any]:
        """Stop the ingest that is shown and no other; what is in stays in."""
        job = self._jobs.get(int(job_id)) if job_id else None
        if job is not None and job.active:
            self._jobs.stop(job.id)
            self._audit.record(account.name, "job.stop", job.title, {"job": job.id})
        else:
            note("It had ended already. Nothing else was stopped.")
        return self.watch(account)

    def try_again(self, account: Account, job_id: Any) -> list[Any]:
        """Read the files of the failed upload that is shown once more."""
        if job_id:
            try_again(self._services, account, int(job_id))
        return self.watch(account)

    def ask_discard(self, account: Account, job_id: Any) -> list[Any]:
        """Ask before the files of a failed upload are removed."""
        if not job_id:
            raise message("No upload waits to be tried again.", "Nothing to discard")
        job = self._jobs.get(int(job_id))
        return [job.id, piece("confirm_discard.html", job=job), gr.update(visible=True)]

    def discard(self, account: Account, job_id: Any) -> list[Any]:
        """Remove the files of the upload that was asked about."""
        if job_id:
            discard(self._services, account, int(job_id))
        return [HIDDEN, *self.watch(account)]


def _sent(files: Any) -> list[Path]:
    paths = uploaded(files)
    if not paths:
        raise message("Choose one or more files first.", "No file")
    return paths


def _runs_last(job: Job) -> bool:
    """Sort key: what runs comes before what waits."""
    return job.state is JobState.QUEUED


def ingest_html(job: Job) -> Markup:
    """Render an ingest: its progress, then what went in and what failed with its reason."""
    if not job.result or job.active:
        return job_html(job)
    left_out = by_reason(Failure(**one) for one in job.result["failed"])
    return job_html(job) + piece("ingest.html", result=job.result, left_out=left_out)


def hide(account: Account) -> Any:
    """Take a question back."""
    return HIDDEN


def groups_field(label: str, scale: int) -> Any:
    """Return a field to choose groups in; names that are new can be typed."""
    return gr.Dropdown(
        label=label, choices=[], value=[], multiselect=True, allow_custom_value=True, scale=scale,
        info="None: everyone may read. Choose, or type a new name.",
    )  # fmt: skip


def add_panel(page: Adding, guard: Guard) -> tuple[Any, list[Any], Any]:
    """Build what adds documents; return its timer, what is watched, and the field of groups."""
    html("<h2>Add documents</h2>")
    files = gr.File(
        label="Files: Markdown, text, HTML, PDF, Word, Excel, CSV", file_count="multiple",
        height=150,
    )  # fmt: skip
    with gr.Row():
        groups = groups_field("Only for these groups", scale=3)
        add = gr.Button("Add documents", variant="primary", scale=1)
    with gr.Group(visible=False, elem_classes="confirm") as taken:
        taken_text = html()
        with gr.Row():
            both = gr.Button("Keep both", variant="primary", size="sm")
            replace = gr.Button("Replace", variant="stop", size="sm")
            cancel = gr.Button("Cancel", size="sm")
    job, running, held, discarded = html(), gr.State(), gr.State(), gr.State()
    stop = gr.Button("Stop reading", size="sm", visible=False)
    with gr.Row(visible=False, elem_classes="tools") as again:
        retry = gr.Button("Try again", size="sm")
        ask_discard = gr.Button("Discard its files…", size="sm")
    with gr.Group(visible=False, elem_classes="confirm") as confirm:
        confirm_text = html()
        with gr.Row():
            discard_files = gr.Button("Discard them", variant="stop", size="sm")
            leave = gr.Button("Keep them", size="sm")
    timer = gr.Timer(TICK, active=False)
    watched = [job, stop, running, again, held, timer]
    added = [files, taken_text, taken, *watched]
    guard.admin(add.click, page.add, [files, groups], added)
    guard.admin(both.click, page.keep_both, [files, groups], added)
    guard.admin(replace.click, page.replace, [files, groups], added)
    for changed in (cancel.click, files.change, groups.change):
        guard.admin(changed, hide, None, [taken])
    guard.admin(stop.click, page.stop, [running], watched)
    guard.admin(retry.click, page.try_again, [held], watched)
    asked = [discarded, confirm_text, confirm]
    guard.admin(ask_discard.click, page.ask_discard, [held], asked)
    guard.admin(discard_files.click, page.discard, [discarded], [confirm, *watched])
    guard.admin(leave.click, hide, None, [confirm])
    return timer, watched, groups
