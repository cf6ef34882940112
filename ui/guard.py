"""The one door of every page event: who is asking, may they, and what they see if it fails."""

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

import gradio as gr

from core.accounts import Accounts
from core.logs import explained
from core.permissions import Account, require_account, require_admin
from core.values import wholes
from ui.threads import Threads

COOKIE = "inhouse_session"
_LOOK_UPS = 8
"""Accounts looked up at once for events that run on the event loop."""

Check: TypeAlias = Callable[[Account | None], Account]
Handler: TypeAlias = Callable[..., Any]


class Guard:
    """Binds handlers `fn(account, *inputs)` to page events.

    Hiding a control is not permission: an event can be called over HTTP whatever the page
    shows, so each one looks up the account by the cookie's token when it runs.
    """

    def __init__(self, accounts: Accounts, logs: Path) -> None:
        """`logs` is the folder for faults that nobody could foresee."""
        self._accounts = accounts
        self._logs = logs
        self._threads = Threads(_LOOK_UPS)

    def employee(
        self, trigger: Handler, fn: Handler, inputs: Any = None, outputs: Any = None, **options: Any
    ) -> Any:
        """Bind `fn` for everyone who is signed in."""
        return self._bind(trigger, fn, require_account, (inputs, outputs), options)

    def admin(
        self, trigger: Handler, fn: Handler, inputs: Any = None, outputs: Any = None, **options: Any
    ) -> Any:
        """Bind `fn` for admins."""
        return self._bind(trigger, fn, require_admin, (inputs, outputs), options)

    def _bind(
        self,
        trigger: Handler,
        fn: Handler,
        check: Check,
        ends: tuple[Any, Any],
        options: dict[str, Any],
    ) -> Any:
        defaults = {"api_visibility": "private", "show_progress": "hidden"}
        return trigger(self.wrap(fn, check), *ends, **{**defaults, **options})

    def wrap(self, fn: Handler, check: Check) -> Handler:
        """Return `fn` behind `check`, its errors turned into messages."""
        if inspect.isasyncgenfunction(fn):

            async def stream(request: gr.Request, *inputs: Any) -> AsyncIterator[Any]:
                try:
                    account = check(await self._threads.run(self._account, request))
                    # Closed with this one, so that the handler learns at once that nobody looks.
                    async with aclosing(fn(account, *inputs)) as steps:
                        async for step in steps:
                            yield step
                except Exception as error:  # noqa: BLE001 - the last net, logged with an id
                    raise self._shown(error, fn) from None

            stream.needs = check  # type: ignore[attr-defined]
            return stream

        def call(request: gr.Request, *inputs: Any) -> Any:
            try:
                return fn(check(self._account(request)), *inputs)
            except Exception as error:  # noqa: BLE001 - the last net, logged with an id
                raise self._shown(error, fn) from None

        call.needs = check  # type: ignore[attr-defined]
        return call

    def _account(self, request: gr.Request) -> Account | None:
        return self._accounts.by_token(request.cookies.get(COOKIE))

    def _shown(self, error: Exception, fn: Handler) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        return message(explained(self._logs, error, f"page event {fn.__qualname__}").message)


def message(text: str, title: str = "That did not work") -> gr.Error:
    """Return the error that Gradio shows as a note; it reads HTML there, so escape."""
    shown = escape(text).replace("\n", "<br>")
    return gr.Error(shown, title=title, duration=12, print_exception=False)


def note(text: str) -> None:
    """Tell the person that something was done."""
    gr.Info(escape(text), title="Done", duration=5)


def warn(text: str) -> None:
    """Tell the person of something that may be a mistake."""
    gr.Warning(escape(text), title="Look again", duration=12)


def chosen(values: Sequence[Any] | None, what: str) -> list[int]:
    """Return ids picked in a list, or say that nothing was picked."""
    if not values:
        raise message(f"Choose {what} first.", "Nothing chosen")
    return list(wholes(values, "choice"))
