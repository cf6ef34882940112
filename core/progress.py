"""How long work tells what it is doing, and hears that it should stop."""

from typing import Protocol


class Progress(Protocol):
    """Handed to ingest, training and evaluation; a terminal and a job each implement it."""

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        """Report `done` of `total` units; time left is estimated from the rate unless given."""

    def log(self, line: str) -> None:
        """Add a line to the log that people read."""

    def stop_requested(self) -> bool:
        """Tell whether somebody asked to stop; the work then saves and raises `Stopped`."""


class Silent:
    """A `Progress` nobody watches."""

    def update(
        self, done: float, total: float, note: str = "", seconds_left: float | None = None
    ) -> None:
        """Do nothing."""

    def log(self, line: str) -> None:
        """Do nothing."""

    def stop_requested(self) -> bool:
        """Nobody can ask."""
        return False
