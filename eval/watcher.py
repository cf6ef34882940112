"""Looks every now and then whether an evaluation is due, in a thread of the app."""

import threading
from pathlib import Path

from core.errors import InhouseError
from core.logs import record_fault
from eval.watch import Watch

POLL_S = 15.0


class Watcher:
    """Calls `Watch.look` until it is closed."""

    def __init__(self, watch: Watch, logs: Path, poll_s: float = POLL_S) -> None:
        """`logs` is the folder for faults that nobody could foresee."""
        self._watch = watch
        self._logs = logs
        self._poll_s = poll_s
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.problem = ""
        """Why the last look failed, '' if it did not."""

    def start(self) -> None:
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; returns when no look is under way."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._closing.wait(self._poll_s):
            self.look()

    def look(self) -> None:
        """Look once; what goes wrong is kept for the page and tried again."""
        try:
            self._watch.look()
            self.problem = ""
        except InhouseError as error:
            self.problem = error.message
        except Exception as error:  # noqa: BLE001 - the next look may go well again
            if not self.problem:
                record_fault(self._logs, error, "watcher")
            self.problem = f"{type(error).__name__}: the log of the app has the details."
