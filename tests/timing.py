"""What a piece of work costs, whatever else this machine and this process do."""

import gc
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], enough: float) -> float:
    """Return the least of three times that `work` takes in this thread; one under `enough` will do.

    Other threads go on, and garbage that other tests left must not be collected meanwhile.
    """
    least = float("inf")
    for _ in range(3):
        gc.disable()
        started = time.thread_time()
        try:
            work()
        finally:
            least = min(least, time.thread_time() - started)
            gc.enable()
        if least < enough:
            break
    return least
