"""What the database knows of jobs, written by parent and child alike.

Every change of state is one UPDATE that names the state it starts from, so two processes
can never both make it. A child names its attempt too: one that was given up for dead and
lives on after all can no longer change anything. What a change says to people is written to
the log by the same transaction: the log cannot tell another story than the states.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Update, func, or_, select, update

from core.database import Database, now
from core.errors import NotFound
from core.processes import ProcessId
from core.tables import JobLogRow, JobRow
from core.values import plain, storable


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"


ACTIVE = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.STOPPING})
RETRYABLE = frozenset({JobState.FAILED, JobState.STOPPED})
IN_CHILD = (JobState.RUNNING, JobState.STOPPING)


@dataclass(frozen=True)
class Job:
    """Long work: `done` of `total` units, both 0 while unknown; `message` says why it ended."""

    id: int
    kind: str
    title: str
    state: JobState
    done: float
    total: float
    note: str
    seconds_left: float | None
    message: str
    payload: dict[str, Any]
    result: dict[str, Any] | None
    account_id: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    retry_at: datetime | None = None
    """Not before this moment, after its process died."""

    @property
    def active(self) -> bool:
        """Tell whether it waits or runs."""
        return self.state in ACTIVE

    @property
    def pausing(self) -> bool:
        """Tell whether it waits to be tried again."""
        return self.state is JobState.QUEUED and self.retry_at is not None


@dataclass(frozen=True)
class Running:
    """What the scheduler must know of a job that has, or had, a process."""

    job_id: int
    state: JobState
    attempts: int
    failures: int
    """Attempts in a row, before this one, that died without getting further."""
    done: float
    reached: float
    """The most that was done when a process died before."""
    process: ProcessId | None
    stop_asked_at: datetime | None

    @property
    def advanced(self) -> bool:
        """Tell whether the attempt got further than all before it."""
        return self.done > self.reached


@dataclass(frozen=True)
class Claim:
    """A job handed to a new child."""

    job_id: int
    kind: str
    attempt: int


class JobStore:
    """The `jobs` and `job_log` tables."""

    def __init__(self, database: Database) -> None:
        """Use `database`."""
        self._database = database

    def add(self, kind: str, payload: dict[str, Any], title: str, account_id: int | None) -> int:
        """Queue a job and return its id."""
        row = JobRow(
            kind=kind, title=storable(title, 500), state=JobState.QUEUED,
            payload=plain(payload), account_id=account_id,
        )  # fmt: skip
        with self._database.session() as session:
            session.add(row)
            session.flush()
            return row.id

    def get(self, job_id: int) -> Job:
        """Return a job.

        Raises:
            NotFound: there is none with this id.
        """
        with self._database.session() as session:
            row = session.get(JobRow, job_id)
            if row is None:
                raise NotFound(f"There is no job {job_id}. Choose one from the list of jobs.")
            return _job(row)

    def newest(self, kind: str | None, limit: int) -> list[Job]:
        """Return the newest jobs first."""
        query = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
        if kind is not None:
            query = query.where(JobRow.kind == kind)
        with self._database.session() as session:
            return [_job(row) for row in session.scalars(query)]

    def in_states(self, states: Iterable[JobState]) -> list[Job]:
        """Return all jobs in one of `states`, oldest first."""
        query = select(JobRow).where(JobRow.state.in_(sorted(states))).order_by(JobRow.id)
        with self._database.session() as session:
            return [_job(row) for row in session.scalars(query)]

    def log(self, job_id: int, lines: int) -> str:
        """Return the newest `lines` of a job's log, oldest first."""
        query = select(JobLogRow).where(JobLogRow.job_id == job_id)
        with self._database.session() as session:
            rows = session.scalars(query.order_by(JobLogRow.id.desc()).limit(lines)).all()
        return "\n".join(f"{row.at:%H:%M:%S} {row.line}" for row in reversed(rows))

    def add_log(self, job_id: int, attempt: int, line: str) -> None:
        """Add a line to a job's log, unless the attempt is over."""
        with self._database.session() as session:
            state = select(JobRow.state).where(JobRow.id == job_id, JobRow.attempts == attempt)
            if session.scalar(state) in IN_CHILD:
                session.add(JobLogRow(job_id=job_id, line=storable(line)))

    def running(self) -> list[Running]:
        """Return the jobs that should have a process, oldest first."""
        query = select(JobRow).where(JobRow.state.in_(IN_CHILD)).order_by(JobRow.id)
        with self._database.session() as session:
            return [_running(row) for row in session.scalars(query)]

    def claim(self) -> Claim | None:
        """Take the job that waits longest for a new child; None when none may start now.

        One that is tried again waits since its pause ended: it holds up nothing that came before.
        """
        oldest = (
            select(JobRow.id)
            .where(
                JobRow.state == JobState.QUEUED,
                or_(JobRow.retry_at.is_(None), JobRow.retry_at <= now()),
            )
            .order_by(func.coalesce(JobRow.retry_at, JobRow.created_at), JobRow.id)
            .limit(1)
        )
        with self._database.session() as session:
            job_id = session.scalar(oldest)
            row = job_id and session.get(JobRow, job_id)
            if not row:
                return None
            claim = Claim(row.id, row.kind, row.attempts + 1)
            changed = self._change(
                _from(row.id, JobState.QUEUED).values(
                    state=JobState.RUNNING, attempts=claim.attempt, pid=None, pid_started=None,
                    started_at=row.started_at or now(), seconds_left=None, message="",
                    retry_at=None,
                )
            )  # fmt: skip
        return claim if changed else None

    def register(self, job_id: int, attempt: int, process: ProcessId) -> bool:
        """Note which process works on a job; False when the attempt is not wanted any more."""
        return self._change(
            _from(job_id, *IN_CHILD)
            .where(JobRow.attempts == attempt, JobRow.pid.is_(None))
            .values(pid=process.pid, pid_started=process.started)
        )

    def ask_stop(self, job_id: int) -> None:
        """Stop a queued job at once; tell a running one to stop."""
        text = "Stopped while it waited."
        stopped = _from(job_id, JobState.QUEUED).values(
            state=JobState.STOPPED, finished_at=now(), message=text, retry_at=None
        )
        asked = _from(job_id, JobState.RUNNING).values(state=JobState.STOPPING, stop_asked_at=now())
        if not self._change(stopped, job_id, text):
            self._change(asked)

    def finish(
        self, job_id: int, attempt: int, state: JobState, message: str,
        result: dict[str, Any] | None = None,
    ) -> bool:  # fmt: skip
        """End an attempt for good."""
        return self._change(
            _from(job_id, *IN_CHILD)
            .where(JobRow.attempts == attempt)
            .values(
                state=state, message=storable(message), result=plain(result), finished_at=now(),
                seconds_left=None, pid=None, pid_started=None,
            ),
            job_id,
            message,
        )  # fmt: skip

    def requeue(self, job_id: int, attempt: int) -> bool:
        """Put a job that the app interrupted back to wait; the attempt does not count."""
        text = "Interrupted; it goes on when the app runs again."
        return self._wait(job_id, attempt, text, {"attempts": attempt - 1})

    def try_later(self, job: Running, failures: int, pause: float, message: str) -> bool:
        """Put a job whose process died back to wait for `pause` seconds at least."""
        values = {
            "failures": failures,
            "retry_at": now() + timedelta(seconds=pause),
            "reached": max(job.reached, job.done),
        }
        return self._wait(job.job_id, job.attempts, message, values)

    def try_again(self, job_id: int) -> bool:
        """Queue a job that failed or was stopped once more, as new; False in another state."""
        again = _from(job_id, *RETRYABLE).values(
            state=JobState.QUEUED, message="", failures=0, reached=0.0, retry_at=now(),
            finished_at=None, stop_asked_at=None,
        )  # fmt: skip
        return self._change(again, job_id, "Tried again.")

    def _wait(self, job_id: int, attempt: int, message: str, values: dict[str, Any]) -> bool:
        return self._change(
            _from(job_id, JobState.RUNNING)
            .where(JobRow.attempts == attempt)
            .values(
                state=JobState.QUEUED, message=storable(message), seconds_left=None, pid=None,
                pid_started=None, **values,
            ),
            job_id,
            message,
        )  # fmt: skip

    def wants_stop(self, job_id: int, attempt: int) -> bool:
        """Tell whether this attempt should end: it was asked to, or it is not ours any more."""
        query = select(JobRow.state).where(JobRow.id == job_id, JobRow.attempts == attempt)
        with self._database.session() as session:
            return session.scalar(query) != JobState.RUNNING

    def report(self, job_id: int, attempt: int, values: dict[str, Any]) -> None:
        """Write progress columns of a running attempt."""
        self._change(_from(job_id, *IN_CHILD).where(JobRow.attempts == attempt).values(**values))

    def _change(self, statement: Update, job_id: int = 0, line: str = "") -> bool:
        """Make a change, and tell of it in the job's log where it could be made."""
        with self._database.session() as session:
            changed = bool(session.connection().execute(statement).rowcount)
            if changed and line:
                session.add(JobLogRow(job_id=job_id, line=storable(line)))
        return changed


def _from(job_id: int, *states: JobState) -> Update:
    return update(JobRow).where(JobRow.id == job_id, JobRow.state.in_(states))


def _job(row: JobRow) -> Job:
    return Job(
        row.id, row.kind, row.title, JobState(row.state), row.done, row.total, row.note,
        row.seconds_left, row.message, row.payload, row.result, row.account_id, row.created_at,
        row.started_at, row.finished_at, row.attempts, row.retry_at,
    )  # fmt: skip


def _running(row: JobRow) -> Running:
    known = row.pid is not None and row.pid_started is not None
    process = ProcessId(row.pid, row.pid_started) if known else None  # type: ignore[arg-type]
    return Running(
        row.id, JobState(row.state), row.attempts, row.failures, row.done, row.reached, process,
        row.stop_asked_at,
    )  # fmt: skip
