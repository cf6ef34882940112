"""Two evaluations side by side, and all of one question set over time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eval.arms import digest
from eval.evaluations import Evaluations
from eval.records import EvaluatedRow
from eval.statistics import ALPHA, holm, wilson
from eval.stored import DONE, Evaluation
from eval.summary import is_oracle

CHANGES = {
    "index_version": "documents",
    "embedder": "search model",
    "adapter": "adapter",
    "adapter_hash": "adapter's weights",
    "model": "model",
    "reader": "reader",
    "prompt_version": "prompt",
}
"""Fields of a configuration, as people call them; others are named as they are."""
MEASURE = "correct"

Pairs = list[tuple[EvaluatedRow, EvaluatedRow]]
"""Rows of one question, before and after."""


@dataclass(frozen=True)
class ModeChange:
    """What became of one mode from one evaluation to the other, on their common questions."""

    mode: str
    before: Mapping[str, Any]
    """Estimate over the common questions, as in a summary."""
    after: Mapping[str, Any]
    difference: Mapping[str, Any]
    """After minus before: an estimate."""
    p: float
    """Holm-corrected over the modes."""
    won: Pairs
    lost: Pairs
    changes: tuple[str, ...]

    @property
    def shown(self) -> bool:
        """Tell whether the difference is shown to be real."""
        return self.p < ALPHA


@dataclass(frozen=True)
class Comparison:
    """Two evaluations on the questions that both asked."""

    before: Evaluation
    after: Evaluation
    questions: int
    modes: tuple[ModeChange, ...]


def compare_two(evaluations: Evaluations, before_id: int, after_id: int) -> Comparison:
    """Compare the modes of the same name.

    Raises:
        NotFound: no such evaluation.
        InvalidInput: no question or no mode in common.
    """
    before, after = evaluations.get(before_id), evaluations.get(after_id)
    found = evaluations.compare(after_id, before_id)
    tested = {
        mode: one["measures"][MEASURE] for mode, one in found["modes"].items()
        if one["measures"][MEASURE]["difference"]["n"] and not is_oracle(mode)
    }  # fmt: skip
    corrected = holm([one["p"] for one in tested.values()])
    rows = {number: evaluations.rows(number) for number in (before_id, after_id)}
    modes = []
    for (mode, one), p in zip(tested.items(), corrected, strict=True):
        pairs = common(rows[before_id], rows[after_id], mode)
        modes.append(
            ModeChange(
                mode, _share(old for old, _ in pairs), _share(new for _, new in pairs),
                one["difference"], round(p, 6),
                [(old, new) for old, new in pairs if new.scores[MEASURE] > old.scores[MEASURE]],
                [(old, new) for old, new in pairs if new.scores[MEASURE] < old.scores[MEASURE]],
                tuple(changes(before, after, mode)),
            )
        )  # fmt: skip
    return Comparison(before, after, found["questions"], tuple(modes))


def _share(rows: Iterable[EvaluatedRow]) -> dict[str, Any]:
    right = [bool(row.scores[MEASURE]) for row in rows]
    return dict(wilson(sum(right), len(right)).as_json())


def common(before: Sequence[EvaluatedRow], after: Sequence[EvaluatedRow], mode: str) -> Pairs:
    """Rows of one mode on the questions that both answered, before and after."""
    new = {row.question.question: row for row in after if row.arm == mode and not row.error}
    return [
        (row, new[row.question.question])
        for row in before
        if row.arm == mode and not row.error and row.question.question in new
    ]


def changes(before: Evaluation, after: Evaluation, mode: str) -> list[str]:
    """What differs between the configurations of a mode in two evaluations."""
    old, new = _configuration(before, mode), _configuration(after, mode)
    lines = []
    for key in dict.fromkeys([*CHANGES, *old, *new]):
        if key != "repeat" and old.get(key) != new.get(key):
            name = CHANGES.get(key, f"setting '{key}'")
            lines.append(f"{name}: {_short(old.get(key))} → {_short(new.get(key))}")
    return lines


def _configuration(one: Evaluation, mode: str) -> Mapping[str, Any]:
    """What a mode's answers depended on; empty where it was not measured."""
    for arm in one.arms:
        if arm["name"] == mode:
            found: Mapping[str, Any] = arm["configuration"]
            return found
    return {}


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    is_hash = len(text) >= 32 and all(letter in "0123456789abcdef" for letter in text)
    return text[:12] if is_hash else text


@dataclass(frozen=True)
class Moment:
    """One finished evaluation in a history."""

    evaluation_id: int
    title: str
    at: datetime
    modes: dict[str, Mapping[str, Any]]
    """Accuracy with its 95% interval, by mode."""


@dataclass(frozen=True)
class History:
    """All finished evaluations of exactly the same questions, oldest first."""

    key: str
    name: str
    """Names of the question sets."""
    questions: int
    moments: tuple[Moment, ...]


def histories(evaluations: Sequence[Evaluation]) -> list[History]:
    """Group finished evaluations by their questions; the group with the newest one first.

    Args:
        evaluations: newest first.
    """
    groups: dict[str, list[Evaluation]] = {}
    for one in evaluations:
        # With other engines than the installation's own, as in an audit, it is another story.
        if one.state == DONE and one.summary and not one.plan.models:
            key = digest([question.as_json() for question in one.questions])[:16]
            groups.setdefault(key, []).append(one)
    return [_history(key, found) for key, found in groups.items()]


def _history(key: str, found: Sequence[Evaluation]) -> History:
    newest = found[0]
    name = ", ".join(str(one["name"]) for one in newest.question_sets)
    moments = [
        Moment(
            one.id, one.title, one.finished_at or one.created_at,
            {mode: table["accuracy"] for mode, table in (one.summary or {})["modes"].items()
             if table["accuracy"]["value"] is not None},
        )
        for one in reversed(found)
    ]  # fmt: skip
    return History(key, name, len(newest.questions), tuple(moments))
