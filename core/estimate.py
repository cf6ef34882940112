"""How long work still takes, from how fast it went lately."""

import math
from collections import deque

WINDOW = 40
SPACING_S = 0.5


class TimeLeft:
    """Estimates seconds left from the rate over the latest reports.

    Old reports are forgotten, so a slow start does not spoil the estimate for hours.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._reports: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._total = 0.0

    def report(self, done: float, total: float, at: float) -> float | None:
        """Take note of `done` of `total` units at `at` seconds of a monotonic clock.

        Returns:
            Seconds left, >= 0; None while the rate is unknown.
        """
        if total != self._total or (self._reports and done < self._reports[-1][1]):
            self._reports.clear()
            self._total = total
        if not self._reports or at - self._reports[-1][0] >= SPACING_S:
            self._reports.append((at, done))
        if total > 0 and done >= total:
            return 0.0
        began, before = self._reports[0]
        if total <= 0 or at <= began or done <= before:
            return None
        left = (total - done) * (at - began) / (done - before)
        return left if math.isfinite(left) else None
