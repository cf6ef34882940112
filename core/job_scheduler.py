"""Starts children for queued jobs and settles what became of them. Runs in one thread."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from core.database import now
from core.home import Home
from core.job_child import ATTEMPT_VARIABLE
from core.job_store import Claim, JobState, JobStore, Running
from core.logs import record_fault
from core.processes import Adopted, Child, Spawned
from core.settings import PREFIX, Settings

PROJECT = Path(__file__).resolve().parent.parent
DEAF = "it did not react and was ended by force"


@dataclass(frozen=True)
class Patience:
    """Seconds between looks, and before a child that does not react is forced."""

    poll: float = 0.5
    stop: float = 60.0
    kill: float = 10.0
    close: float = 30.0


class Scheduler:
    """Keeps up to `parallel_jobs` children running."""

    def __init__(
        self, home: Home, store: JobStore, modules: Mapping[str, str], patience: Patience
    ) -> None:
        """`modules` names, for each kind of job, what `python -m` runs."""
        self._home = home
        self._store = store
        self._modules = modules
        self._patience = patience
        self._children: dict[int, Child] = {}
        self._terminated: dict[int, float] = {}
        self._wake = threading.Event()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Settle or adopt what an earlier parent left, then begin to work."""
        for job in self._store.running():
            if job.process is not None and job.process.find() is not None:
                self._children[job.job_id] = Adopted(job.process)
                line = "The app restarted; this job kept running."
                self._store.add_log(job.job_id, job.attempts, line)
            else:
                self._settle(job, "the app was ended and took the job with it")
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def close(self) -> None:
        """Have running children save and queue their jobs again; returns when all are gone."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._dismiss()

    def _run(self) -> None:
        while not self._closing:
            self._wake.clear()
            try:
                self._tick()
            except Exception as error:  # noqa: BLE001 - jobs must go on when the database is back
                record_fault(self._home.workspace.logs, error, "job scheduler")
                self._wake.wait(10 * self._patience.poll)
            self._wake.wait(self._patience.poll)

    def _tick(self) -> None:
        running = {job.job_id: job for job in self._store.running()}
        for job_id, child in list(self._children.items()):
            if child.ended():
                self._bury(job_id, child)
            elif job_id in running:
                self._press(running[job_id], child)
        for job_id in running.keys() - self._children.keys():
            self._settle(running[job_id], "its process was lost")
        while len(self._children) < self._home.settings.parallel_jobs and not self._closing:
            claim = self._store.claim()
            if claim is None:
                break
            self._launch(claim)

    def _launch(self, claim: Claim) -> None:
        module = self._modules.get(claim.kind)
        if module is None:
            reason = f"This version knows no job of kind '{claim.kind}'. Submit the work again."
            self._store.finish(claim.job_id, claim.attempt, JobState.FAILED, reason)
            return
        logs = self._home.workspace.logs
        command = [
            sys.executable, "-m", module,
            "--job", str(claim.job_id), "--workspace", str(self._home.workspace.root),
        ]  # fmt: skip
        try:
            with (logs / f"job-{claim.job_id}.log").open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - an argument list of our own
                    command, cwd=PROJECT, env=_environment(self._home.settings, claim.attempt),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
        except OSError as error:
            reason = f"The process could not be started: {error}. Try again later."
            self._store.finish(claim.job_id, claim.attempt, JobState.FAILED, reason)
            return
        self._children[claim.job_id] = Spawned(process)

    def _bury(self, job_id: int, child: Child) -> None:
        left = next((job for job in self._store.running() if job.job_id == job_id), None)
        if left is not None:
            forced = job_id in self._terminated
            self._settle(left, DEAF if forced else _reason(child.exit_code()))
        del self._children[job_id]
        self._terminated.pop(job_id, None)

    def _settle(self, job: Running, reason: str) -> None:
        """Decide on a job whose process ended without saying how the job ended.

        It is tried again after pauses that grow, as long as there are pauses left. An attempt
        that got further than any before it begins the row of pauses anew.
        """
        if job.state is JobState.STOPPING:
            text = f"Stopped; {reason}." if job.process else "Stopped before it began."
            self._store.finish(job.job_id, job.attempts, JobState.STOPPED, text)
            return
        failures = 1 if job.advanced else job.failures + 1
        pauses = self._home.settings.job_pauses_s
        told = f"Attempt {job.attempts} ended early: {reason}."
        if failures <= len(pauses):
            pause = pauses[failures - 1]
            self._store.try_later(job, failures, pause, f"{told} The next begins in {pause:g} s.")
            return
        last = _last_line(self._home.workspace.logs / f"job-{job.job_id}.log")
        text = f"{told} Given up: {failures} in a row got no further. {last}".strip()
        self._store.finish(job.job_id, job.attempts, JobState.FAILED, text)

    def _press(self, job: Running, child: Child) -> None:
        """Force a child that was asked to stop long ago."""
        if job.state is not JobState.STOPPING or job.stop_asked_at is None:
            return
        if (now() - job.stop_asked_at).total_seconds() < self._patience.stop:
            return
        asked = self._terminated.get(job.job_id)
        if asked is None:
            self._terminated[job.job_id] = time.monotonic()
            child.terminate()
        elif time.monotonic() - asked >= self._patience.kill:
            child.kill()

    def _dismiss(self) -> None:
        for child in self._children.values():
            child.terminate()
        deadline = time.monotonic() + self._patience.close
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        for child in self._alive():
            child.kill()
        while self._alive():
            time.sleep(0.05)
        with contextlib.suppress(SQLAlchemyError):
            self._queue_again()
        self._children.clear()

    def _alive(self) -> list[Child]:
        return [child for child in self._children.values() if not child.ended()]

    def _queue_again(self) -> None:
        for job in self._store.running():
            if job.job_id not in self._children:
                continue
            if job.state is JobState.RUNNING:
                self._store.requeue(job.job_id, job.attempts)
            else:
                self._settle(job, "the app was closed")


def _environment(settings: Settings, attempt: int) -> dict[str, str]:
    """The child's variables: it reads the same settings, whatever flags gave them."""
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {
        **os.environ,
        **{PREFIX + name.upper(): str(value) for name, value in given.items()},
        ATTEMPT_VARIABLE: str(attempt),
    }


def _reason(code: int | None) -> str:
    if code is None:
        return "its process ended without a word"
    if code >= 0:
        return f"its process ended with exit code {code}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(-code).name
        hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"its process was killed by {name}{hint}"
    return f"its process was killed by signal {-code}"


def _last_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    line = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"Last line of {path.name}: {line}" if line else ""
