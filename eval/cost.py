"""What answers cost: memory, and an estimate of energy and money from rates that are given."""

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psutil

_PAUSE_S = 0.05
"""Between two looks at the memory: a look takes some microseconds."""


class MemoryWatch:
    """The most memory that this process held while the block ran; see `peak_mb` after it.

    Resident memory of the process, engine and all (what `ps` shows as RSS), looked at twenty times
    a second: a shorter peak is missed. Memory on a graphics card is not in it.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._peak = 0

    @property
    def peak_mb(self) -> float:
        """Megabytes of a million bytes."""
        return round(self._peak / 1e6, 1)

    def __enter__(self) -> "MemoryWatch":
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(_PAUSE_S):
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, self._process.memory_info().rss)


@dataclass(frozen=True)
class Rates:
    """What a machine takes and costs while it answers; 0: not given, so not reckoned."""

    per_hour: float = 0.0
    """Price of an hour of the machine."""
    watts: float = 0.0
    """Power of the machine while it answers, as somebody measured or read it; we do not."""
    per_kwh: float = 0.0
    """Price of a kilowatt-hour."""

    def of(self, seconds_per_question: float) -> dict[str, Any]:
        """Estimates for 1,000 questions: `kwh_per_1000`, `price_per_1000`; None: no rate given."""
        hours = seconds_per_question * 1000 / 3600
        energy = hours * self.watts / 1000 if self.watts else None
        prices = [hours * self.per_hour] if self.per_hour else []
        if energy is not None and self.per_kwh:
            prices.append(energy * self.per_kwh)
        return {"kwh_per_1000": energy, "price_per_1000": sum(prices) if prices else None}
