"""What the Evaluation page shows, made from figures and rows: pure translation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from assistant.modes import AnswerMode
from eval.diagnosis import CAUSES
from eval.formatting import NOTHING, cost, judge_line
from eval.recommend import label
from eval.records import EvaluatedRow
from eval.scoring import MEASURES, Measure
from eval.stored import Evaluation
from ui.markup import answer_html, duration, piece
from ui.plots import Interval, interval_plot

SHOWN = (
    "correct", "accuracy", "refusal_recall", "false_refusals", "precision", "recall", "f1",
    "rouge_l", "similarity", "evidence_recall", "citation_precision", "groundedness", "judge",
)  # fmt: skip
"""Measures of the page's table; the report holds all."""

STATES = {
    "new": ("waiting", ""),
    "running": ("running", "good"),
    "stopped": ("stopped", "warn"),
    "failed": ("failed", "bad"),
    "done": ("done", "good"),
}


@dataclass(frozen=True)
class Cell:
    """A figure with its interval, as text."""

    value: str
    interval: str
    best: bool


def colour_of(arm: str) -> int:
    """Return the colour of an arm's mode, 1 to 4."""
    modes = [mode.value for mode in AnswerMode]
    for separator in "@#+":
        arm = arm.partition(separator)[0]
    return modes.index(arm) + 1 if arm in modes else 1


def figure(measure: Measure, estimate: Mapping[str, Any], best: bool = False) -> Cell:
    """Write an estimate as people read it."""
    value = estimate.get("value")
    if value is None or not estimate.get("n", 1):
        return Cell("–", "", False)
    low, high = estimate.get("low"), estimate.get("high")
    if measure.unit == "share":
        interval = "" if low is None or high is None else f"{low:.0%} to {high:.0%}"
        return Cell(f"{value:.0%}", interval, best)
    interval = "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
    return Cell(f"{value:.2f}" if measure.unit != "tokens" else f"{value:.0f}", interval, best)


def table_rows(summary: Mapping[str, Any]) -> list[tuple[Measure, list[Cell]]]:
    """Return the table: a line for each measure that has a value, a cell for each arm."""
    modes: Mapping[str, Mapping[str, Any]] = summary["modes"]
    rows = []
    for measure in (m for key in SHOWN for m in MEASURES if m.key == key):
        estimates = [arm.get(measure.key) or {} for arm in modes.values()]
        values = [one["value"] for one in estimates if one.get("value") is not None]
        if not values:
            continue
        top = min(values) if measure.lower_is_better else max(values)
        alone = len(values) > 1 and values.count(top) == 1
        cells = [figure(measure, one, alone and one.get("value") == top) for one in estimates]
        rows.append((measure, cells))
    return rows


def times_row(summary: Mapping[str, Any]) -> list[str]:
    """Return median seconds to a whole answer, by arm."""
    timing = summary.get("timing", {})
    return [duration(timing.get(arm, {}).get("latency_p50_s")) or "–" for arm in summary["modes"]]


def cost_rows(summary: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return energy and price of 1,000 questions, by arm, where rates were given."""
    timing = [summary.get("timing", {}).get(arm, {}) for arm in summary["modes"]]
    names = {"kwh_per_1000": "Kilowatt-hours", "price_per_1000": "Price"}
    rows = [(name, [cost(one, key) for one in timing]) for key, name in names.items()]
    return [row for row in rows if any(cell != NOTHING for cell in row[1])]


def kind_plots(summary: Mapping[str, Any]) -> list[tuple[str, Markup]]:
    """Plot how many questions each arm handled rightly: over all, then by kind of question."""
    titles = {
        "seen": "Trained facts, in new words",
        "unseen": "Facts not trained on",
        "unanswerable": "Not answerable: refusing is right",
    }
    slices = [("All questions", summary["modes"])]
    slices += [(titles.get(kind, kind), arms) for kind, arms in summary["by_kind"].items()]
    return [
        (title, interval_plot(_intervals(arms), title))
        for title, arms in slices[: 1 if len(slices) == 2 else None]
    ]


def _intervals(arms: Mapping[str, Mapping[str, Any]]) -> list[Interval]:
    rows = []
    for arm, table in arms.items():
        one = table["correct"]
        value = one.get("value")
        if value is not None:
            low, high = one.get("low") or 0.0, one.get("high") or value
            rows.append(Interval(label(arm), value, low, high, colour_of(arm), f"{value:.0%}"))
    return rows


def pair_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every two arms with their tested difference in questions handled rightly."""
    rows = []
    for pair in summary["pairs"]:
        tested = pair["measures"]["correct"]
        gap = tested["difference"]
        if gap["value"] is None:
            continue
        smallest = tested["detectable"]
        rows.append({
            "first": label(pair["first"]), "second": label(pair["second"]), "gap": gap,
            "p": tested["p_holm"], "shown": tested["shown"],
            "detectable": None if smallest is None else 100 * smallest,
        })  # fmt: skip
    return rows


def cause_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, list[int]]]:
    """Return why answers are wrong: cause, its meaning, and its number by arm."""
    found = [arm["all"] for arm in summary["failures"].values()]
    rows = [(str(one), one.meaning, [arm[str(one)] for arm in found]) for one in CAUSES]
    return [row for row in rows if any(row[2])]


def report_html(evaluation: Evaluation, summary: Mapping[str, Any], *, downloads: bool) -> str:
    """Render verdict, plots and table of a finished evaluation."""
    return piece(
        "evaluation.html", e=evaluation, summary=summary, verdict=summary["recommendation"],
        arms=[label(arm) for arm in summary["modes"]], rows=table_rows(summary),
        times=times_row(summary), plots=kind_plots(summary), downloads=downloads,
        pairs=pair_rows(summary), causes=cause_rows(summary), costs=cost_rows(summary),
        judge=judge_line(summary["judge"]) if "judge" in summary else "",
    )  # fmt: skip


def history_html(evaluations: Sequence[Evaluation]) -> str:
    """Render the list of evaluations, newest first."""
    rows = []
    for one in evaluations:
        verdict = (one.summary or {}).get("recommendation", {}).get("headline", "")
        rows.append((one, STATES.get(one.state, (one.state, "")), verdict or one.error))
    return piece("evaluations.html", rows=rows)


def live_html(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Render how far a running evaluation is, arm by arm."""
    rows = [(label(arm), one) for arm, one in figures.items()]
    return piece("evaluation_live.html", rows=rows) if rows else ""


def answers_html(rows: Sequence[EvaluatedRow], total: int) -> str:
    """Render answers next to what was expected and to their sources."""
    shown = []
    for row in rows:
        answer = row.answer or {}
        passages = answer.get("passages", [])
        shown.append(
            {
                "row": row, "arm": label(row.arm), "right": bool(row.scores.get("correct")),
                "html": answer_html(answer.get("text", "")), "passages": passages,
                "cited": answer.get("cited", []),
                "relevant": row.scores.get("relevant") or [False] * len(passages),
            }
        )  # fmt: skip
    return piece("evaluation_answers.html", rows=shown, total=total)
