"""Re-evaluation by itself: its settings, what it did, and alarms with a note to close them."""

from typing import Any

import gradio as gr

from assistant.modes import AnswerMode
from core.errors import InhouseError
from core.permissions import Account, Role
from core.values import whole, wholes
from eval.evaluations import Evaluation
from eval.recommend import label
from eval.stored import DONE
from eval.watch import WatchSettings
from ui.guard import message, note
from ui.markup import answer_html, piece
from ui.parts import html
from ui.services import Services

MODES = [(mode.label, mode.value) for mode in AnswerMode]
LOSSES = 25
STARTED = 8


class WatchPanel:
    """Handlers; each gets the account first."""

    def __init__(self, services: Services) -> None:
        """Use the watch and the evaluations of `services`."""
        self._watch = services.watch
        self._watcher = services.watcher
        self._evaluations = services.evaluations
        self._sets = services.question_sets
        self._accounts = services.accounts
        self._audit = services.audit

    def load(self, account: Account) -> list[Any]:
        """Fill alarms and settings; employees see neither."""
        if account.role is not Role.ADMIN:
            return ["", gr.update(), gr.update(), gr.update(visible=False),
                    *(gr.update() for _ in range(8 + 1))]  # fmt: skip
        return [*self.alarms(account), gr.update(visible=True), *self.chosen(), self.status()]

    def alarms(self, account: Account) -> list[Any]:
        """Return the alarms, and the choice of an open one to close."""
        found = self._watch.alarms.list()
        people = {person.id: person.name for person in self._accounts.list()}
        waiting = [
            (alarm, [self._loss(*pair) for pair in self._watch.alarms.losses(alarm)[:LOSSES]])
            for alarm in found if alarm.closed_at is None
        ]  # fmt: skip
        closed = [
            (alarm, people.get(alarm.closed_by or 0, "operator"))
            for alarm in found if alarm.closed_at is not None
        ]  # fmt: skip
        choices = [(f"{one.id}: {label(one.mode)}", one.id) for one, _ in waiting]
        first = choices[0][1] if choices else None
        return [
            piece("alarms.html", waiting=waiting, closed=closed) if found else "",
            gr.update(visible=bool(waiting)),
            gr.update(choices=choices, value=first),
        ]

    def _loss(self, before: Any, after: Any) -> dict[str, Any]:
        said = [answer_html((row.answer or {}).get("text", "")) for row in (before, after)]
        return {"question": before.question, "before": said[0], "after": said[1],
                "cause": after.diagnosis}  # fmt: skip

    def chosen(self) -> list[Any]:
        """Return the settings as the form shows them."""
        settings = self._watch.settings()
        sets = [(f"{one.name} ({len(one.questions)})", one.id) for one in self._sets.list()]
        known = [value for _, value in sets if value in settings.question_set_ids]
        floors = [100 * settings.floors.get(mode.value, 0.0) for mode in AnswerMode]
        return [
            gr.update(choices=sets, value=known), [mode.value for mode in settings.modes],
            settings.on_change, settings.every_days, *floors,
        ]  # fmt: skip

    def status(self) -> str:
        """Say what was done by itself, and what comes next."""
        try:
            outlook, problem = self._watch.outlook().sentence, self._watcher.problem
        except InhouseError as error:
            outlook, problem = "", error.message
        rows = [
            (one, self._evaluations.get(one.evaluation_id)) for one in self._watch.started(STARTED)
        ]
        shown = [(one, evaluation, _state(evaluation)) for one, evaluation in rows]
        return piece("watch.html", outlook=outlook, problem=problem, rows=shown)

    def save(self, account: Account, *values: Any) -> list[Any]:
        """Keep the settings; the next look follows them."""
        sets, modes, on_change, days, *floors = values
        settings = WatchSettings(
            wholes(sets, "question set"),
            tuple(mode for mode in AnswerMode if mode.value in (modes or ())),
            bool(on_change),
            whole(days or 0, "number of days"),
            {
                mode.value: float(floor) / 100
                for mode, floor in zip(AnswerMode, floors, strict=True) if floor
            },
        )  # fmt: skip
        self._watch.save(settings, account.id)
        detail = {"sets": list(settings.question_set_ids), "on_change": settings.on_change,
                  "every_days": settings.every_days, "floors": dict(settings.floors)}  # fmt: skip
        self._audit.record(account.name, "watch.settings", "re-evaluation", detail)
        note("Saved. The next look follows it.")
        return [self.status()]

    def look(self, account: Account) -> list[Any]:
        """Look now instead of at the next time."""
        looked = self._watch.look()
        if looked.evaluation_id is not None:
            detail = {"evaluation": looked.evaluation_id}
            self._audit.record(account.name, "watch.look", looked.outlook.sentence, detail)
        note(looked.outlook.sentence)
        return [*self.alarms(account), self.status()]

    def acknowledge(self, account: Account, alarm_id: Any, text: str) -> list[Any]:
        """Close an alarm with a note."""
        if not alarm_id:
            raise message("Choose an alarm first.", "Nothing chosen")
        alarm = self._watch.alarms.acknowledge(whole(alarm_id, "alarm"), text or "", account.id)
        detail = {"alarm": alarm.id, "note": alarm.note}
        self._audit.record(account.name, "alarm.acknowledge", alarm.finding, detail)
        note("The alarm is closed; the note is kept.")
        return [*self.alarms(account), ""]


def _state(evaluation: Evaluation) -> tuple[str, str]:
    if evaluation.state == DONE:
        return "done", "good"
    return evaluation.state, "bad" if evaluation.state == "failed" else ""


def alarm_panel(blocks: Any, services: Services) -> tuple[WatchPanel, list[Any]]:
    """Build the alarms, which stand above all else; return the handlers and what they fill."""
    panel = WatchPanel(services)
    shown = html()
    with gr.Group(visible=False, elem_classes="confirm") as group:
        with gr.Row():
            one = gr.Dropdown(label="Open alarm", choices=[], value=None, scale=1)
            text = gr.Textbox(label="What was found or done. It is kept.", max_lines=3, scale=3)
        close = gr.Button("Acknowledge the alarm", size="sm")
    alarms = [shown, group, one]
    services.guard.admin(close.click, panel.acknowledge, [one, text], [*alarms, text])
    return panel, alarms


def watch_panel(blocks: Any, services: Services, panel: WatchPanel, alarms: list[Any]) -> None:
    """Build the settings."""
    guard = services.guard
    with gr.Column(visible=False, elem_classes="plate") as plate:
        html("<h2>Re-evaluation by itself</h2>")
        status = html()
        with gr.Accordion("When, and on which questions", open=False):
            sets = gr.Dropdown(label="Watched questions", choices=[],
                               multiselect=True, value=[])  # fmt: skip
            modes = gr.CheckboxGroup(MODES, value=[], label="Modes that are watched")
            with gr.Row():
                change = gr.Checkbox(
                    label="When documents, the default adapter or the model change", value=True
                )
                days = gr.Number(
                    label="Every so many days (0: never)", value=0, precision=0, minimum=0
                )
            with gr.Row():
                floors = [
                    gr.Number(label=f"Floor, {mode.label}: % handled rightly (0: none)", value=0,
                              minimum=0, maximum=100)
                    for mode in AnswerMode
                ]  # fmt: skip
            save = gr.Button("Save", variant="primary")
        look = gr.Button("Look now", size="sm")
    form = [sets, modes, change, days, *floors]
    guard.employee(blocks.load, panel.load, None, [*alarms, plate, *form, status])
    guard.admin(save.click, panel.save, form, [status])
    guard.admin(look.click, panel.look, None, [*alarms, status])
