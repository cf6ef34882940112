"""A check for a firm's own build: floors for figures, and a baseline not to fall behind."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import InhouseError, InvalidInput


class CheckFailed(InhouseError):
    """A figure is below its floor or its baseline; exit code 1."""


def parse_floors(pairs: Sequence[str]) -> dict[str, float]:
    """Turn 'rag=0.6' into {'rag': 0.6}.

    Raises:
        InvalidInput: not MODE=SHARE with a share from 0 to 1.
    """
    floors = {}
    for pair in pairs:
        mode, _, value = pair.partition("=")
        try:
            floors[mode] = float(value)
        except ValueError:
            floors[mode] = -1.0
        if not 0.0 <= floors[mode] <= 1.0:
            raise InvalidInput(
                f"'{pair}' is not a floor. Write MODE=SHARE, for example rag=0.6 for 60%."
            )
    return floors


def read_report(path: Path) -> dict[str, Any]:
    """Read a report.json.

    Raises:
        InvalidInput: it cannot be read or is no report.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        found["modes"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"'{path}' is not a report of an evaluation ({error}). Give its report.json."
        ) from None
    return dict(found)


def shortfalls(
    modes: Mapping[str, Any],
    floors: Mapping[str, float],
    baseline: Mapping[str, Any] | None,
    margin: float,
) -> list[str]:
    """What is too low, one sentence each; empty when all is well.

    Args:
        modes: `modes` of a report.
        floors: least accuracy by mode, 0 to 1.
        baseline: `modes` of an earlier report; None: not compared.
        margin: how far accuracy may fall behind the baseline, 0 to 1.
    """
    lines = []
    for mode, floor in floors.items():
        value = modes.get(mode, {}).get("accuracy", {}).get("value")
        if value is None:
            lines.append(f"{mode}: accuracy was not measured; the floor is {floor:.3f}.")
        elif value < floor:
            lines.append(f"{mode}: accuracy {value:.3f} is below the floor {floor:.3f}.")
    for mode, table in (baseline or {}).items():
        before = table["accuracy"]["value"]
        value = modes.get(mode, {}).get("accuracy", {}).get("value")
        if before is None:
            continue
        if value is None:
            lines.append(f"{mode}: accuracy was not measured; the baseline has {before:.3f}.")
        elif value < before - margin:
            lines.append(
                f"{mode}: accuracy {value:.3f} is more than {margin:.3f} below the baseline "
                f"{before:.3f}."
            )
    return lines
