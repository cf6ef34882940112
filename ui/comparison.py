"""Two evaluations side by side, and all of one question set over time."""

from typing import Any

import gradio as gr
from markupsafe import Markup

from core.errors import InhouseError
from core.permissions import Account, reader_of
from core.values import whole
from eval.comparison import Comparison, History, Pairs, compare_two, histories
from eval.formatting import figure
from eval.recommend import label
from ui.evaluation_view import colour_of
from ui.guard import message
from ui.markup import answer_html, piece
from ui.parts import html
from ui.plots import Interval, Point, TimeSeries, difference_plot, history_plot
from ui.services import Services

ROWS = 100
"""Questions listed a mode and direction."""


class ComparisonPanel:
    """Handlers; each gets the account first."""

    def __init__(self, services: Services) -> None:
        """Use the evaluations of `services`."""
        self._evaluations = services.evaluations
        self._row_access = services.row_access

    def load(self, account: Account) -> list[Any]:
        """Return the choices, the newest history, and nothing compared yet."""
        found = self._evaluations.list()
        done = [(f"{one.id}: {one.title}", one.id) for one in found if one.summary]
        groups = histories(found)
        several = [one for one in groups if len(one.moments) > 1]
        chosen = next(iter([*several, *groups]), None)
        names = [
            (f"{one.name} ({one.questions} questions, {len(one.moments)} times)", one.key)
            for one in groups
        ]
        ids = [moment.evaluation_id for moment in reversed(chosen.moments)] if chosen else []
        after, before = ids[:2] if len(ids) > 1 else (None, None)
        return [
            gr.update(choices=names, value=chosen.key if chosen else None),
            history_html(chosen),
            gr.update(choices=done, value=before),
            gr.update(choices=done, value=after),
        ]

    def history(self, account: Account, key: Any) -> str:
        """Show the history of one question set."""
        groups = histories(self._evaluations.list())
        return history_html(next((one for one in groups if one.key == key), None))

    def compare(self, account: Account, before: Any, after: Any) -> str:
        """Show what became of each mode."""
        if not before or not after or before == after:
            raise message("Choose two different evaluations.", "Nothing to compare")
        first, second = whole(before, "evaluation"), whole(after, "evaluation")
        for number in (first, second):
            self._evaluations.summary(number)
        try:
            found = compare_two(self._evaluations, first, second)
        except InhouseError as error:
            return piece("not_compared.html", problem=error.message)
        readable = all(
            self._row_access.may_read(int(number), reader_of(account)) for number in (before, after)
        )
        return comparison_html(found, readable=readable)


def comparison_html(found: Comparison, *, readable: bool) -> str:
    """Render differences with intervals, and the questions won and lost where they may be read."""
    intervals = [
        Interval(
            label(one.mode), one.difference["value"],
            _or(one.difference["low"], one.difference["value"]),
            _or(one.difference["high"], one.difference["value"]), colour_of(one.mode),
            f"{100 * one.difference['value']:+.0f} points",
        )
        for one in found.modes
    ]  # fmt: skip
    rows = [
        {
            "mode": label(one.mode), "before": figure(one.before, "share"),
            "after": figure(one.after, "share"), "gap": one.difference, "p": one.p,
            "verdict": _verdict(one.shown, one.difference["value"]), "changes": one.changes,
            "won": _listed(one.won if readable else []), "wins": len(one.won),
            "lost": _listed(one.lost if readable else []), "losses": len(one.lost),
        }
        for one in found.modes
    ]  # fmt: skip
    plot = difference_plot(intervals, "Handled rightly, after minus before")
    return piece("comparison.html", c=found, rows=rows, plot=plot, readable=readable)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _verdict(shown: bool, gap: float) -> tuple[str, str]:
    if not shown:
        return "no difference shown", ""
    return ("better", "good") if gap > 0 else ("worse", "bad")


def _listed(pairs: Pairs) -> list[dict[str, Any]]:
    return [
        {
            "question": before.question,
            "before": answer_html((before.answer or {}).get("text", "")),
            "after": answer_html((after.answer or {}).get("text", "")),
        }
        for before, after in pairs[:ROWS]
    ]


def history_html(found: History | None) -> str:
    """Render accuracy with its interval by mode, over the evaluations of one question set."""
    if found is None:
        return piece("history.html", h=None, plot="", modes=[])
    names = dict.fromkeys(mode for moment in found.moments for mode in moment.modes)
    modes = sorted(names, key=colour_of)
    series = [
        TimeSeries(
            label(mode),
            [
                Point(place, one["value"], _or(one["low"], one["value"]),
                      _or(one["high"], one["value"]))
                for place, moment in enumerate(found.moments)
                if (one := moment.modes.get(mode)) is not None
            ],
            colour_of(mode),
            colour_of(mode) in {colour_of(earlier) for earlier in modes[:number]},
        )
        for number, mode in enumerate(modes)
    ]  # fmt: skip
    days = [f"{moment.evaluation_id}: {moment.at:%d %b}" for moment in found.moments]
    plot: Markup | str = history_plot(series, days, "Accuracy over time, with 95% intervals")
    table = [
        (moment, [figure(moment.modes[m], "share") if m in moment.modes else "–" for m in modes])
        for moment in found.moments
    ]
    return piece("history.html", h=found, plot=plot, modes=[label(m) for m in modes], table=table)


def comparison_panel(blocks: Any, services: Services) -> None:
    """Build history and comparison."""
    panel, guard = ComparisonPanel(services), services.guard
    html("<h2>Over time</h2>")
    group = gr.Dropdown(label="Question set", choices=[], value=None)
    past = html()
    html("<h2>Two evaluations side by side</h2>")
    with gr.Row(elem_classes="finder"):
        before = gr.Dropdown(label="Before", choices=[], value=None, scale=2)
        after = gr.Dropdown(label="After", choices=[], value=None, scale=2)
        run = gr.Button("Compare", scale=0)
    found = html()
    guard.employee(blocks.load, panel.load, None, [group, past, before, after])
    guard.employee(group.input, panel.history, [group], [past])
    guard.employee(run.click, panel.compare, [before, after], [found])
