"""Proposed questions on the Question sets page: made from feedback and documents, reviewed."""

from typing import Any

import gradio as gr

from core.errors import DatasetError
from core.permissions import OPERATOR, Account
from core.values import whole, wholes
from eval.candidates import Candidate, Source
from eval.drafts import KIND, DraftPlan
from eval.from_feedback import collect
from eval.questions import Kind, join_list
from ui.confirm import ask, bind, confirmation
from ui.guard import message
from ui.markup import piece
from ui.parts import TICK, html, job_html
from ui.question_fields import problem_html, question_fields, row_of
from ui.services import Services

DOCUMENTS = 2000
SOURCES = [
    ("Feedback and documents", ""),
    ("Feedback", Source.FEEDBACK.value),
    ("Documents", Source.DOCUMENTS.value),
]
_FIELDS = 10
_KEEP: Any = gr.update()


class ReviewPage:
    """Handlers of the tab; each gets the admin's account first."""

    def __init__(self, services: Services) -> None:
        """Use the candidates, jobs and documents of `services`."""
        self._candidates = services.candidates
        self._sets = services.question_sets
        self._feedback = services.feedback
        self._library = services.retrieval.library
        self._jobs = services.jobs
        self._audit = services.audit

    def load(self, account: Account) -> list[Any]:
        """Propose what was rated meanwhile, and show what waits."""
        found = collect(self._feedback, self._candidates, account)
        if found:
            self._audit.record(account.name, "questions.propose", f"{found} from feedback")
        documents = self._library.documents(OPERATOR, limit=DOCUMENTS)
        choices = [(document.path, document.id) for document in documents]
        paths = [document.path for document in documents]
        return [
            gr.update(choices=choices), gr.update(choices=paths), *self.watch(account),
            *self.next(account, "", None),
        ]  # fmt: skip

    def next(self, account: Account, source: Any, after: Any) -> list[Any]:
        """Show the proposal after the one with the id `after`, or the first again."""
        waiting = self._candidates.waiting(_source(source))
        following = [one for one in waiting if one.id > whole(after or 0, "proposal")]
        names = [one.name for one in self._sets.list()]
        shown = next(iter(following or waiting), None)
        count = piece("candidates.html", waiting=waiting, shown=shown)
        if shown is None:
            return [count, None, gr.update(visible=False), gr.update(choices=names), "", "",
                    *(_KEEP for _ in range(_FIELDS))]  # fmt: skip
        about = piece("candidate.html", c=shown, a=shown.about, feedback=shown.source == "feedback")
        return [
            count, shown.id, gr.update(visible=True), gr.update(choices=names), about, "",
            *fields_of(shown),
        ]  # fmt: skip

    def later(self, account: Account, source: Any, candidate_id: Any) -> list[Any]:
        """Leave a proposal for later and show the next."""
        return self.next(account, source, candidate_id)

    def accept(
        self, account: Account, source: Any, candidate_id: Any, name: Any, *values: Any
    ) -> list[Any]:
        """Take the proposal, as edited, into a set, and show the next."""
        if not candidate_id:
            raise message("There is no proposed question to accept.", "Nothing to review")
        if not str(name or "").strip():
            raise message("Choose the set that it goes into, or type a new name.", "No set")
        one = whole(candidate_id, "proposal")
        try:
            saved = self._candidates.accept(one, row_of(values), str(name), author=account.name)
        except DatasetError as error:
            problem = problem_html(error)
            return [_KEEP, _KEEP, _KEEP, _KEEP, _KEEP, problem, *(_KEEP for _ in range(_FIELDS))]
        self._audit.record(
            account.name, "questions.accept", saved.name,
            {"candidate": one, "version": saved.number},
        )  # fmt: skip
        shown = self.next(account, source, candidate_id)
        shown[5] = piece("candidate_accepted.html", s=saved)
        return shown

    def ask_refuse(self, account: Account, source: Any, candidate_id: Any) -> list[Any]:
        """Ask before refusing: nothing of a refused question is kept."""
        if not candidate_id:
            raise message("There is no proposed question to refuse.", "Nothing to review")
        one = self._candidates.get(whole(candidate_id, "proposal"))
        question = f"Refuse “{one.row.get('question', '')}” for good?"
        return ask((source, one.id), question, loss="It is not proposed again.")

    def refuse(self, account: Account, asked: tuple[Any, int]) -> list[Any]:
        """Refuse the proposal for good, and show the next."""
        source, candidate_id = asked
        self._candidates.refuse(candidate_id, author=account.name)
        self._audit.record(account.name, "questions.refuse", f"candidate {candidate_id}")
        return self.next(account, source, candidate_id)

    def draft(self, account: Account, documents: Any, count: Any) -> list[Any]:
        """Queue a job that proposes questions from documents."""
        plan = DraftPlan(
            wholes(documents, "document"),
            whole(count or 0, "number of questions"),
        )
        plan.check()
        job = self._jobs.submit(
            KIND, plan.as_json(), title=f"Proposing {plan.count} questions", account_id=account.id
        )
        self._audit.record(
            account.name, "questions.draft", f"{plan.count} questions",
            {"job": job, "documents": list(plan.documents)},
        )  # fmt: skip
        return self.watch(account)

    def watch(self, account: Account) -> list[Any]:
        """Return the newest job's state, and whether to look again."""
        jobs = self._jobs.list(KIND, limit=1)
        if not jobs:
            return ["", gr.update(visible=False), gr.update(active=False)]
        job = jobs[0]
        done = piece("drafted.html", r=job.result) if job.result and not job.active else ""
        return [
            job_html(job) + done, gr.update(visible=job.active), gr.update(active=job.active),
        ]  # fmt: skip

    def tick(self, account: Account, source: Any, candidate_id: Any) -> list[Any]:
        """Look at the job; its first proposals can be reviewed while it runs."""
        seen = self.watch(account)
        if candidate_id:
            return [*seen, *(_KEEP for _ in range(6 + _FIELDS))]
        return [*seen, *self.next(account, source, None)]

    def stop(self, account: Account) -> list[Any]:
        """Stop the job; what it proposed stays."""
        for job in self._jobs.list(KIND, limit=10):
            if job.active:
                self._jobs.stop(job.id)
                self._audit.record(account.name, "job.stop", job.title, {"job": job.id})
        return self.watch(account)


def _source(value: Any) -> Source | None:
    if not value:
        return None
    if value not in list(Source):
        raise message("Choose one of the sources in the list.", "No such source")
    return Source(value)


def fields_of(candidate: Candidate) -> list[Any]:
    """What a proposal puts into the fields; what it lacks is empty."""
    row = candidate.row
    return [
        row.get("question", ""), row.get("answer", ""), join_list(row.get("short_answers") or []),
        row.get("kind", Kind.UNSEEN.value), row.get("evidence_file", ""),
        row.get("evidence_quote", ""), join_list(row.get("tags") or []), row.get("why", ""),
        "", "",
    ]  # fmt: skip


def review_tab(blocks: Any, services: Services) -> None:
    """Build the tab."""
    page = ReviewPage(services)
    guard = services.guard
    with gr.Column(elem_classes="plate"):
        documents, count, draft, job, stop = _draft_panel()
    with gr.Row(elem_classes="finder"):
        source = gr.Dropdown(label="From", choices=SOURCES, value="", scale=1)
    counted = html()
    current = gr.State(None)
    with gr.Column(visible=False, elem_classes="plate", elem_id="review") as panel:
        about = html()
        fields = question_fields()
        name = gr.Dropdown(
            label="Goes into the set", choices=[], value=None, allow_custom_value=True,
            info="Choose one, or type the name of a new one.",
        )  # fmt: skip
        with gr.Row():
            accept = gr.Button("Accept", variant="primary", scale=2)
            refuse = gr.Button("Refuse…", scale=1)
            later = gr.Button("Later", scale=1)
        refusing = confirmation("Refuse it")
    told = html()
    timer = gr.Timer(TICK, active=False)
    shown = [counted, current, panel, name, about, told, *fields]
    watched = [job, stop, timer]
    guard.admin(blocks.load, page.load, None, [documents, fields[4], *watched, *shown])
    guard.admin(source.input, page.next, [source, gr.State(0)], shown)
    guard.admin(later.click, page.later, [source, current], shown)
    guard.admin(accept.click, page.accept, [source, current, name, *fields], shown)
    bind(guard, refusing, refuse.click, (page.ask_refuse, [source, current]),
         (page.refuse, shown))  # fmt: skip
    guard.admin(draft.click, page.draft, [documents, count], watched)
    guard.admin(stop.click, page.stop, None, watched)
    guard.admin(timer.tick, page.tick, [source, current], [*watched, *shown])


def _draft_panel() -> tuple[Any, Any, Any, Any, Any]:
    with gr.Accordion("Propose questions from documents", open=False):
        documents = gr.Dropdown(
            label="Documents", choices=[], multiselect=True, value=[],
            info="Leave empty for all of them.",
        )  # fmt: skip
        with gr.Row():
            count = gr.Number(label="Questions", value=30, precision=0, scale=1)
            draft = gr.Button("Propose questions", scale=1)
    job = html()
    stop = gr.Button("Stop proposing", size="sm", visible=False)
    return documents, count, draft, job, stop
