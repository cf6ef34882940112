"""Which adapter employees get: the gate's findings, its decisions, overrides with a reason."""

from typing import Any

import gradio as gr

from assistant.shelf import NO_ADAPTER
from core.errors import Conflict
from core.permissions import Account
from ui.confirm import ask, closed, confirmation, confirmed, leave
from ui.guard import message, note
from ui.markup import piece
from ui.parts import TICK, adapter_label, html, job_html
from ui.services import Services
from ui.training_view import shelf_html

EVALUATE = "evaluate"
DECISIONS = 20
NOBODY = ("Nothing: fine-tuned answers are off until an adapter is promoted", NO_ADAPTER)


class PromotionPanel:
    """Handlers of the shelf on the Training page; each gets the admin's account first."""

    def __init__(self, services: Services) -> None:
        """Use the shelf, the gate and the jobs of `services`."""
        self._accounts = services.accounts
        self._audit = services.audit
        self._gate = services.gate
        self._jobs = services.jobs
        self._shelf = services.shelf
        self._runs = services.runs
        self._evaluations = services.evaluations

    def listing(self, account: Account) -> list[Any]:
        """Return the shelf, the choice of an adapter, the decisions, and whether one can go."""
        adapters, default = self._shelf.list(), self._shelf.default()
        people = {person.id: person.name for person in self._accounts.list()}
        rows = [
            (one, people.get(one.account_id or 0, "operator"))
            for one in self._gate.history(DECISIONS)
        ]
        return [
            shelf_html(adapters, default),
            gr.update(choices=[(adapter_label(one), one.name) for one in adapters]),
            piece("decisions.html", rows=rows),
            gr.update(visible=default is not None),
        ]

    def judge(self, account: Account, name: Any) -> list[Any]:
        """Show what the gate finds: findings, running evaluation, what can be done now."""
        if not name:
            return ["", "", *(gr.update(visible=False) for _ in range(3)), gr.update(active=False)]
        chosen = self._picked(name)
        if self._shelf.default() == chosen:
            found = piece("gate_default.html", name=chosen)
            return [found, *self._running(), *(gr.update(visible=False) for _ in range(3)),
                    gr.update(active=False)]  # fmt: skip
        judgement = self._gate.judge(chosen)
        running = self._running()
        return [
            piece("gate.html", j=judgement),
            *running,
            gr.update(visible=judgement.allowed),
            gr.update(visible=bool(judgement.missing) and not running[0]),
            gr.update(visible=not judgement.allowed),
            gr.update(active=bool(running[0])),
        ]

    def _running(self) -> list[str]:
        newest = self._jobs.list(EVALUATE, limit=10)
        active = [job for job in newest if job.active]
        return [job_html(active[-1])] if active else [""]

    def tick(self, account: Account, name: Any) -> list[Any]:
        """Look at the evaluation; at its end, judge anew."""
        running = self._running()
        if running[0]:
            return [gr.update(), *running, *(gr.update() for _ in range(4))]
        return self.judge(account, name)

    def promote(self, account: Account, name: Any, reason: str = "") -> list[Any]:
        """Make an adapter the one that everybody gets, if the gate lets it through."""
        chosen = self._picked(name)
        try:
            decision = self._gate.promote(
                chosen, account_id=account.id, override_reason=reason or ""
            )
        except Conflict:
            self._record(account, chosen, "refused", "")
            gr.Warning("The gate is closed. Read below why.", title="Not promoted", duration=8)
        else:
            self._record(account, chosen, decision.outcome, decision.reason)
            note(f"“{chosen}” is the default now.")
        return [*self.listing(account), *self.judge(account, chosen), ""]

    def override(self, account: Account, name: Any, reason: str) -> list[Any]:
        """Make an adapter the default although the gate is closed."""
        if not (reason or "").strip():
            raise message("Write why it becomes the default all the same. It is kept.", "No reason")
        return self.promote(account, name, reason)

    def clear(self, account: Account, name: Any, reason: str) -> list[Any]:
        """Take the default away."""
        before = self._shelf.default() or "none"
        decision = self._gate.clear(reason or "", account.id)
        self._record(account, before, decision.outcome, decision.reason)
        note("No adapter is the default now.")
        return [*self.listing(account), *self.judge(account, name), "", gr.update(visible=False)]

    def _record(self, account: Account, adapter: str, outcome: str, reason: str) -> None:
        detail = {"outcome": outcome, "reason": reason}
        self._audit.record(account.name, "adapter.default", adapter, detail)

    def queue(self, account: Account, name: Any) -> list[Any]:
        """Queue exactly the evaluations that the gate misses."""
        chosen = self._picked(name)
        made = self._gate.queue_missing(chosen, self._jobs, account.id)
        self._audit.record(account.name, "evaluation.run", chosen, {"evaluations": made})
        note("The evaluation is queued. Its progress is shown here and on the Evaluation page.")
        return self.judge(account, chosen)

    def ask_clear(self, account: Account) -> list[Any]:
        """Ask why the default shall go."""
        return [piece("confirm_clear.html", name=self._shelf.default()), gr.update(visible=True)]

    def ask_delete(self, account: Account, name: Any) -> list[Any]:
        """Ask before deleting an adapter, and what replaces it where it is the default."""
        chosen = self._picked(name)
        self._require_unused(chosen)
        is_default = self._shelf.default() == chosen
        question = f"Delete the adapter “{chosen}”?"
        if is_default:
            question += " It is the default that employees get: say what they get instead."
        loss = "Answers already given keep saying that it made them. This cannot be undone."
        heirs = [(heir, heir) for heir in self._shelf.heirs(chosen)] if is_default else []
        return [
            *ask(chosen, question, loss=loss),
            gr.update(visible=is_default, choices=[*heirs, NOBODY], value=None),
        ]

    def delete(self, account: Account, asked: Any, heir: Any) -> list[Any]:
        """Delete an adapter; what replaces the default is a decision of its own."""
        chosen = self._picked(confirmed(asked))
        self._require_unused(chosen)
        before = self._shelf.default()
        self._gate.delete(chosen, str(heir) if heir else None, account.id)
        self._audit.record(
            account.name, "adapter.delete", chosen,
            {"default": self._shelf.default()} if before == chosen else None,
        )  # fmt: skip
        note(f"“{chosen}” is deleted.")
        table, choice, *rest = self.listing(account)
        judged = self.judge(account, None)
        return [*closed(), table, {**choice, "value": None}, *rest, *judged]

    def _require_unused(self, adapter: str) -> None:
        self._shelf.require_deletable(adapter)
        self._runs.require_unused(adapter)
        self._evaluations.require_unused(adapter)

    def _picked(self, name: Any) -> str:
        if not name:
            raise message("Choose an adapter first.", "Nothing chosen")
        return self._shelf.get(str(name)).name


def hide(account: Account) -> Any:
    """Close a question that was answered with no."""
    return gr.update(visible=False)


def promotion_panel(services: Services) -> tuple[PromotionPanel, list[Any]]:
    """Build the shelf; return its handlers and the components that `listing` fills."""
    panel, guard = PromotionPanel(services), services.guard
    html("<h2>Adapters</h2>")
    table = html()
    with gr.Column(elem_classes="plate"):
        one = gr.Dropdown(label="Adapter", choices=[], value=None)
        found, job = html(), html()
        with gr.Row(elem_classes="tools"):
            make = gr.Button("Make it the default", variant="primary", size="sm", visible=False)
            run = gr.Button("Run the missing evaluation", size="sm", visible=False)
            clear = gr.Button("Use no adapter…", size="sm", visible=False)
            ask_delete = gr.Button("Delete…", size="sm")
        with gr.Group(visible=False, elem_classes="confirm") as closed:
            reason = gr.Textbox(
                label="Override the gate: why? It is kept with your name.", max_lines=3
            )
            force = gr.Button("Make it the default all the same", variant="stop", size="sm")
        group, text, yes, no, why = _question()
        deleting = confirmation("Delete the adapter", choice="What employees get instead")
    timer = gr.Timer(TICK, active=False)
    html("<h2>Decisions</h2>")
    decisions = html()
    listed = [table, one, decisions, clear]
    judged = [found, job, make, run, closed, timer]
    guard.admin(one.input, panel.judge, [one], judged)
    guard.admin(timer.tick, panel.tick, [one], judged)
    guard.admin(make.click, panel.promote, [one], [*listed, *judged, reason])
    guard.admin(force.click, panel.override, [one, reason], [*listed, *judged, reason])
    guard.admin(run.click, panel.queue, [one], judged)
    guard.admin(clear.click, panel.ask_clear, None, [text, group])
    guard.admin(yes.click, panel.clear, [one, why], [*listed, *judged, why, group])
    guard.admin(no.click, hide, None, [group])
    guard.admin(ask_delete.click, panel.ask_delete, [one], [*deleting.parts, deleting.choice])
    guard.admin(deleting.yes.click, panel.delete, [deleting.asked, deleting.choice],
                [*deleting.parts, *listed, *judged])  # fmt: skip
    guard.admin(deleting.no.click, leave, None, deleting.parts)
    return panel, listed


def _question() -> tuple[Any, Any, Any, Any, Any]:
    """The hidden question whether the default shall go, and why."""
    with gr.Group(visible=False, elem_classes="confirm") as group:
        text = html()
        why = gr.Textbox(label="Why? It is kept with your name.", max_lines=3)
        with gr.Row():
            agree = gr.Button("Use no adapter", variant="stop", size="sm")
            keep = gr.Button("Keep the default", size="sm")
    return group, text, agree, keep, why
