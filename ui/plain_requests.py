"""What no request may carry, refused in one place before anything behind could stumble over it.

Numbers that are none or fit no database, halves of letters, NUL, nests without end, names that no
file can have: all of it is the sender's to correct, and none of it is a fault of ours.
"""

import json
import math
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import InvalidInput
from ui.gate import problem

LONGEST_TARGET = 8000
"""Bytes of path and query; browsers and proxies stop there too."""
LONGEST_PATH = 2000
LONGEST_NAME = 255
"""Bytes of a path and of a name in it; a system that looks for a file takes no more."""
MOST_VALUES = 50_000
"""Values in a JSON body; reading them holds up everybody."""
DEEPEST = 64
"""Lists and objects within each other."""
_LARGEST = 2**63 - 1
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


class PlainRequests:
    """ASGI middleware; it stands behind the gate, which limits how much arrives."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with its body unchanged, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_TARGET:
            await problem(414, "This address is too long. Shorten it.")(scope, receive, send)
            return
        if not _names_files(scope["path"]):
            await problem(404, "There is nothing at this address.")(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD") or _is_form(scope):
            await self._app(scope, receive, send)
            return
        arrived = await _whole(receive)
        try:
            check_json(b"".join(message.get("body", b"") for message in arrived))
        except InvalidInput as error:
            await problem(422, error.message)(scope, receive, send)
            return
        waiting = iter(arrived)

        async def again() -> Message:
            return next(waiting, None) or await receive()

        await self._app(scope, again, send)


def check_size(body: bytes | bytearray) -> None:
    """Count, before it is read, what reading would make of a JSON body: values cost, bytes do not.

    Marks within texts count too; nobody types so many.

    Raises:
        InvalidInput: more than `MOST_VALUES`.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise InvalidInput(f"The request holds more than {MOST_VALUES:,} values. Send fewer.")


def check_json(body: bytes) -> None:
    """Look at everything in a JSON body; what is no JSON at all is for the route to say.

    Raises:
        InvalidInput: says what nobody could use.
    """
    check_size(body)
    try:
        found = json.loads(body) if body else None
    except json.JSONDecodeError:
        return
    except UnicodeDecodeError as error:
        raise InvalidInput("The request's body is not UTF-8. Send it as UTF-8.") from error
    except RecursionError as error:
        raise InvalidInput(_too_deep()) from error
    except ValueError as error:  # A number of thousands of digits.
        raise InvalidInput(_too_large()) from error
    waiting = [(found, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            raise InvalidInput(_too_deep())
        if isinstance(value, dict):
            waiting.extend((one, depth + 1) for one in (*value.keys(), *value.values()))
        elif isinstance(value, list):
            waiting.extend((one, depth + 1) for one in value)
        else:
            _check_leaf(value)


def _check_leaf(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput("The request holds NaN or an infinite number. Send a finite one.")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise InvalidInput(_too_large())
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput(
                "A text in the request holds half a letter (a surrogate). Send whole ones."
            ) from error
    if isinstance(value, str) and "\0" in value:
        raise InvalidInput("A text in the request holds the character NUL. Send it without.")


def _too_deep() -> str:
    return f"The request's lists and objects are nested deeper than {DEEPEST}. Send flatter ones."


def _too_large() -> str:
    return "The request holds a number of more than 64 bits. Send a smaller one."


def _names_files(path: str) -> bool:
    plain = not any(letter in path for letter in ("\0", "\N{REPLACEMENT CHARACTER}"))
    return (
        plain
        and len(path.encode("utf-8", "replace")) <= LONGEST_PATH
        and max(len(name.encode("utf-8", "replace")) for name in path.split("/")) <= LONGEST_NAME
    )


def _is_form(scope: Scope) -> bool:
    return Headers(scope=scope).get("content-type", "").lower().startswith(_FORMS)


async def _whole(receive: Receive) -> list[Message]:
    arrived = [await receive()]
    while arrived[-1].get("more_body"):
        arrived.append(await receive())
    return arrived
