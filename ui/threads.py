"""Threads set apart for one purpose, so that a crowd there leaves the others theirs."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Threads:
    """At most so many calls at once, beside the pool that everything else shares.

    A call that waits for its turn holds no thread.
    """

    def __init__(self, count: int) -> None:
        """`count`: most calls at the same time."""
        self._limiter = CapacityLimiter(count)

    async def run(
        self, fn: Callable[Given, Result], *args: Given.args, **options: Given.kwargs
    ) -> Result:
        """Call `fn` in a thread and return what it returned."""
        return await run_sync(partial(fn, *args, **options), limiter=self._limiter)
