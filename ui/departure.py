"""Stopping the app while pages are open: answers are stored, then open streams are ended."""

import asyncio
from collections.abc import Awaitable, Callable
from socket import socket

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.threads import Threads

STORING = 3.0
"""Longest wait for answers to be stored, seconds. Pages then have the rest of the grace."""
_LAST_WORDS = 0.5
"""For streams to hand on how their answer ended, seconds."""

_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


class Farewell:
    """Stops the answers, then the requests that would never end by themselves."""

    def __init__(self, close_turns: Callable[[float], bool]) -> None:
        """`close_turns` stops all answers and waits so many seconds until they are stored."""
        self._close_turns = close_turns
        self._threads = Threads(1)
        self.streams: set[asyncio.Task[None]] = set()
        """Requests whose answer has begun and goes on."""
        self.said = False

    async def say(self) -> None:
        """Bring all that is open to an end."""
        await self._threads.run(self._close_turns, STORING)
        await asyncio.sleep(_LAST_WORDS if self.streams else 0)
        self.said = True
        for task in list(self.streams):
            task.cancel()


class Departure:
    """ASGI middleware: a request that is ended because the app stops ends in order.

    A page keeps streams open for as long as it is shown. The server would cut them off at the
    end of its grace, and print each as an error.
    """

    def __init__(self, app: ASGIApp, farewell: Farewell) -> None:
        """Wrap `app`; `farewell` tells when it is time."""
        self._app = app
        self._farewell = farewell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and remember it while its answer is under way."""
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self._app(scope, receive, send)
            return
        streams, open_ = self._farewell.streams, False

        async def told(message: Message) -> None:
            nonlocal open_
            await send(message)
            open_ = message["type"] == "http.response.start" or message.get("more_body", False)
            (streams.add if open_ else streams.discard)(task)

        try:
            await self._app(scope, receive, told)
        except asyncio.CancelledError:
            if not self._farewell.said:
                raise
            task.uncancel()
        finally:
            streams.discard(task)
        if open_ and self._farewell.said:
            await send(_END)


class Server(uvicorn.Server):
    """Says farewell before it closes connections."""

    def __init__(self, config: uvicorn.Config, farewell: Callable[[], Awaitable[None]]) -> None:
        """`farewell` is awaited once, when a person or the system stops the app."""
        super().__init__(config)
        self._farewell = farewell

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Bring what is open to an end, then go down as usual."""
        await self._farewell()
        await super().shutdown(sockets)
