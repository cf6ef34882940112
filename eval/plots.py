"""Plots of a report as inline SVG, equal bytes for equal figures.

Text stays text, and ink is `currentColor`, so that a plot follows the page's light or dark.
matplotlib is imported where it is used: whoever only lists evaluations need not wait a second.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from eval.diagnosis import CAUSES
from eval.recommend import label

INK = "#010203"
COLOURS = ("#8a94a3", "#2f7ed8", "#e08a1e", "#3aa76d", "#a05bd0", "#d2527f", "#3bb3c3", "#8c6d46")
CAUSE_COLOURS = ("#b9a44c", "#8a94a3", "#2f7ed8", "#3bb3c3", "#e08a1e", "#c8473a")
MARKERS = "osD^vP*X"
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "inhouse",
    "font.family": "sans-serif",
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def _styled() -> AbstractContextManager[None]:
    import matplotlib

    styled: AbstractContextManager[None] = matplotlib.rc_context(STYLE)
    return styled


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, height), layout="constrained")
    FigureCanvasSVG(figure)
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Any, title: str) -> str:
    # Laid out here: savefig would draw everything twice, the first time only to lay it out.
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(figure)
        figure.set_layout_engine(None)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Several plots share a page, and ids of one document must differ.
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def quality_by_slice(
    tables: Mapping[str, Mapping[str, Any]], title: str, measure: str = "correct"
) -> str:
    """Points with 95% intervals: one group a slice, one point a mode.

    Args:
        tables: slice, then arm, then measures.
        title: read out to those who cannot see the plot.
        measure: which share to draw.
    """
    slices, arms = list(tables), list(next(iter(tables.values())))
    with _styled():
        figure, axes = _figure(1.1 + 0.24 * len(slices) * (len(arms) + 1))
        for number, arm in enumerate(arms):
            places = {
                row * (len(arms) + 1) + number: tables[name][arm][measure]
                for row, name in enumerate(slices)
            }
            _intervals(axes, places, number, label(arm))
        middle = (len(arms) - 1) / 2
        axes.set_yticks([row * (len(arms) + 1) + middle for row in range(len(slices))], slices)
        axes.invert_yaxis()
        axes.set_xlim(-0.01, 1.01)
        axes.xaxis.set_major_formatter("{x:.0%}")
        _legend(figure)
        return _svg(figure, title)


def _intervals(axes: Any, places: Mapping[int, Mapping[str, Any]], number: int, name: str) -> None:
    """Draw the points of one mode, each at its place, with intervals where there are any."""
    shown = {y: found for y, found in places.items() if found["value"] is not None}
    if not shown:
        return
    reach: list[list[float]] = [[], []]
    for found in shown.values():
        known = found["low"] is not None
        reach[0].append(max(0.0, found["value"] - found["low"]) if known else math.nan)
        reach[1].append(max(0.0, found["high"] - found["value"]) if known else math.nan)
    axes.errorbar(
        [found["value"] for found in shown.values()], list(shown), xerr=reach,
        fmt=MARKERS[number % len(MARKERS)], capsize=3, markersize=6,
        color=COLOURS[number % len(COLOURS)], label=name,
    )  # fmt: skip


def _legend(figure: Any, columns: int = 3) -> None:
    if any(axes.get_legend_handles_labels()[1] for axes in figure.axes):
        figure.legend(
            loc="outside upper left", ncols=columns, frameon=False, handletextpad=0.4, fontsize=9.5
        )


def quality_against_latency(
    modes: Mapping[str, Mapping[str, Any]], timing: Mapping[str, Mapping[str, Any]]
) -> str:
    """Share handled rightly over median seconds an answer."""
    with _styled():
        figure, axes = _figure(3.6)
        for number, (arm, table) in enumerate(modes.items()):
            found, seconds = table["correct"], timing[arm]["latency_p50_s"]
            if found["value"] is None or seconds is None:
                continue
            low, high = found["low"], found["high"]
            reach = [[max(0.0, found["value"] - low)], [max(0.0, high - found["value"])]]
            axes.errorbar(
                [seconds], [found["value"]], yerr=reach, capsize=3, markersize=8,
                fmt=MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)],
                label=label(arm),
            )  # fmt: skip
        axes.set_xlim(left=0)
        axes.set_ylim(-0.02, 1.03)
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.set_xlabel("seconds an answer, median")
        axes.set_ylabel("handled rightly")
        _legend(figure)
        return _svg(figure, "Quality against latency")


def failures(found: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    """Wrong answers by cause, one bar a mode."""
    arms = list(found)
    with _styled():
        figure, axes = _figure(1.1 + 0.45 * len(arms))
        left = [0] * len(arms)
        for cause, colour in zip(CAUSES, CAUSE_COLOURS, strict=True):
            sizes = [found[arm]["all"][cause] for arm in arms]
            if any(sizes):
                axes.barh(
                    range(len(arms)), sizes, left=left, color=colour, label=str(cause), height=0.6
                )
            left = [a + b for a, b in zip(left, sizes, strict=True)]
        axes.set_yticks(range(len(arms)), [label(arm) for arm in arms])
        axes.invert_yaxis()
        axes.set_xlabel("wrong answers")
        _legend(figure)
        return _svg(figure, "Wrong answers by cause")


def risk_coverage(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Share wrong among the most confident answers, over their share of all."""
    with _styled():
        figure, axes = _figure(3.6)
        for number, (arm, points) in enumerate(curves.items()):
            if points:
                axes.plot(
                    [x for x, _ in points], [y for _, y in points], label=label(arm),
                    color=COLOURS[number % len(COLOURS)], marker=MARKERS[number % len(MARKERS)],
                    markevery=max(1, len(points) // 8), markersize=5,
                )  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.set_xlabel("answered, most confident first")
        axes.set_ylabel("wrong among them")
        _legend(figure)
        return _svg(figure, "Risk and coverage")


def audit_plot(results: Sequence[Mapping[str, Any]]) -> str:
    """Quality against speed, one mark a model and mode; without quality, memory against speed.

    Args:
        results: audits of models as JSON: model, tokens_per_s, memory_mb, quality.
    """
    with _styled():
        figure, axes = _figure(3.8)
        most = max((one["memory_mb"] for one in results), default=0.0) or 1.0
        for number, one in enumerate(results):
            style = {"color": COLOURS[number % len(COLOURS)],
                     "markersize": 5 + 9 * (one["memory_mb"] / most) ** 0.5}  # fmt: skip
            quality = one["quality"]
            if not quality:
                axes.plot([one["tokens_per_s"]], [one["memory_mb"]], MARKERS[0],
                          label=one["model"], **style)  # fmt: skip
            for place, (mode, table) in enumerate((quality or {}).items()):
                found = table["correct"]
                if found["value"] is None:
                    continue
                reach = [[max(0.0, found["value"] - found["low"])],
                         [max(0.0, found["high"] - found["value"])]]  # fmt: skip
                axes.errorbar([one["tokens_per_s"]], [found["value"]], yerr=reach, capsize=3,
                              fmt=MARKERS[place % len(MARKERS)],
                              label=f"{one['model']}: {label(mode)}", **style)  # fmt: skip
        axes.set_xlim(left=0)
        axes.set_xlabel("tokens a second")
        if any(one["quality"] for one in results):
            axes.set_ylim(0, 1)
            axes.yaxis.set_major_formatter("{x:.0%}")
            axes.set_ylabel("handled rightly")
        else:
            axes.set_ylim(bottom=0)
            axes.set_ylabel("memory, MB")
        _legend(figure, 2)
        return _svg(figure, "Base models side by side")
