"""Plots as SVG, drawn on the server: no script, no request, readable in light and dark."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ui.markup import piece

WIDTH, HEIGHT = 720.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 16.0, 12.0, 38.0
LABEL_CHARACTERS = 24
"""In the 178 units left of a bar, in the widest of the system's fonts."""


@dataclass(frozen=True)
class Series:
    """A named line; points are (x, y) in the order of x."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    """1 to 4, of the style sheet."""


@dataclass(frozen=True)
class Interval:
    """A value between 0 and 1 with its interval."""

    label: str
    value: float
    low: float
    high: float
    colour: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The label in the two lines that there is room for beside a bar."""
        return textwrap.wrap(self.label, LABEL_CHARACTERS, max_lines=2, placeholder="…")


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where it stands and what is written there."""

    at: float
    text: str


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers from `low` to `high`, about `wanted` of them."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough), 10 * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def line_plot(series: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """Draw lines over a common x, y from 0; an empty string without two points."""
    drawn = [
        Series(one.name, [p for p in one.points if math.isfinite(p[1])], one.colour)
        for one in series
    ]
    points = [point for one in drawn for point in one.points]
    if len(points) < 2:
        return Markup("")
    right = max(x for x, _ in points) or 1.0
    top = max(y for _, y in points) * 1.05 or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + x / right * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM),
        )

    paths = [
        (one, " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in thinned(one.points)))
        for one in drawn
        if one.points
    ]
    ends = [(one, place(*one.points[-1])) for one in drawn if one.points]
    return piece(
        "line_plot.html", width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT,
        bottom=HEIGHT - BOTTOM, paths=paths, ends=ends, x_label=x_label, y_label=y_label,
        x_ticks=[Tick(place(x, 0)[0], f"{x:g}") for x in ticks(0, right, 6) if x == int(x)],
        y_ticks=[Tick(place(0, y)[1], f"{y:g}") for y in ticks(0, top, 4)],
    )  # fmt: skip


def thinned(points: Sequence[tuple[float, float]], most: int = 400) -> list[tuple[float, float]]:
    """Keep at most about `most` points, the last one always."""
    step = max(1, math.ceil(len(points) / most))
    kept = list(points[::step])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


def interval_plot(rows: Sequence[Interval], label: str) -> Markup:
    """Draw one bar a row from 0 to 1 with its 95% interval."""
    if not rows:
        return Markup("")
    left, gap = 190.0, 34.0
    height = TOP + gap * len(rows) + 30.0
    across = WIDTH - left - 70.0
    bars = [
        {
            "row": row, "y": TOP + gap * index, "value": row.value * across,
            "low": left + max(0.0, row.low) * across, "high": left + min(1.0, row.high) * across,
        }
        for index, row in enumerate(rows)
    ]  # fmt: skip
    marks = [Tick(left + x * across, f"{x:.0%}") for x in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return piece(
        "interval_plot.html", width=WIDTH, height=height, left=left, bars=bars, marks=marks,
        bottom=height - 26.0, label=label, end=left + across,
    )  # fmt: skip


@dataclass(frozen=True)
class Point:
    """A share at one of several moments, with its interval."""

    place: int
    """Which moment, from 0."""
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class TimeSeries:
    """A share over time."""

    name: str
    points: Sequence[Point]
    colour: int
    hollow: bool = False
    """Told apart from another one of its colour."""


def history_plot(series: Sequence[TimeSeries], moments: Sequence[str], label: str) -> Markup:
    """Draw shares from 0 to 1 with their intervals, moments evenly spaced."""
    if not moments or not any(one.points for one in series):
        return Markup("")
    step = (WIDTH - LEFT - RIGHT) / len(moments)
    height = HEIGHT - TOP - BOTTOM

    def across(place: int, number: int) -> float:
        # Side by side, so that intervals of several series do not cover each other.
        apart = min(10.0, step / (len(series) + 1))
        return LEFT + step * (place + 0.5) + apart * (number - (len(series) - 1) / 2)

    def up(share: float) -> float:
        return HEIGHT - BOTTOM - min(1.0, max(0.0, share)) * height

    drawn = [
        {
            "name": one.name, "colour": one.colour, "hollow": one.hollow,
            "line": " ".join(f"{across(p.place, n):.1f},{up(p.value):.1f}" for p in one.points),
            "points": [
                {"x": across(p.place, n), "y": up(p.value), "low": up(p.low), "high": up(p.high),
                 "text": f"{one.name}, {moments[p.place]}: {p.value:.0%} "
                         f"({p.low:.0%} to {p.high:.0%})"}
                for p in one.points
            ],
        }
        for n, one in enumerate(series)
    ]  # fmt: skip
    every = max(1, math.ceil(len(moments) / 8))
    x_ticks = [
        Tick(LEFT + step * (place + 0.5), name)
        for place, name in enumerate(moments) if place % every == 0
    ]  # fmt: skip
    y_ticks = [Tick(up(share), f"{share:.0%}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    return piece(
        "history_plot.html", width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT,
        bottom=HEIGHT - BOTTOM, series=drawn, x_ticks=x_ticks, y_ticks=y_ticks, label=label,
    )  # fmt: skip


def difference_plot(rows: Sequence[Interval], label: str) -> Markup:
    """Draw differences of shares with their intervals around a line at zero."""
    if not rows:
        return Markup("")
    reach = max(0.1, *(abs(end) for row in rows for end in (row.low, row.high, row.value)))
    left, gap = 190.0, 34.0
    height = TOP + gap * len(rows) + 30.0
    end = WIDTH - 100.0

    def place(value: float) -> float:
        return left + (value / reach + 1) / 2 * (end - left)

    marks = [Tick(place(x), f"{100 * x:+.0f}") for x in ticks(-reach, reach, 6)]
    bars = [
        {"row": row, "y": TOP + gap * index + 13, "value": place(row.value),
         "low": place(row.low), "high": place(row.high)}
        for index, row in enumerate(rows)
    ]  # fmt: skip
    return piece(
        "difference_plot.html", width=WIDTH, height=height, left=left, end=end, bars=bars,
        marks=marks, zero=place(0.0), bottom=height - 26.0, label=label,
    )  # fmt: skip
