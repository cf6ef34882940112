"""Base models side by side: started as a job, listed, their reports opened."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from assistant.engines.embedded import EMBEDDED_NAME
from assistant.modes import AnswerMode
from core.home import Home
from core.permissions import Account, Role
from core.values import whole, wholes
from eval.arms import Plan, parse_modes
from eval.audit import Audit
from eval.formatting import figure
from eval.recommend import label
from ui.confirm import ask, bind, confirmation
from ui.evaluation_view import STATES
from ui.guard import chosen, message, note
from ui.markup import piece
from ui.parts import TICK, html, job_html
from ui.services import Services

KIND = "audit"
MODES = [(mode.label, mode.value) for mode in AnswerMode if not mode.uses_adapter]


def known_models(home: Home) -> list[str]:
    """Return the models that an audit can be asked for: what ships, what is set, what lies here."""
    folder = home.workspace.models
    here = sorted(path.parent for path in folder.glob("*/config.json")) if folder.is_dir() else []
    own = [str(path) for path in here if path.name != EMBEDDED_NAME]
    return list(dict.fromkeys(["embedded", home.settings.model, *own]))


class AuditPanel:
    """Handlers; each gets the admin's account first."""

    def __init__(self, services: Services) -> None:
        """Use the audits and jobs of `services`."""
        self._home = services.home
        self._audits = services.audits
        self._sets = services.question_sets
        self._jobs = services.jobs
        self._audit = services.audit

    def load(self, account: Account) -> list[Any]:
        """Fill the form and the list; employees see neither."""
        if account.role is not Role.ADMIN:
            return [gr.update(visible=False), *(gr.update() for _ in range(2)), "", "",
                    gr.update(), gr.update(active=False), gr.update()]  # fmt: skip
        sets = [(f"{one.name} ({len(one.questions)})", one.id) for one in self._sets.list()]
        return [
            gr.update(visible=True), gr.update(choices=known_models(self._home)),
            gr.update(choices=sets), *self.watch(account),
        ]  # fmt: skip

    def watch(self, account: Account) -> list[Any]:
        """Return the newest job, the list, the choice of one to delete, and whether it can stop."""
        newest = next(iter(self._jobs.list(KIND, limit=1)), None)
        active = newest is not None and newest.active
        shown = newest if newest and (active or newest.message) else None
        audits = self._audits.list()
        choices = [(f"{one.id}: {', '.join(one.models)}", one.id) for one in audits]
        return [
            job_html(shown), audits_html(audits), gr.update(choices=choices),
            gr.update(active=active), gr.update(visible=active),
        ]  # fmt: skip

    def run(self, account: Account, *values: Any) -> list[Any]:
        """Queue an audit: models, sets, modes, limit."""
        models, sets, modes, limit = values
        wanted = [str(one) for one in models or ()]
        if not wanted:
            raise message("Choose at least one model.", "No model")
        if unknown := sorted(set(wanted) - set(known_models(self._home))):
            raise message(f"The model '{unknown[0]}' is not known here.", "No such model")
        plan = Plan(
            modes=parse_modes(modes or []) if sets else (AnswerMode.BASE,),
            limit=whole(limit, "number of questions") if limit else None,
            latency_sample=0,
        )
        asked = wholes(sets, "question set")
        made = self._audits.create(wanted, asked, plan, account.id)
        title = f"Measuring {', '.join(wanted)}"
        job = self._jobs.submit(KIND, {"audit_id": made}, title=title, account_id=account.id)
        detail = {"audit": made, "job": job}
        self._audit.record(account.name, "audit.run", ", ".join(wanted), detail)
        return self.watch(account)

    def ask_delete(self, account: Account, audit_id: Any) -> list[Any]:
        """Ask before deleting an audit."""
        one = self._audits.get(chosen([audit_id] if audit_id else None, "an audit")[0])
        question = f"Delete audit {one.id} of {', '.join(one.models)}, with its report?"
        return ask(one.id, question, loss="Its evaluations stay. This cannot be undone.")

    def delete(self, account: Account, audit_id: int) -> list[Any]:
        """Delete an audit; the evaluations that it made stay."""
        models = ", ".join(self._audits.get(audit_id).models)
        self._audits.delete(audit_id)
        self._audit.record(account.name, "audit.delete", models, {"audit": audit_id})
        note("The audit is deleted.")
        job, rows, choice, *rest = self.watch(account)
        return [job, rows, {**choice, "value": None}, *rest]

    def stop(self, account: Account) -> list[Any]:
        """Stop measuring; models that are measured stay so."""
        for job in self._jobs.list(KIND, limit=10):
            if job.active:
                self._jobs.stop(job.id)
                self._audit.record(account.name, "job.stop", job.title, {"job": job.id})
        return self.watch(account)


def audits_html(audits: Sequence[Audit]) -> str:
    """Render the stored audits, newest first."""
    rows = [(one, [_figures(result) for result in one.results]) for one in audits]
    return piece("audits.html", rows=rows, states=STATES)


def _figures(result: Any) -> dict[str, Any]:
    quality = [
        (label(mode), figure(table["correct"], "share"))
        for mode, table in (result.quality or {}).items()
    ]
    return {"r": result, "quality": quality}


def audit_panel(blocks: Any, services: Services) -> None:
    """Build form and list."""
    panel, guard = AuditPanel(services), services.guard
    with gr.Column(visible=False, elem_classes="plate") as plate:
        html("<h2>Base models side by side</h2>")
        job, rows = html(), html()
        with gr.Accordion("Measure models", open=False):
            models = gr.Dropdown(label="Models", choices=[], multiselect=True, value=[])
            sets = gr.Dropdown(
                label="Questions, for quality (none: speed and size only)", choices=[],
                multiselect=True, value=[],
            )  # fmt: skip
            with gr.Row():
                modes = gr.CheckboxGroup(MODES, value=[AnswerMode.BASE.value], label="Modes")
                limit = gr.Number(
                    label="Questions at most (0: all)", value=0, precision=0, minimum=0
                )
            with gr.Row():
                run = gr.Button("Measure", variant="primary")
                stop = gr.Button("Stop measuring", visible=False)
            with gr.Row(elem_classes="finder"):
                one = gr.Dropdown(label="Audit", choices=[], value=None, scale=4)
                delete = gr.Button("Delete this audit…", size="sm", scale=0)
            deleting = confirmation("Delete the audit")
    timer = gr.Timer(TICK, active=False)
    watched = [job, rows, one, timer, stop]
    guard.employee(blocks.load, panel.load, None, [plate, models, sets, *watched])
    guard.admin(run.click, panel.run, [models, sets, modes, limit], watched)
    guard.admin(timer.tick, panel.watch, None, watched)
    guard.admin(stop.click, panel.stop, None, watched)
    bind(guard, deleting, delete.click, (panel.ask_delete, [one]), (panel.delete, watched))
