"""The child's side of a job: what `python -m <package>.jobs --job ID --workspace DIR` runs."""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from core.errors import InhouseError, Stopped
from core.estimate import TimeLeft
from core.home import Home, open_home
from core.job_store import JobState, JobStore
from core.logs import explained
from core.processes import ProcessId
from core.values import plain, storable

ATTEMPT_VARIABLE = "INHOUSE_JOB_ATTEMPT"
NOT_WANTED_EXIT = 0
DATABASE_EXIT = 75
INTERVAL_S = 0.5
FINISH_PATIENCE_S = 60.0

Handler = Callable[[Home, dict[str, Any], "JobProgress"], dict[str, Any]]


class JobProgress:
    """A `Progress` that people follow through the database.

    A database that cannot be written (disk full, server restarting) does not end the work:
    it is said on stderr, which is the job's log file, and tried again with the next report.
    """

    def __init__(self, store: JobStore, job_id: int, attempt: int) -> None:
        """Report on `attempt` of job `job_id`."""
        self.job_id = job_id
        self.restarting = False
        self._store = store
        self._attempt = attempt
        self._time_left = TimeLeft()
        self._pending: dict[str, Any] = {}
        self._written_at = -INTERVAL_S
        self._asked_at = -INTERVAL_S
        self._stop = False
        self._failing = False

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        """Report `done` of `total` units; written at most twice a second."""
        at = time.monotonic()
        estimate = self._time_left.report(done, total, at)
        self._pending.update(
            done=float(done), total=float(total), note=storable(note, 500),
            seconds_left=estimate if seconds_left is None else float(seconds_left),
        )  # fmt: skip
        if at - self._written_at >= INTERVAL_S:
            self.flush()

    def flush(self) -> None:
        """Write the latest report now."""
        self._written_at = time.monotonic()
        values = self._pending
        if values and self._write(lambda: self._store.report(self.job_id, self._attempt, values)):
            self._pending = {}

    def log(self, line: str) -> None:
        """Add a line to the log that people read, and to the job's log file."""
        _print(line)
        self._write(lambda: self._store.add_log(self.job_id, self._attempt, line))

    def stop_requested(self) -> bool:
        """Tell whether the work should save and raise `Stopped`; asks twice a second at most."""
        at = time.monotonic()
        if not self._stop and at - self._asked_at >= INTERVAL_S:
            self._asked_at = at
            with contextlib.suppress(SQLAlchemyError):
                self._stop = self._store.wants_stop(self.job_id, self._attempt)
        return self._stop or self.restarting

    def _write(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except SQLAlchemyError as error:
            if not self._failing:
                _print(f"Progress cannot be saved, the work goes on: {_reason(error)}")
            self._failing = True
            return False
        if self._failing:
            self._failing = False
            _print("Progress can be saved again.")
        return True


def run_child(handler: Handler, argv: list[str] | None = None) -> int:
    """Run `handler(home, payload, progress)` for the job named on the command line.

    The handler returns the job's result (JSON). It polls `progress.stop_requested()` and
    then saves and raises `Stopped`; started again with the same payload it goes on from there.

    Returns:
        Exit code: 0 when the database knows how the job ended.
    """
    parser = argparse.ArgumentParser(description="Runs one job; the app starts this.")
    parser.add_argument("--job", type=int, required=True, metavar="ID")
    parser.add_argument("--workspace", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args(argv)
    home = open_home(workspace=arguments.workspace)
    try:
        return _work(home, arguments.job, handler)
    except InhouseError as error:
        _print(error.message)
        return error.exit_code
    finally:
        home.database.close()


def _work(home: Home, job_id: int, handler: Handler) -> int:
    store = JobStore(home.database)
    job = store.get(job_id)
    attempt = int(os.environ.get(ATTEMPT_VARIABLE, job.attempts))
    if not store.register(job_id, attempt, ProcessId.own()):
        _print(f"Job {job_id} is {job.state} or has another process; nothing to do.")
        return NOT_WANTED_EXIT
    progress = JobProgress(store, job_id, attempt)

    def leave(_number: int, _frame: object) -> None:
        progress.restarting = True

    before = signal.signal(signal.SIGTERM, leave)
    try:
        end = _outcome(home, job.payload, handler, progress)
        progress.flush()
        return 0 if _end(store, progress, attempt, *end) else DATABASE_EXIT
    finally:
        signal.signal(signal.SIGTERM, before)


def _outcome(
    home: Home, payload: dict[str, Any], handler: Handler, progress: JobProgress
) -> tuple[JobState, str, dict[str, Any] | None]:
    try:
        result = plain(handler(home, payload, progress))
        json.dumps(result)
        return JobState.SUCCEEDED, "", result
    except Stopped as stopped:
        return JobState.STOPPED, stopped.message, None
    except Exception as error:  # noqa: BLE001 - the last net: logged with an id
        told = explained(home.workspace.logs, error, f"job {progress.job_id}")
        return JobState.FAILED, told.message, None


def _end(
    store: JobStore, progress: JobProgress, attempt: int, state: JobState, message: str,
    result: dict[str, Any] | None,
) -> bool:  # fmt: skip
    """Write how the attempt ended, waiting a while for a database that is away."""
    job_id = progress.job_id
    deadline = time.monotonic() + FINISH_PATIENCE_S
    while True:
        try:
            restart = state is JobState.STOPPED and progress.restarting
            if restart and store.requeue(job_id, attempt):
                return True
            store.finish(job_id, attempt, state, message, result)
            return True
        except SQLAlchemyError as error:
            _print(f"The end of the job cannot be saved: {_reason(error)}")
            if time.monotonic() >= deadline:
                return False
            time.sleep(INTERVAL_S)


def _reason(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


def _print(line: str) -> None:
    # The log file may be on the same full disk.
    with contextlib.suppress(OSError):
        sys.stderr.write(line.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
        sys.stderr.flush()
