"""Figures as people read them; shared by every form of the report."""

from collections.abc import Mapping
from typing import Any

from eval.scoring import MEASURES, Measure


def headline(summary: Mapping[str, Any]) -> str:
    """What was measured, failed rows first of all."""
    found = summary["counts"]
    line = f"{found['questions']} questions on {found['facts']} facts, {found['rows']} answers"
    if found["failed"]:
        line += f"; {found['failed']} rows failed and are excluded"
    return line + "."


def shown_measures(summary: Mapping[str, Any]) -> list[Measure]:
    """Measures that at least one arm has a figure for."""
    tables = summary["modes"].values()
    return [m for m in MEASURES if any(table[m.key]["value"] is not None for table in tables)]


def figure(estimate: Mapping[str, Any], unit: str) -> str:
    """A figure with its interval, as text: '62% (55 to 68)'."""
    if estimate["value"] is None:
        return "–"
    scale, digits, sign = (100, 0, "%") if unit == "share" else (1, 2, "")
    if unit == "tokens":
        digits = 0
    text = f"{scale * estimate['value']:.{digits}f}{sign}"
    if estimate["low"] is None:
        return text
    low, high = (f"{scale * estimate[end]:.{digits}f}" for end in ("low", "high"))
    return f"{text} ({low} to {high})"
