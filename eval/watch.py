"""Re-evaluation by itself: when documents, adapter or model change, or every so many days.

What is installed is written beside every evaluation that was started here. A look compares it with
what is installed now, and queues one evaluation if it differs and no job that changes it is at
work. Nothing waits by the clock: a look while documents are read finds the job, and the look
after its end finds the change, whole.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from assistant.modes import AnswerMode
from assistant.prompts import profile_of
from assistant.shelf import Shelf
from core.database import now
from core.errors import InvalidInput, NotFound
from core.home import Home
from core.jobs import Jobs
from core.progress import Progress
from eval.arms import MODES, Plan, parse_modes
from eval.evaluations import Evaluations
from eval.model_identity import model_hash
from eval.question_sets import QuestionSets
from eval.stored import DONE
from eval.tables import WatchedRow, WatchRow
from eval.watch_alarms import Alarms

CHANGING = ("ingest", "train", "evaluate")
"""Kinds of jobs that a look waits for."""
SETTINGS = ("passages", "evidence_tokens", "evidence_finder", "refusal_threshold", "answer_tokens",
            "finder_tokens", "rag_reader", "prompt_profile", "dtype", "quantization",
            "embedder")  # fmt: skip
"""Settings that change answers."""
OFF, STILL, WAITS, DUE = "off", "unchanged", "waits", "due"


@dataclass(frozen=True)
class WatchSettings:
    """What an admin chose; as it stands without a choice, nothing is done."""

    question_set_ids: tuple[int, ...] = ()
    modes: tuple[AnswerMode, ...] = MODES
    on_change: bool = True
    every_days: int = 0
    """0: not by the calendar."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Least share handled rightly, by mode."""

    @property
    def active(self) -> bool:
        """Tell whether anything is to be done at all."""
        return bool(self.question_set_ids) and (self.on_change or self.every_days > 0)


@dataclass(frozen=True)
class Watched:
    """One evaluation that was started here."""

    id: int
    evaluation_id: int
    job_id: int | None
    state: dict[str, Any]
    reason: str
    judged: bool
    created_at: datetime


@dataclass(frozen=True)
class Outlook:
    """What a look found: 'off', 'unchanged', 'waits' or 'due', and why."""

    kind: str
    sentence: str
    state: dict[str, Any] = field(default_factory=dict)
    fresh: bool = False
    """Answer anew: nothing changed, so stored answers would only be read again."""


@dataclass(frozen=True)
class Look:
    """What a look did."""

    outlook: Outlook
    evaluation_id: int | None
    """The evaluation that was queued or run."""
    alarms: tuple[int, ...]
    """New alarms of an evaluation that had ended."""


class Watch:
    """The re-evaluation of one installation."""

    def __init__(self, home: Home, jobs: Jobs, documents: Callable[[], str]) -> None:
        """`documents` tells the version of what is searched."""
        self._home = home
        self._jobs = jobs
        self._documents = documents
        self._evaluations = Evaluations(home)
        self._shelf = Shelf(home)
        self.alarms = Alarms(home)

    def settings(self) -> WatchSettings:
        """What was chosen last."""
        with self._home.database.session() as session:
            row = session.get(WatchRow, 1)
            if row is None:
                return WatchSettings()
            return WatchSettings(
                tuple(row.question_set_ids), parse_modes(row.modes), row.on_change,
                row.every_days, dict(row.floors),
            )  # fmt: skip

    def save(self, settings: WatchSettings, account_id: int | None = None) -> None:
        """Keep a choice.

        Raises:
            NotFound: a question set that is not there.
            InvalidInput: no mode, a negative number of days, or a floor outside 0 to 1.
        """
        for set_id in settings.question_set_ids:
            QuestionSets(self._home).get(set_id)
        if not settings.modes:
            raise InvalidInput("No mode is chosen. Choose at least one.")
        if settings.every_days < 0:
            raise InvalidInput(f"{settings.every_days} days cannot be waited. Use 0 or more.")
        for mode, floor in settings.floors.items():
            if not 0 <= floor <= 1:
                raise InvalidInput(f"The floor of '{mode}' is {floor}. Use 0 to 1, that is 100%.")
        with self._home.database.session() as session:
            row = session.get(WatchRow, 1) or WatchRow(id=1)
            row.question_set_ids = list(settings.question_set_ids)
            row.modes = [mode.value for mode in settings.modes]
            row.on_change, row.every_days = settings.on_change, settings.every_days
            row.floors = dict(settings.floors)
            row.account_id, row.updated_at = account_id, now()
            session.add(row)

    def started(self, limit: int = 20) -> list[Watched]:
        """The newest evaluations that were started here, newest first."""
        query = sa.select(WatchedRow).order_by(WatchedRow.id.desc()).limit(limit)
        with self._home.database.session() as session:
            return [
                Watched(
                    row.id, row.evaluation_id, row.job_id, row.state, row.reason, row.judged,
                    row.created_at,
                )
                for row in session.scalars(query)
            ]  # fmt: skip

    def outlook(self) -> Outlook:
        """Tell what a look would do now; changes nothing.

        Raises:
            EngineError: the model of the settings is not there.
        """
        settings = self.settings()
        if not settings.active:
            return Outlook(OFF, "Nothing is evaluated by itself: choose a question set and when.")
        known = {one.id for one in QuestionSets(self._home).list()}
        if gone := sorted(set(settings.question_set_ids) - known):
            return Outlook(OFF, f"The question set {gone[0]} is deleted. Choose another.")
        active = [j for j in self._jobs.list(limit=200) if j.active and j.kind in CHANGING]
        state, newest = self._state(), next(iter(self.started(1)), None)
        reason, fresh = _reason(settings, state, newest)
        if not reason:
            number = newest.evaluation_id if newest else 0
            return Outlook(STILL, f"Nothing has changed since evaluation {number}.", state)
        if active:
            return Outlook(WAITS, f"{reason} Waits for the end of “{active[-1].title}”.", state)
        return Outlook(DUE, reason, state, fresh)

    def look(self, progress: Progress | None = None) -> Look:
        """Judge what has ended; queue one evaluation if it is due.

        Of several processes that look at once, one does; a crash half way is made good by the
        next look.

        Args:
            progress: run the evaluation here and now and report to it, instead of queueing a job.

        Raises:
            EngineError: the model of the settings is not there.
        """
        with self._alone() as alone:
            if not alone:
                return Look(Outlook(WAITS, "Another look is under way."), None, ())
            self._submit_forgotten()
            alarms = self._judge_ended()
            outlook = self.outlook()
            if outlook.kind != DUE:
                return Look(outlook, None, alarms)
            number = self._start(outlook)
            if progress is None:
                self._submit_forgotten()
            else:
                self._evaluations.run(number, progress)
                alarms += self._judge_ended()
            return Look(outlook, number, alarms)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        handle = os.open(self._home.workspace.root / "watch.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(handle)

    def _state(self) -> dict[str, Any]:
        """All that answers depend on, without loading anything."""
        default = self._shelf.default()
        reader = self._shelf.serving_reader(self._home.settings)
        return {
            "documents": self._documents(),
            "adapter": self._shelf.get(default).ref.hash if default else "none",
            "reader": reader.ref.hash if reader else "none",
            "model": model_hash(self._home),
            "prompt": profile_of(self._home.settings).version,
            **{name: getattr(self._home.settings, name) for name in SETTINGS},
        }

    def _start(self, outlook: Outlook) -> int:
        settings, default = self.settings(), self._shelf.default()
        modes = tuple(mode for mode in settings.modes if default or not mode.uses_adapter)
        plan = Plan(modes=modes, adapters=(default,) if default else (), latency_sample=0)
        number = self._evaluations.create(
            settings.question_set_ids, plan, title=f"Re-evaluation: {outlook.sentence}",
            fresh=outlook.fresh,
        )  # fmt: skip
        with self._home.database.session() as session:
            session.add(
                WatchedRow(
                    evaluation_id=number, job_id=None, state=outlook.state,
                    reason=outlook.sentence, judged=False, created_at=now(),
                )
            )  # fmt: skip
        return number

    def _submit_forgotten(self) -> None:
        """Queue the job of a started evaluation that has none: just started, or cut off there."""
        for one in self.started(1):
            if one.job_id is None and not one.judged and self._unfinished(one.evaluation_id):
                job = self._jobs.submit(
                    "evaluate", {"evaluation_id": one.evaluation_id},
                    title=f"Re-evaluation: {one.reason}",
                )  # fmt: skip
                self._set(one.id, job_id=job)

    def _unfinished(self, evaluation_id: int) -> bool:
        return self._evaluations.get(evaluation_id).state != DONE

    def _judge_ended(self) -> tuple[int, ...]:
        """Compare every ended evaluation with the finished one before it; return new alarms."""
        raised: list[int] = []
        started = self.started(50)
        for place, one in enumerate(started):
            if one.judged or self._active(one):
                continue
            if not self._unfinished(one.evaluation_id):
                earlier = (other.evaluation_id for other in started[place + 1 :])
                before = next((n for n in earlier if not self._unfinished(n)), None)
                known = {alarm.evaluation_id for alarm in self.alarms.list()}
                if one.evaluation_id not in known:
                    floors = self.settings().floors
                    raised += self.alarms.judge(one.evaluation_id, before, floors)
            self._set(one.id, judged=True)
        return tuple(raised)

    def _active(self, one: Watched) -> bool:
        if one.job_id is None:
            return self._unfinished(one.evaluation_id)
        try:
            return self._jobs.get(one.job_id).active
        except NotFound:
            return False

    def _set(self, watched_id: int, **values: Any) -> None:
        with self._home.database.session() as session:
            session.execute(
                sa.update(WatchedRow).where(WatchedRow.id == watched_id).values(**values)
            )


def _reason(
    settings: WatchSettings, state: Mapping[str, Any], newest: Watched | None
) -> tuple[str, bool]:
    """Why it is time, '' if it is not; and whether answers must be made anew."""
    if newest is None:
        return "The first one, to compare later ones with.", False
    changed = [name for name in state if state[name] != newest.state.get(name)]
    if settings.on_change and changed:
        return f"Changed: {', '.join(name.replace('_', ' ') for name in changed)}.", False
    age = now() - newest.created_at
    if settings.every_days and age >= timedelta(days=settings.every_days):
        return f"{age.days} days have passed since the last one.", not changed
    return "", False
