"""Who works on an evaluation or an audit: told by its job and by a lock, never by what it wrote.

A process that is killed writes nothing any more, but the system lets go of its locks.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from core.errors import Conflict
from core.home import Home
from core.job_store import ACTIVE, JobState
from core.tables import JobRow
from eval.stored import DONE, FAILED, NEW, RUNNING, STOPPED

ENDED = "Its process ended without a word. Run it again: it goes on from what is stored."


@dataclass(frozen=True)
class JobEnd:
    """What became of the newest job for something."""

    state: JobState
    message: str

    @property
    def active(self) -> bool:
        """Tell whether it waits or runs."""
        return self.state in ACTIVE


@dataclass(frozen=True)
class AtWork:
    """Follows the work on the rows of one table."""

    home: Home
    kind: str
    """Of the jobs that do the work."""
    key: str
    """Under which their payload names the row's id."""

    @contextlib.contextmanager
    def held(self, number: int) -> Iterator[None]:
        """Work on a row: others see it until this block, or this process, ends."""
        with self._locked(number, fcntl.LOCK_SH):
            yield

    def is_held(self, number: int) -> bool:
        """Tell whether a process works on a row now."""
        if not self._path(number).exists():
            return False
        try:
            with self._locked(number, fcntl.LOCK_EX | fcntl.LOCK_NB):
                return False
        except BlockingIOError:
            return True

    @contextlib.contextmanager
    def ending(self, number: int, since: datetime, what: str) -> Iterator[None]:
        """Delete a row inside, which nobody works on meanwhile.

        Raises:
            Conflict: a process works on it, or a job waits to; `what` names it.
        """
        busy = f"{what} is being worked on, or waits to be. Stop it first, then delete it."
        job = self.jobs({number: since}).get(number)
        if job is not None and job.active:
            raise Conflict(busy)
        try:
            with self._locked(number, fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield
        except BlockingIOError:
            raise Conflict(busy) from None
        self._path(number).unlink(missing_ok=True)

    def jobs(self, rows: dict[int, datetime]) -> dict[int, JobEnd]:
        """Return the newest job for each row; `rows` says when each was made.

        An older job is about an earlier row of the same number.
        """
        if not rows:
            return {}
        number = JobRow.payload[self.key].as_integer()
        query = (
            sa.select(number, JobRow.state, JobRow.message, JobRow.created_at)
            .where(JobRow.kind == self.kind, JobRow.created_at >= min(rows.values()))
            .order_by(JobRow.id)
        )
        with self.home.database.session() as session:
            found = session.execute(query).all()
        return {
            one: JobEnd(JobState(state), message)
            for one, state, message, made in found
            if one in rows and made >= rows[one]
        }

    @contextlib.contextmanager
    def _locked(self, number: int, how: int) -> Iterator[None]:
        handle = os.open(self._path(number), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)

    def _path(self, number: int) -> Path:
        return self.home.workspace.evaluations / f".{self.kind}-{number}.lock"


def present_state(state: str, error: str, job: JobEnd | None, *, held: bool) -> tuple[str, str]:
    """Return state and error of a row as they are, from those that were written last.

    Args:
        state: what was written last.
        error: what was written with it.
        job: the newest job for it.
        held: whether a process works on it.
    """
    if state == DONE:
        return state, error
    if held:
        return RUNNING, ""
    if job is not None and job.active:
        return NEW, ""
    if state not in (NEW, RUNNING) or (job is None and state == NEW):
        return state, error
    if job is not None and job.state is JobState.STOPPED:
        return STOPPED, job.message
    return FAILED, (job.message if job else "") or ENDED
