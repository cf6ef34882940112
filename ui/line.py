"""Who is served next where more ask than can be served at once: everybody in turn."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import Stopped, TooManyRequests

Work = TypeVar("Work")

_FIRST_GUESS = 5.0
_LONGEST_WAIT = 60.0
_MEMORY = 0.8
"""Weight of what was known before, when one more is served."""


@dataclass(frozen=True)
class Limits:
    """How much is served."""

    parallel: int
    """At the same time."""
    each: int
    """Open at once, of one person."""
    everybody: int
    """Open at once, of all."""


class Line(Generic[Work]):
    """Serves work in threads of its own, never more than `parallel` of them.

    Of those who wait, the person served least comes first, then the one who waited longest; and
    while there are two threads, nobody has more than half of them. So many questions of one
    person do not keep another's first one waiting.
    """

    def __init__(self, limits: Limits, serve: Callable[[Work], None]) -> None:
        """`serve` does one piece of work and raises nothing."""
        self._limits = limits
        self._serve = serve
        self._share = max(1, limits.parallel // 2)
        self._changed = threading.Condition()
        self._open: Counter[int] = Counter()
        self._served: Counter[int] = Counter()
        self._waiting: dict[int, deque[Work]] = {}
        self._seconds = _FIRST_GUESS
        self._closed = False

    def take_place(self, person: int) -> None:
        """Count one more open question of a person; every place is given back once.

        Raises:
            TooManyRequests: there are too many, of this person or of all.
            Stopped: the app is going down.
        """
        with self._changed:
            if self._closed:
                raise Stopped("Inhouse is being stopped. Ask again when it has started.")
            if self._open[person] >= self._limits.each:
                raise self._too_many(
                    f"You have {self._open[person]} questions open, and more are not taken at once."
                )
            if self._open.total() >= self._limits.everybody:
                raise self._too_many("Too many questions are open just now.")
            self._open[person] += 1

    def give_back(self, person: int) -> None:
        """Count one open question less."""
        with self._changed:
            self._open -= Counter({person: 1})
            self._changed.notify_all()

    def join(self, person: int, work: Work) -> None:
        """Have `work` done in its turn."""
        with self._changed:
            self._waiting.setdefault(person, deque()).append(work)
            self._advance()

    def leave(self, person: int, work: Work) -> bool:
        """Take `work` out of the line; return whether it still waited."""
        with self._changed:
            waiting = self._waiting.get(person)
            if waiting is None or work not in waiting:
                return False
            waiting.remove(work)
            if not waiting:
                del self._waiting[person]
            return True

    def close(self) -> None:
        """Take nobody in any more."""
        with self._changed:
            self._closed = True

    def wait_until_empty(self, seconds: float) -> bool:
        """Return whether all places were given back in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._open.total(), seconds)

    def _too_many(self, text: str) -> TooManyRequests:
        seconds = max(1, round(min(self._seconds, _LONGEST_WAIT)))
        unit = "second" if seconds == 1 else "seconds"
        return TooManyRequests(f"{text} Ask again in {seconds} {unit}.", seconds)

    def _advance(self) -> None:
        while self._served.total() < self._limits.parallel:
            ready = [one for one in self._waiting if self._served[one] < self._share]
            if not ready:
                return
            person = min(ready, key=lambda one: self._served[one])
            waiting = self._waiting.pop(person)
            work = waiting.popleft()
            if waiting:
                self._waiting[person] = waiting  # behind all others
            self._served[person] += 1
            threading.Thread(
                target=self._work, args=(person, work), daemon=True, name="turn"
            ).start()

    def _work(self, person: int, work: Work) -> None:
        started = time.monotonic()
        try:
            self._serve(work)
        finally:
            with self._changed:
                lasted = time.monotonic() - started
                self._seconds = _MEMORY * self._seconds + (1 - _MEMORY) * lasted
                self._served -= Counter({person: 1})
                self._advance()
