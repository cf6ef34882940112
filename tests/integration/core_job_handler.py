"""A job for tests; its payload says what it does, files say how far it came."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from core.errors import InvalidInput, Stopped
from core.home import Home
from core.job_child import JobProgress, run_child
from tests.waiting import PATIENCE_S


def handle(home: Home, payload: dict[str, Any], progress: JobProgress) -> dict[str, Any]:
    """Do `steps` steps, remembered in `folder`; at step `at` (0: each) do what `trick` says.

    The first `lives` attempts are killed before they begin.
    """
    folder = Path(payload["folder"])
    counter = folder / f"steps-{progress.job_id}"
    begun = int(counter.read_text()) if counter.exists() else 0
    attempts = folder / f"attempts-{progress.job_id}"
    with attempts.open("a") as file:
        file.write(f"{os.getpid()}\n")
    if len(attempts.read_text().split()) <= payload.get("lives", 0):
        _say("about to die")
        os.kill(os.getpid(), signal.SIGKILL)
    steps = payload.get("steps", 3)
    progress.update(begun, steps, "begun")
    for step in range(begun + 1, steps + 1):
        if progress.stop_requested():
            progress.log(f"stopping before step {step}")
            raise Stopped("Saved and stopped.")
        counter.write_text(str(step))
        progress.log(f"step {step}")
        progress.update(step, steps, f"step {step}")
        progress.flush()
        _trick(payload.get("trick", ""), payload, step, progress)
    return {
        "steps": steps, "begun": begun, "passages": home.settings.passages,
        "threads": home.settings.threads, "cwd": str(Path.cwd()), "nan": float("nan"),
    }  # fmt: skip


def _trick(trick: str, payload: dict[str, Any], step: int, progress: JobProgress) -> None:
    if payload.get("at", 1) not in (0, step):
        return
    if trick == "gate":
        _wait(Path(payload["folder"]) / "open", progress)
    elif trick == "deaf":
        _wait(Path(payload["folder"]) / "open", None)
    elif trick == "refuse":
        raise InvalidInput("The file 'x.txt' is empty. Choose another.")
    elif trick == "bug":
        raise ZeroDivisionError("secret details")
    elif trick == "die":
        _say("about to die")
        os._exit(9)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _wait(gate: Path, progress: JobProgress | None) -> None:
    """Work until the gate opens, or until asked to stop when there is a `progress` to ask."""
    deadline = time.monotonic() + PATIENCE_S
    while not gate.exists() and time.monotonic() < deadline:
        if progress and progress.stop_requested():
            return
        time.sleep(0.02)


if __name__ == "__main__":
    raise SystemExit(run_child(handle))
