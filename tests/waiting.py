"""Waiting for what another thread or process does, with an end."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_S = 240.0
"""For what happens for certain: a busy machine takes minutes, and only what hangs takes longer."""


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in a thread: a browser that is open keeps a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def eventually(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """Look until `condition` holds, and return what it gave.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("It did not happen in time.")
