"""Which adapter employees get: the gate's findings, its decisions, overrides with a reason."""

from typing import Any

import gradio as gr

from core.errors import Conflict
from core.permissions import Account
from ui.guard import message, note
from ui.markup import piece
from ui.parts import TICK, adapter_label, html, job_html
from ui.services import Services
from ui.training_view import shelf_html

EVALUATE = "evaluate"
DECISIONS = 20


class PromotionPanel:
    """Handlers of the shelf on the Training page; each gets the admin's account first."""

    def __init__(self, services: Services) -> None:
        """Use the shelf, the gate and the jobs of `services`."""
        self._accounts = services.accounts
        self._audit = services.audit
        self._gate = services.gate
        self._jobs = services.jobs
        self._shelf = services.shelf

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
        """Ask before deleting an adapter."""
        chosen = self._picked(name)
        self._shelf.require_deletable(chosen)
        return [piece("confirm_adapter.html", name=chosen), gr.update(visible=True)]

    def delete(self, account: Account, name: Any) -> list[Any]:
        """Delete an adapter; if it is the default, that is a decision of its own."""
        chosen = self._picked(name)
        self._shelf.require_deletable(chosen)
        if self._shelf.default() == chosen:
            reason = f"'{chosen}' was deleted"
            self._gate.clear(reason, account.id)
            self._record(account, chosen, "cleared", reason)
        self._shelf.delete(chosen)
        self._audit.record(account.name, "adapter.delete", chosen)
        note(f"“{chosen}” is deleted.")
        table, choice, *rest = self.listing(account)
        cleared = self.judge(account, None)
        return [table, {**choice, "value": None}, *rest, *cleared, gr.update(visible=False)]

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
            ask = gr.Button("Delete…", size="sm")
        with gr.Group(visible=False, elem_classes="confirm") as closed:
            reason = gr.Textbox(
                label="Override the gate: why? It is kept with your name.", max_lines=3
            )
            force = gr.Button("Make it the default all the same", variant="stop", size="sm")
        clear_parts = _question("Use no adapter", "Keep the default", asks_why=True)
        delete_parts = _question("Delete the adapter", "Keep it")
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
    group, text, yes, no, why = clear_parts
    guard.admin(clear.click, panel.ask_clear, None, [text, group])
    guard.admin(yes.click, panel.clear, [one, why], [*listed, *judged, why, group])
    guard.admin(no.click, hide, None, [group])
    group, text, yes, no, _ = delete_parts
    guard.admin(ask.click, panel.ask_delete, [one], [text, group])
    guard.admin(yes.click, panel.delete, [one], [*listed, *judged, group])
    guard.admin(no.click, hide, None, [group])
    return panel, listed


def _question(yes: str, no: str, *, asks_why: bool = False) -> tuple[Any, Any, Any, Any, Any]:
    """A hidden question: group, text, the two buttons, and a reason where one is asked for."""
    with gr.Group(visible=False, elem_classes="confirm") as group:
        text = html()
        why = gr.Textbox(label="Why? It is kept with your name.", max_lines=3) if asks_why else None
        with gr.Row():
            agree = gr.Button(yes, variant="stop", size="sm")
            keep = gr.Button(no, size="sm")
    return group, text, agree, keep, why
