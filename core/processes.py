"""Which process is meant: its id alone is not enough, ids are used again."""

import contextlib
import os
import subprocess
from dataclasses import dataclass
from typing import Protocol

import psutil

# The clock that start times are derived from may be corrected by a second while we run.
TOLERANCE_S = 2.0


@dataclass(frozen=True)
class ProcessId:
    """A process id and when that process started, in seconds since 1970."""

    pid: int
    started: float

    @staticmethod
    def own() -> "ProcessId":
        """This very process."""
        return ProcessId(os.getpid(), psutil.Process().create_time())

    def find(self) -> psutil.Process | None:
        """Return the process if it still lives; None if it ended or the id was reused."""
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE
            same = abs(process.create_time() - self.started) <= TOLERANCE_S
        except psutil.Error:
            return None
        return process if alive and same else None


class Child(Protocol):
    """A running job as the scheduler sees it."""

    def ended(self) -> bool:
        """Tell whether the process is gone."""

    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None when unknown."""

    def terminate(self) -> None:
        """Ask it to save and leave (SIGTERM)."""

    def kill(self) -> None:
        """End it at once (SIGKILL)."""


class Spawned:
    """A child this process started."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """Watch `process`."""
        self._process = process

    def ended(self) -> bool:
        """Tell whether the process is gone."""
        return self._process.poll() is not None

    def exit_code(self) -> int | None:
        """Exit code, negative for a signal."""
        return self._process.poll()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()


class Adopted:
    """A job's process that an earlier, killed parent started."""

    def __init__(self, identity: ProcessId) -> None:
        """Watch the process with this identity."""
        self._identity = identity

    def ended(self) -> bool:
        """Tell whether the process is gone."""
        return self._identity.find() is None

    def exit_code(self) -> int | None:
        """Unknown: only a parent is told."""
        return None

    def terminate(self) -> None:
        """Send SIGTERM."""
        process = self._identity.find()
        if process:
            with contextlib.suppress(psutil.Error):
                process.terminate()

    def kill(self) -> None:
        """Send SIGKILL."""
        process = self._identity.find()
        if process:
            with contextlib.suppress(psutil.Error):
                process.kill()
