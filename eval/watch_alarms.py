"""Alarms: a mode that got worse since the evaluation before, or fell below its floor."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from core.database import now
from core.errors import Conflict, InvalidInput, NotFound
from core.home import Home
from eval.comparison import MEASURE, ModeChange, Pairs, common, compare_two
from eval.evaluations import Evaluations
from eval.recommend import label
from eval.tables import AlarmRow


@dataclass(frozen=True)
class Alarm:
    """One mode that is worse than it was, or than it may be."""

    id: int
    evaluation_id: int
    before_id: int | None
    mode: str
    finding: str
    """One sentence: which mode, by how much, on how many questions."""
    detail: dict[str, Any]
    changes: tuple[str, ...]
    """What differs between the two evaluations, with the versions."""
    created_at: datetime
    note: str
    closed_by: int | None
    closed_at: datetime | None


class Alarms:
    """The alarms of one installation."""

    def __init__(self, home: Home) -> None:
        """`home` is the opened installation."""
        self._database = home.database
        self._evaluations = Evaluations(home)

    def judge(
        self, evaluation_id: int, before_id: int | None, floors: Mapping[str, float]
    ) -> list[int]:
        """Compare a finished evaluation with the one before; raise alarms; return their ids.

        A mode is worse when it handles fewer of the common questions rightly and the paired
        test, Holm-corrected over the modes, is below 5%.

        Args:
            evaluation_id: a finished evaluation.
            before_id: an earlier one; None or without a question in common: floors only.
            floors: least share handled rightly, by mode.
        """
        found = [*self._worse(evaluation_id, before_id), *self._below(evaluation_id, floors)]
        with self._database.session() as session:
            rows = [AlarmRow(created_at=now(), note="", **one) for one in found]
            session.add_all(rows)
            session.flush()
            return [row.id for row in rows]

    def _worse(self, evaluation_id: int, before_id: int | None) -> list[dict[str, Any]]:
        if before_id is None:
            return []
        try:
            found = compare_two(self._evaluations, before_id, evaluation_id)
        except InvalidInput:
            return []
        return [
            {
                "evaluation_id": evaluation_id, "before_id": before_id, "mode": one.mode,
                "finding": _sentence(one), "changes": list(one.changes),
                "detail": {"kind": "worse", **one.difference, "p_holm": one.p,
                           "wins": len(one.won), "losses": len(one.lost)},
            }
            for one in found.modes
            if one.shown and one.difference["value"] < 0
        ]  # fmt: skip

    def _below(self, evaluation_id: int, floors: Mapping[str, float]) -> list[dict[str, Any]]:
        figures = self._evaluations.summary(evaluation_id)["modes"]
        rows: list[dict[str, Any]] = []
        for mode, floor in floors.items():
            found = figures.get(mode, {}).get(MEASURE, {})
            value = found.get("value")
            if value is None or value >= floor:
                continue
            sentence = (
                f"“{label(mode)}” handles {100 * value:.0f}% of {found['n']} questions rightly, "
                f"below its floor of {100 * floor:.0f}%."
            )
            rows.append({
                "evaluation_id": evaluation_id, "before_id": None, "mode": mode,
                "finding": sentence, "changes": [],
                "detail": {"kind": "floor", "floor": floor, **found},
            })  # fmt: skip
        return rows

    def count_open(self) -> int:
        """How many wait for a note; cheap enough for every page."""
        query = sa.select(sa.func.count()).select_from(AlarmRow)
        with self._database.session() as session:
            return session.scalar(query.where(AlarmRow.closed_at.is_(None))) or 0

    def acknowledge(self, alarm_id: int, note: str, account_id: int | None = None) -> Alarm:
        """Close an alarm with a note that is kept.

        Raises:
            NotFound: no such alarm.
            InvalidInput: the note is empty.
            Conflict: it is closed already.
        """
        if not note.strip():
            raise InvalidInput("The note is empty. Write what was found or done; it is kept.")
        with self._database.session() as session:
            row = session.get(AlarmRow, alarm_id)
            if row is None:
                raise NotFound(f"There is no alarm {alarm_id}. Choose one that is open.")
            if row.closed_at is not None:
                raise Conflict(f"Alarm {alarm_id} was acknowledged before: “{row.note}”.")
            row.note, row.closed_by, row.closed_at = note.strip(), account_id, now()
            session.flush()
            return _alarm(row)

    def losses(self, alarm: Alarm) -> Pairs:
        """The questions that the mode handled rightly before and does not now: before, now."""
        if alarm.before_id is None:
            return []
        before, after = (self._evaluations.rows(n) for n in (alarm.before_id, alarm.evaluation_id))
        pairs = common(before, after, alarm.mode)
        return [(old, new) for old, new in pairs if old.scores[MEASURE] > new.scores[MEASURE]]

    def list(self, *, open_only: bool = False, limit: int = 50) -> list[Alarm]:
        """The newest alarms, newest first."""
        query = sa.select(AlarmRow).order_by(AlarmRow.id.desc()).limit(limit)
        if open_only:
            query = query.where(AlarmRow.closed_at.is_(None))
        with self._database.session() as session:
            return [_alarm(row) for row in session.scalars(query)]


def _sentence(found: ModeChange) -> str:
    gap, span = found.difference, ""
    if gap["low"] is not None:
        span = f"95%: {100 * gap['low']:+.1f} to {100 * gap['high']:+.1f}; "
    return (
        f"“{label(found.mode)}” handles {-100 * gap['value']:.1f} points fewer of {gap['n']} "
        f"questions rightly than before ({span}p = {found.p:.2g}, Holm over the modes)."
    )


def _alarm(row: AlarmRow) -> Alarm:
    return Alarm(
        row.id, row.evaluation_id, row.before_id, row.mode, row.finding, row.detail,
        tuple(row.changes), row.created_at, row.note, row.closed_by, row.closed_at,
    )  # fmt: skip
