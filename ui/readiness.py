"""Whether what answers questions is in memory, and loading it where it is not."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from core.errors import EngineError, InhouseError, Stopped
from core.logs import fault_message, record_fault

_LISTEN = 0.1
"""Seconds between asking whether somebody still waits."""


class Readiness:
    """Loads once, in one thread, while any number of others wait.

    All who wait for an attempt share its end. If it failed, the next who asks begins another.
    """

    def __init__(self, load: Callable[[], object], logs: Path) -> None:
        """`load` brings everything into memory; `logs` is the folder for faults."""
        self._load = load
        self._logs = logs
        self._lock = threading.Lock()
        self._attempt: Future[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether a question would be answered at once."""
        attempt = self._attempt
        return attempt is not None and attempt.done() and attempt.exception() is None

    @property
    def problem(self) -> str:
        """Why the last attempt failed; '' while none did."""
        attempt = self._attempt
        error = attempt.exception() if attempt is not None and attempt.done() else None
        return str(error) if error is not None else ""

    def begin(self) -> "Future[None]":
        """Load in the background unless that was done or is being done; return the attempt."""
        with self._lock:
            if self._attempt is None or self.problem:
                self._attempt = attempt = Future[None]()
                threading.Thread(
                    target=self._try, args=(attempt,), daemon=True, name="loading"
                ).start()
            return self._attempt

    def wait(self, cancelled: Callable[[], bool]) -> None:
        """Return when everything is in memory.

        Raises:
            EngineError: it cannot be loaded, now.
            Stopped: `cancelled()` turned true.
        """
        attempt = self.begin()
        while True:
            try:
                return attempt.result(_LISTEN)
            except TimeoutError:
                if cancelled():
                    raise Stopped("The question was taken back before it was answered.") from None

    def _try(self, attempt: "Future[None]") -> None:
        try:
            self._load()
        except InhouseError as error:
            record_fault(self._logs, error, "loading the language model")
            attempt.set_exception(error)
        except Exception as error:  # noqa: BLE001 - the last net, logged with an id
            fault = record_fault(self._logs, error, "loading the language model")
            attempt.set_exception(
                EngineError(f"The model cannot be loaded. {fault_message(fault)}")
            )
        else:
            attempt.set_result(None)
