"""The Evaluation page: admins run evaluations, everyone reads what came out."""

from typing import Any

import gradio as gr

from core.errors import NotFound
from core.permissions import Account, Role, reader_of
from core.values import whole
from eval.diagnosis import CAUSES
from eval.evaluations import Evaluation, RowFilter
from ui.audits import audit_panel
from ui.comparison import comparison_panel
from ui.confirm import ask, bind, confirmation
from ui.evaluation_form import evaluation_form, judges, plan_of
from ui.evaluation_view import answers_html, history_html, live_html, report_html
from ui.guard import chosen, note
from ui.markup import piece
from ui.parts import TICK, html, job_html, sheet
from ui.services import Services
from ui.watch import alarm_panel, watch_panel

KIND = "evaluate"
ANSWERS = 40


class EvaluationPage:
    """Handlers of the page; each gets the account first."""

    def __init__(self, services: Services) -> None:
        """Use the evaluations and jobs of `services`."""
        self._home = services.home
        self._evaluations = services.evaluations
        self._sets = services.question_sets
        self._shelf = services.shelf
        self._jobs = services.jobs
        self._audit = services.audit
        self._row_access = services.row_access
        self._feedback = services.feedback

    def load(self, account: Account) -> list[Any]:
        """Fill the page."""
        admin = account.role is Role.ADMIN
        newest = next((one for one in self._visible(account) if one.summary), None)
        return [
            gr.update(visible=admin),
            gr.update(visible=admin),
            *(self.choices(account) if admin else [gr.update()] * 3),
            *self.history(account),
            gr.update(value=newest.id if newest else None),
            *self.show(account, newest.id if newest else None),
            *(self.watch(account) if admin else ["", "", gr.update(), gr.update(active=False)]),
            piece("feedback.html", rated=self._feedback.list(account)) if admin else "",
        ]

    def choices(self, account: Account) -> list[Any]:
        """Return the question sets, adapters and judges that can be chosen now."""
        sets = [(f"{one.name} ({len(one.questions)})", one.id) for one in self._sets.list()]
        adapters = [one.name for one in self._shelf.list() if one.problem is None]
        default = self._shelf.default()
        first = default if default in adapters else next(iter(adapters), None)
        return [
            gr.update(choices=sets),
            gr.update(choices=adapters, value=first),
            gr.update(choices=judges(self._home)),
        ]

    def history(self, account: Account) -> list[Any]:
        """Return the list of evaluations and the choice of one to read."""
        found = self._visible(account)
        done = [(f"{one.id}: {one.title}", one.id) for one in found if one.summary]
        return [history_html(found), gr.update(choices=done)]

    def _visible(self, account: Account) -> list[Evaluation]:
        found = self._evaluations.list()
        if account.role is Role.ADMIN:
            return found
        return [one for one in found if one.summary]

    def show(self, account: Account, evaluation_id: Any) -> list[Any]:
        """Show a finished evaluation: verdict, plots, table; and the choices of its answers."""
        if not evaluation_id:
            empty = piece("no_evaluation.html", admin=account.role is Role.ADMIN)
            return [empty, gr.update(visible=False), gr.update(), gr.update(), gr.update(), ""]
        evaluation = self._readable(account, whole(evaluation_id, "evaluation"))
        summary = self._evaluations.summary(evaluation.id)
        rows = self._row_access.may_read(evaluation.id, reader_of(account))
        arms = [("All modes", ""), *((arm["label"], arm["name"]) for arm in evaluation.arms)]
        kinds = [("All kinds", ""), *((kind, kind) for kind in summary["by_kind"])]
        causes = [("All", ""), *((str(cause), str(cause)) for cause in CAUSES)]
        return [
            report_html(evaluation, summary, downloads=rows),
            gr.update(visible=rows),
            gr.update(choices=arms, value=""),
            gr.update(choices=kinds, value=""),
            gr.update(choices=causes, value=""),
            self._answers(evaluation.id, RowFilter()) if rows else "",
        ]

    def _readable(self, account: Account, evaluation_id: int) -> Evaluation:
        evaluation = self._evaluations.get(evaluation_id)
        if evaluation.summary is None and account.role is not Role.ADMIN:
            raise NotFound(f"There is no finished evaluation {evaluation_id}. Choose another.")
        return evaluation

    def answers(self, account: Account, evaluation_id: Any, *filters: str) -> str:
        """Show the answers that fit the filters: arm, kind, cause, text."""
        if not evaluation_id:
            return ""
        evaluation = self._readable(account, whole(evaluation_id, "evaluation"))
        self._row_access.require(evaluation.id, reader_of(account))
        arm, kind, cause, text = (value or "" for value in filters)
        wanted = RowFilter(arm=arm, kind=kind, diagnosis=cause, text=text)
        return self._answers(evaluation.id, wanted)

    def _answers(self, evaluation_id: int, wanted: RowFilter) -> str:
        rows = self._evaluations.rows(evaluation_id, wanted)
        return answers_html(rows[:ANSWERS], len(rows))

    def run(self, account: Account, *values: Any) -> list[Any]:
        """Queue an evaluation: sets, title, then what `plan_of` takes."""
        sets, title, *planned = values
        plan = plan_of(self._home, *planned)
        made = self._evaluations.create(
            chosen(sets, "one or more question sets"), plan, title=(title or "").strip(),
            account_id=account.id,
        )  # fmt: skip
        name = self._evaluations.get(made).title
        job = self._jobs.submit(
            KIND, {"evaluation_id": made}, title=f"Evaluating: {name}", account_id=account.id
        )
        self._audit.record(
            account.name, "evaluation.run", name, {"evaluation": made, "job": job}
        )  # fmt: skip
        return self.watch(account)

    def watch(self, account: Account) -> list[Any]:
        """Show the newest job; when it has just finished, show its report too."""
        jobs = self._jobs.list(KIND, limit=1)
        if not jobs:
            return ["", "", gr.update(visible=False), gr.update(active=False)]
        job = jobs[0]
        live = live_html(self._live(job.payload)) if job.active else ""
        return [
            job_html(job, self._jobs.log(job.id, 100)), live,
            gr.update(visible=job.active), gr.update(active=job.active),
        ]  # fmt: skip

    def _live(self, payload: dict[str, Any]) -> dict[str, dict[str, Any]]:
        try:
            return self._evaluations.live(int(payload["evaluation_id"]))
        except NotFound:
            return {}

    def tick(self, account: Account) -> list[Any]:
        """Look at the job; at its end, refresh history and report."""
        seen = self.watch(account)
        jobs = self._jobs.list(KIND, limit=1)
        if not jobs or jobs[0].active:
            return [*seen, *(gr.update() for _ in range(8))]
        done = int(jobs[0].payload["evaluation_id"])
        finished = self._evaluations.get(done).summary is not None
        history, choice = self.history(account)
        if not finished:
            return [*seen, history, choice, *(gr.update() for _ in range(6))]
        return [*seen, history, {**choice, "value": done}, *self.show(account, done)]

    def stop(self, account: Account) -> list[Any]:
        """Stop; what was answered is kept, and the next run goes on from there."""
        for job in self._jobs.list(KIND, limit=10):
            if job.active:
                self._jobs.stop(job.id)
                self._audit.record(account.name, "job.stop", job.title, {"job": job.id})
        return self.watch(account)

    def ask_delete(self, account: Account, evaluation_id: Any) -> list[Any]:
        """Ask before deleting an evaluation."""
        number = chosen([evaluation_id] if evaluation_id else None, "an evaluation")[0]
        question = (
            f"Delete evaluation {number} “{self._evaluations.get(number).title}” and its report?"
        )
        return ask(number, question)

    def delete(self, account: Account, evaluation_id: int) -> list[Any]:
        """Delete an evaluation that is not at work, and its report."""
        title = self._evaluations.get(evaluation_id).title
        self._evaluations.delete(evaluation_id)
        detail = {"evaluation": evaluation_id}
        self._audit.record(account.name, "evaluation.delete", title, detail)
        note("The evaluation is deleted.")
        history, choice = self.history(account)
        return [history, {**choice, "value": None}, *self.show(account, None)]


def evaluation_page(blocks: Any, services: Services) -> None:
    """Build the page."""
    page = EvaluationPage(services)
    guard = services.guard
    with gr.Column(elem_classes="sheet"):
        sheet(
            "Evaluation", "Which way of answering works for your questions, and how sure that is."
        )
        watcher, alarms = alarm_panel(blocks, services)
        with gr.Column(visible=False, elem_classes="plate") as panel:
            form = evaluation_form(services.home)
            job, live = html(), html()
        with gr.Row(elem_classes="finder"):
            picked = gr.Dropdown(label="Report", choices=[], value=None, scale=4)
            delete = gr.Button("Delete this evaluation…", size="sm", scale=0, visible=False)
        deleting = confirmation("Delete the evaluation")
        report = html()
        with gr.Column(visible=False, elem_classes="plate") as explorer:
            filters = _filters()
            answers = html()
        comparison_panel(blocks, services)
        html("<h2>All evaluations</h2>")
        table = html()
        watch_panel(blocks, services, watcher, alarms)
        audit_panel(blocks, services)
        ratings = html()
    timer = gr.Timer(TICK, active=False)
    shown = [report, explorer, *filters[:3], answers]
    watched = [job, live, form.stop, timer]
    listed = [table, picked]
    guard.employee(
        blocks.load, page.load, None,
        [panel, delete, *form.chosen, *listed, picked, *shown, *watched, ratings],
    )  # fmt: skip
    guard.employee(picked.input, page.show, [picked], shown)
    for control in filters:
        guard.employee(
            control.input, page.answers, [picked, *filters], [answers], trigger_mode="always_last"
        )
    guard.admin(form.run.click, page.run, form.inputs, watched)
    guard.admin(form.stop.click, page.stop, None, watched)
    guard.admin(timer.tick, page.tick, None, [*watched, *listed, *shown])
    bind(guard, deleting, delete.click, (page.ask_delete, [picked]),
         (page.delete, [*listed, *shown]))  # fmt: skip


def _filters() -> list[Any]:
    html("<h2>Answers</h2>")
    with gr.Row():
        arm = gr.Dropdown(label="Mode", choices=[("All modes", "")], value="")
        kind = gr.Dropdown(label="Kind of question", choices=[("All kinds", "")], value="")
        cause = gr.Dropdown(label="What went wrong", choices=[("All", "")], value="")
        text = gr.Textbox(label="Contains", max_lines=1)
    return [arm, kind, cause, text]
