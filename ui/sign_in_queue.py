"""Where passwords are checked: a few threads of their own, and a line before them that ends.

A crowd at the door keeps no thread that serves others, and whoever finds the line full is told
at once when to come back, before anything else is done for the request.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import TooManyRequests
from core.guessing import digest, network_of
from core.passwords import HASHES_AT_ONCE, name_key
from ui.gate import problem, with_headers
from ui.markup import page

Result = TypeVar("Result")

MOST = 32
"""Sign-ins that wait or are checked at one time."""
MOST_FROM_ADDRESS = 8
MOST_FOR_NAME = 4
MOST_CHANGES = 2
"""Changes of a password by one account at one time; strangers do not count against it."""
RETRY_S = 2.0
FULL = f"Many sign-ins are being checked at this moment. Try again in {RETRY_S:.0f} seconds."
LONGEST_FORM = 64_000
"""Bytes of a sign-in; name, password and target are far shorter."""
NICENESS = 10


class SignInQueue:
    """Used from the server's event loop alone, so its counts need no lock."""

    def __init__(self) -> None:
        """Start no thread yet."""
        self._threads = ThreadPoolExecutor(HASHES_AT_ONCE, "sign-in", initializer=_step_back)
        self._inside: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Lock] = {}

    async def sign_in(self, name: str, check: Callable[[], Result]) -> Result:
        """Run `check` of the password for `name` when its turn comes.

        Raises:
            TooManyRequests: too many wait for this name already.
        """
        return await self._run(f"name {digest(name_key(name))}", MOST_FOR_NAME, check)

    async def change(self, account_id: int, change: Callable[[], Result]) -> Result:
        """Run `change` of a signed-in account's password when its turn comes.

        Raises:
            TooManyRequests: this account changes it already.
        """
        return await self._run(f"account {account_id}", MOST_CHANGES, change)

    @contextlib.contextmanager
    def place(self, places: Mapping[str, int]) -> Iterator[None]:
        """Take a place in each of these lines, which hold so many.

        Raises:
            TooManyRequests: one of them is full.
        """
        if any(self._inside[line] >= most for line, most in places.items()):
            raise TooManyRequests(FULL, RETRY_S)
        self._inside.update(places.keys())
        try:
            yield
        finally:
            self._inside.subtract(places.keys())
            self._inside += Counter()  # Drops what is at nought.

    def close(self) -> None:
        """Take nothing more; what is being checked ends."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, who: str, most: int, work: Callable[[], Result]) -> Result:
        with self.place({who: most}):
            async with self._turn(who):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextlib.asynccontextmanager
    async def _turn(self, who: str) -> AsyncIterator[None]:
        # One check of a name at a time; the others wait here, and not in a thread.
        try:
            async with self._turns.setdefault(who, asyncio.Lock()):
                yield
        finally:
            if self._inside[who] <= 1:
                del self._turns[who]


class SignInDoor:
    """ASGI middleware before everything else: counts sign-ins, all and by address."""

    def __init__(self, app: ASGIApp, queue: SignInQueue) -> None:
        """Wrap `app`."""
        self._app = app
        self._queue = queue
        # Made once: in a crowd even the refusals add up.
        retry = {"retry-after": f"{RETRY_S:.0f}"}
        text = page("sign_in.html", name="", target="/", problem=FULL)
        self._full: dict[str, Response] = {
            "/sign-in": HTMLResponse(text, status_code=429, headers=retry),
            "/api/sign-in": problem(429, FULL),
        }
        self._full["/api/sign-in"].headers.update(retry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through when there is a place, or refuse it here."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._full:
            await self._app(scope, receive, send)
            return
        # All of it first: a body that never ends must hold no place.
        body = await _form(receive)
        if body is None:
            await problem(413, "This sign-in is too long.")(scope, receive, with_headers(send))
            return
        client = scope["client"]
        lines = {
            "all": MOST,
            f"address {network_of(client[0]) if client else ''}": MOST_FROM_ADDRESS,
        }
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(self._queue.place(lines))
            except TooManyRequests:
                await self._full[scope["path"]](scope, receive, with_headers(send))
            else:
                await self._app(scope, _replayed(body, receive), send)


async def _form(receive: Receive) -> bytes | None:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if len(body) > LONGEST_FORM:
            return None
        if not message.get("more_body"):
            return body


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


def _step_back() -> None:
    # Hashing is long and greedy; on Linux a thread can leave the cores to those who serve.
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
