"""The Question sets page: held-out questions added, edited, versioned. Admins only."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from core.errors import DatasetError
from core.permissions import OPERATOR, Account
from core.values import whole
from eval.question_sets import QuestionSet
from eval.questions import HeldOutQuestion, Kind
from ui.guard import message, note
from ui.markup import piece
from ui.parts import html, one_file, sheet
from ui.question_fields import (
    COLUMNS,
    empty_values,
    problem_html,
    question_fields,
    row_of,
    values_of,
)
from ui.review import review_tab
from ui.services import Services

PAGE = 15
CHOICES = 2000
_KEEP: Any = gr.update()


class QuestionSetsPage:
    """Handlers of the page; each gets the admin's account first."""

    def __init__(self, services: Services) -> None:
        """Use the question sets and documents of `services`."""
        self._sets = services.question_sets
        self._library = services.retrieval.library
        self._audit = services.audit

    def load(self, account: Account) -> list[Any]:
        """Fill the page."""
        documents = self._library.documents(OPERATOR, limit=CHOICES)
        paths = [document.path for document in documents]
        return [gr.update(choices=paths), *self._nothing()]

    def open(self, account: Account, set_id: Any, *filters: Any) -> list[Any]:
        """Show the newest version of a set."""
        if not set_id:
            return self._nothing()
        return self._shown(self._sets.newest(whole(set_id, "question set")), filters)

    def _nothing(self) -> list[Any]:
        choices = self._choices()
        text = piece("no_question_set.html", any=bool(choices))
        hidden = gr.update(visible=False)
        return [
            gr.update(choices=choices, value=None), None, text, hidden, _KEEP, "", _KEEP, hidden,
            PAGE, _KEEP, hidden, hidden,
        ]  # fmt: skip

    def _choices(self) -> list[tuple[str, int]]:
        return [(f"{one.name} ({len(one.questions)})", one.id) for one in self._sets.list()]

    def _shown(
        self, one: QuestionSet, filters: Sequence[Any], editing: str | None = None
    ) -> list[Any]:
        versions = self._sets.versions(one.name)
        about = piece(
            "question_set_about.html", s=one, versions=versions, remarks=self._sets.remarks(one.id)
        )
        tags = sorted({tag for question in one.questions for tag in question.tags})
        text, kind, tag = filters
        tag = tag if tag in tags else ""
        older = [(f"Version {v.number}", v.id) for v in versions if v.id != one.id]
        return [
            gr.update(choices=self._choices(), value=one.id), one.id, about,
            gr.update(visible=True),
            gr.update(choices=[("All tags", ""), *((tag, tag) for tag in tags)], value=tag),
            *listed(one, (text, kind, tag), PAGE, editing),
            gr.update(choices=older, value=None),
            gr.update(visible=bool(older)),
            gr.update(visible=editing is not None),
        ]  # fmt: skip

    def listing(self, account: Account, set_id: Any, question_id: Any, *values: Any) -> list[Any]:
        """Show the questions that fit the filters: text, kind, tag; and how many at most."""
        *filters, limit = values
        editing = str(question_id) if question_id else None
        most = whole(limit, "number of questions")
        return listed(self._sets.get(opened(set_id)), filters, most, editing)

    def more(self, account: Account, set_id: Any, question_id: Any, *values: Any) -> list[Any]:
        """Show another page of the questions."""
        *filters, limit = values
        most = whole(limit, "number of questions") + PAGE
        return self.listing(account, set_id, question_id, *filters, most)

    def edit(self, account: Account, set_id: Any, question_id: Any) -> list[Any]:
        """Open a question in the editor, or an empty one."""
        one = self._sets.get(opened(set_id))
        if not question_id:
            title = piece("editor_title.html", title=f"New question for “{one.name}”")
            return [gr.update(visible=True), title, "", gr.update(visible=False), *empty_values()]
        question = one.question(str(question_id))
        title = piece("editor_title.html", title=f"Question {question.id}")
        return [
            gr.update(visible=True), title, "", gr.update(visible=True), *values_of(question),
        ]  # fmt: skip

    def write(self, account: Account, set_id: Any) -> list[Any]:
        """Open the editor for a new question."""
        return [gr.update(value=None), *self.edit(account, set_id, None)]

    def save(self, account: Account, set_id: Any, question_id: Any, *values: Any) -> list[Any]:
        """Store the edited or new question as a new version of the set."""
        base, filters, fields = opened(set_id), values[:3], values[3:]
        which = str(question_id) if question_id else None
        try:
            saved = self._sets.put(
                base, row_of(fields), question_id=which, author=account.name
            )  # fmt: skip
        except DatasetError as error:
            return [problem_html(error), *(_KEEP for _ in range(14))]
        self._record(account, saved)
        kept = str(fields[COLUMNS.index("id")] or "").strip() or which
        name = saved.questions[-1].id if which is None else kept
        mine = [text for text in saved.warnings if text.startswith(f"'{name}'")]
        told = piece("question_saved.html", number=saved.number, remarks=mine)
        title = piece("editor_title.html", title=f"Question {name}")
        can_remove = gr.update(visible=True)
        return [told, title, can_remove, *self._shown(saved, filters, editing=name)]

    def remove(self, account: Account, set_id: Any, question_id: Any, *filters: Any) -> list[Any]:
        """Delete the question in the editor."""
        base = opened(set_id)
        if not question_id:
            raise message("Choose a question first.", "Nothing chosen")
        saved = self._sets.remove(base, str(question_id), author=account.name)
        self._record(account, saved)
        note(f"Deleted. This is version {saved.number}; the one before can be restored.")
        return self._shown(saved, filters)

    def restore(self, account: Account, version_id: Any, *filters: Any) -> list[Any]:
        """Make an older version the newest again."""
        if not version_id:
            raise message("Choose a version first.", "Nothing chosen")
        saved = self._sets.restore(whole(version_id, "version"), author=account.name)
        self._record(account, saved)
        note(f"{saved.change.capitalize()} as version {saved.number}.")
        return self._shown(saved, filters)

    def _record(self, account: Account, saved: QuestionSet) -> None:
        detail = {"version": saved.number, "change": saved.change}
        self._audit.record(account.name, "questions.edit", saved.name, detail)

    def add(self, account: Account, file: Any, name: str, *filters: Any) -> list[Any]:
        """Check and keep an uploaded file, then open it."""
        path: Path = one_file(file, "a JSONL or CSV file of questions")
        added = self._sets.add(path, (name or "").strip() or path.stem, author=account.name)
        self._audit.record(
            account.name, "questions.add", added.name, {"id": added.id, "version": added.number}
        )
        newest = self._sets.newest(added.id)
        shown = piece("question_set.html", s=added, newest=newest)
        return [shown, gr.update(value=None), "", *self._shown(newest, filters)]

    def ask_delete(self, account: Account, set_id: Any) -> list[Any]:
        """Ask before deleting a set."""
        one = self._sets.get(opened(set_id))
        count = len(self._sets.versions(one.name))
        return [
            piece("confirm_question_set.html", name=one.name, versions=count),
            gr.update(visible=True),
        ]

    def delete(self, account: Account, set_id: Any) -> list[Any]:
        """Delete a set with all its versions."""
        one = self._sets.get(opened(set_id))
        count = self._sets.delete(one.id)
        self._audit.record(account.name, "questions.delete", one.name, {"versions": count})
        note(f"“{one.name}” is deleted.")
        return [gr.update(visible=False), *self._nothing()]


def opened(set_id: Any) -> int:
    """Return the id of the open set, or say that none is open."""
    if not set_id:
        raise message("Open a question set first.", "No set is open")
    return whole(set_id, "question set")


def listed(
    one: QuestionSet, filters: Sequence[Any], limit: int, editing: str | None = None
) -> list[Any]:
    """Return table, choices, whether there is more, and the limit; the edited one stays chosen."""
    text, kind, tag = (str(value or "") for value in filters)
    found = [question for question in one.questions if fits(question, text, kind, tag)]
    table = piece("questions.html", questions=found[:limit], total=len(found))
    choices = [
        (f"{question.id}: {question.question}"[:120], question.id)
        for question in one.questions
        if question in found or question.id == editing
    ]
    more = gr.update(visible=len(found) > limit)
    return [table, gr.update(choices=choices, value=editing), more, limit]


def fits(question: HeldOutQuestion, text: str, kind: str, tag: str) -> bool:
    """Tell whether a question passes the filters; empty ones let everything through."""
    said = (question.id, question.question, question.answer, question.evidence_file)
    return (
        kind in ("", question.kind.value)
        and (not tag or tag in question.tags)
        and text.strip().casefold() in "\n".join((*said, *question.short_answers)).casefold()
    )


def question_sets_page(blocks: Any, services: Services) -> None:
    """Build the page."""
    with gr.Column(elem_classes="sheet"):
        sheet(
            "Question sets",
            "What evaluations ask. Every change makes a new version; an evaluation keeps the "
            "questions that it asked.",
        )
        with gr.Tabs():
            with gr.Tab("Sets"):
                _sets_tab(blocks, services)
            with gr.Tab("Proposed questions"):
                review_tab(blocks, services)


def _sets_tab(blocks: Any, services: Services) -> None:
    page = QuestionSetsPage(services)
    guard = services.guard
    with gr.Column(elem_classes="plate"):
        file, name, add, added = _add_panel()
    with gr.Row(elem_classes="finder"):
        picked = gr.Dropdown(label="Question set", choices=[], value=None)
    base, about = gr.State(None), html()
    with gr.Column(visible=False) as tools:
        text, kind, tag = _filters()
        with gr.Row(elem_classes="finder"):
            question = gr.Dropdown(label="Question to edit", choices=[], value=None, scale=3)
            write = gr.Button("Write a new question", scale=1)
        with gr.Column(visible=False, elem_classes="plate", elem_id="editor") as editor:
            title, fields, told, save, remove = _editor()
        table = html()
        more = gr.Button("Show more", size="sm", visible=False)
        limit = gr.State(PAGE)
        version, restore, history, ask, confirm, confirm_text, delete, leave = _versions()
    rows = [table, question, more, limit]
    shown = [picked, base, about, tools, tag, *rows, version, history, editor]
    edited = [editor, title, told, remove, *fields]
    filters = [text, kind, tag]
    sought = [base, question, *filters, limit]
    guard.admin(blocks.load, page.load, None, [fields[4], *shown])
    guard.admin(picked.input, page.open, [picked, *filters], shown)
    for trigger in (text.change, kind.input, tag.input):
        guard.admin(trigger, page.listing, sought, rows, trigger_mode="always_last")
    guard.admin(more.click, page.more, sought, rows)
    guard.admin(question.input, page.edit, [base, question], edited)
    guard.admin(write.click, page.write, [base], [question, *edited])
    guard.admin(save.click, page.save, [base, question, *filters, *fields],
                [told, title, remove, *shown])  # fmt: skip
    guard.admin(remove.click, page.remove, [base, question, *filters], shown)
    guard.admin(restore.click, page.restore, [version, *filters], shown)
    guard.admin(add.click, page.add, [file, name, *filters], [added, file, name, *shown])
    guard.admin(ask.click, page.ask_delete, [base], [confirm_text, confirm])
    guard.admin(delete.click, page.delete, [base], [confirm, *shown])
    guard.admin(leave.click, lambda account: gr.update(visible=False), None, [confirm])


def _add_panel() -> tuple[Any, Any, Any, Any]:
    with gr.Accordion("Add a question set", open=False):
        file = gr.File(label="JSONL or CSV of held-out questions", height=130)
        with gr.Row():
            name = gr.Textbox(
                label="Name", placeholder="Name of the file", max_lines=1, scale=3
            )  # fmt: skip
            add = gr.Button("Check and add", scale=1)
        added = html()
    return file, name, add, added


def _filters() -> tuple[Any, Any, Any]:
    kinds = [("All kinds", ""), *((kind.value, kind.value) for kind in Kind)]
    with gr.Row(elem_classes="finder"):
        text = gr.Textbox(label="Contains", placeholder="Words of a question", max_lines=1)
        kind = gr.Dropdown(label="Kind of question", choices=kinds, value="")
        tag = gr.Dropdown(label="Tag", choices=[("All tags", "")], value="")
    return text, kind, tag


def _editor() -> tuple[Any, list[Any], Any, Any, Any]:
    title = html()
    fields = question_fields()
    told = html()
    with gr.Row():
        save = gr.Button("Save as a new version", variant="primary", scale=2)
        remove = gr.Button("Delete this question", scale=1)
    return title, fields, told, save, remove


def _versions() -> tuple[Any, ...]:
    with gr.Row(visible=False, elem_classes="finder") as history:
        version = gr.Dropdown(label="Older version", choices=[], value=None, scale=3)
        restore = gr.Button("Restore it", scale=1)
    with gr.Row(elem_classes="tools"):
        ask = gr.Button("Delete this set…", size="sm")
    with gr.Group(visible=False, elem_classes="confirm") as confirm:
        confirm_text = html()
        with gr.Row():
            delete = gr.Button("Delete the set", variant="stop", size="sm")
            leave = gr.Button("Keep it", size="sm")
    return version, restore, history, ask, confirm, confirm_text, delete, leave
