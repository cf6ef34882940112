"""Heavy libraries are imported, and weights read, by one thread at a time."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Loading:
    """The one lock of a process for importing model libraries and loading what they run.

    They are not made for two threads: an import that another thread is in the midst of gives
    half a module, and while weights are read defaults of the whole process are changed.
    """

    def __init__(self) -> None:
        # The same thread may come twice: what is loaded loads what it stands on.
        self.lock = threading.RLock()

    def once(self, make: Callable[[], Made]) -> "Once[Made]":
        """Return what calls `make` at its first use."""
        return Once(self, make)


class Once(Generic[Made]):
    """A thing that is made when it is first needed, whichever thread comes first."""

    def __init__(self, loading: Loading, make: Callable[[], Made]) -> None:
        """`make` is called again only if it raised."""
        self._loading = loading
        self._make = make
        self._made: list[Made] = []

    def __call__(self) -> Made:
        """Return the thing; everybody waits for whoever makes it."""
        if not self._made:
            with self._loading.lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]
