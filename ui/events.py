"""The door of page events, in front of Gradio.

Gradio copies and opens the files that an event's data names before any handler of ours runs, and
knows no owner of an upload or of a page's session. So who asks, which files are named and whose
session it is are settled here, before it sees the request. The guard checks the account once more
when the handler runs.
"""

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import AccessDenied, InvalidInput, SignInRequired
from core.permissions import Account
from core.values import storable
from ui.gate import SMALL_BODY, problem
from ui.plain_requests import check_size

API = "/gradio_api"
JOIN, DATA, CANCEL, UPLOAD, RESET = (f"{API}/{name}" for name in (
    "queue/join", "queue/data", "cancel", "upload", "reset",
))  # fmt: skip
HEARTBEAT = f"{API}/heartbeat/"
MOST_SESSIONS = 500
"""Open pages of one account; beyond, the ones used longest ago are forgotten."""
MOST_UPLOADS = 5_000
MOST_OPEN = 40
"""Page events of one account that wait or run at one time."""
MOST_STREAMS = 100
"""Streams of one account that are open at one time; a page holds two for as long as it is shown."""
_LONGEST_SESSION = 64


class RefusedError(Exception):
    """A request that Gradio does not get to see."""

    def __init__(self, status: int, text: str) -> None:
        """`text` is for the person, with the remedy."""
        super().__init__(text)
        self.status = status
        self.headers = {"retry-after": "2"} if status == 429 else {}


class Owned:
    """Keys, each account's newest ones. Used on the event loop only, so it needs no lock."""

    def __init__(self, most: int) -> None:
        """Keep at most `most` keys of an account."""
        self._most = most
        self._keys: dict[int, OrderedDict[str, None]] = {}

    def add(self, account_id: int, key: str) -> str | None:
        """Note that an account has a key; return the one that had to go for it, if any."""
        mine = self._keys.setdefault(account_id, OrderedDict())
        mine[key] = None
        mine.move_to_end(key)
        return mine.popitem(last=False)[0] if len(mine) > self._most else None

    def has(self, account_id: int, key: str) -> bool:
        """Tell whether the account has the key."""
        return key in self._keys.get(account_id, ())


class Sessions:
    """Whose page a session is: the first account to name one owns it."""

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        """Remember at most `most` sessions of an account."""
        self._owner: dict[str, int] = {}
        self._owned = Owned(most)

    def owner(self, session: str) -> int | None:
        """Return whose a session is; None where nobody has named it, or it was forgotten."""
        return self._owner.get(session)

    def claim(self, session: str, account_id: int) -> bool:
        """Tell whether the session is this account's; one that nobody has becomes its own."""
        if self._owner.setdefault(session, account_id) != account_id:
            return False
        forgotten = self._owned.add(account_id, session)
        if forgotten is not None:
            del self._owner[forgotten]
        return True


class Events:
    """ASGI middleware behind the gate, which has put the account into the scope."""

    def __init__(self, app: ASGIApp, blocks: Any) -> None:
        """Wrap `app`; `blocks` are the pages, whose events know what they need."""
        self._app = app
        self._events = blocks.fns
        self._components = blocks.blocks
        self._queue = blocks._queue
        self._sessions = Sessions()
        self._uploads = Owned(MOST_UPLOADS)
        self._streams: Counter[int] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check what goes to Gradio's queue; everything else passes untouched."""
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
            return
        try:
            receive = await self._checked(scope, receive)
        except RefusedError as refused:
            response = problem(refused.status, str(refused))
            response.headers.update(refused.headers)
            await response(scope, receive, send)
            return
        except RecursionError:
            await problem(422, "The request is nested too deeply.")(scope, receive, send)
            return
        if scope["path"] == RESET:
            # Gradio's own answer says no more, and stumbles over some requests.
            await JSONResponse({"success": True})(scope, receive, send)
        elif scope["path"] == UPLOAD:
            await self._upload(scope, receive, send)
        elif _is_stream(scope["path"]):
            await self._stream(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what stays open as long as the page, and count it for so long."""
        account_id = scope["state"]["account"].id
        self._streams[account_id] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._streams[account_id] -= 1

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass files on and note whose they are."""
        collecting = _collecting(send, lambda paths: self._remember(scope, paths))
        try:
            await self._app(scope, receive, _unless_broken(collecting))
        except TypeError:
            # What Gradio makes of a part that has no file name.
            text = "A file has no name. Send each file with its name."
            await problem(422, text)(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        path, account = scope["path"], scope["state"]["account"]
        if path == JOIN:
            return replayed(self._event(await _object(receive), account), receive)
        if path == CANCEL:
            return replayed(self._cancelled(await _object(receive), account), receive)
        if _is_stream(path) and self._streams[account.id] >= MOST_STREAMS:
            raise RefusedError(429, "You have very many pages open. Close some.")
        if path == DATA:
            query = parse_qs(scope["query_string"].decode("latin-1"))
            self._own(query.get("session_hash", [None])[0], account)
        elif path.startswith(HEARTBEAT):
            self._own(path.removeprefix(HEARTBEAT), account)
        return receive

    def _event(self, body: dict[str, Any], account: Account) -> dict[str, Any]:
        """Return what Gradio may see of a call: nothing but what our pages send."""
        number = body.get("fn_index")
        event = self._events.get(number) if type(number) is int else None
        if event is None or event.fn is None:
            raise RefusedError(404, f"There is no page event {number!r}. Reload the page.")
        _allow(event.fn.needs, account)
        self._take_turn(account)
        data = body.get("data")
        if not isinstance(data, list) or len(data) != len(event.inputs):
            raise RefusedError(
                422, f"This page event takes {len(event.inputs)} values. Reload the page."
            )
        trigger = body.get("trigger_id")
        known = type(trigger) is int and trigger in self._components
        return {
            "session_hash": self._own(body.get("session_hash"), account),
            "fn_index": number,
            "trigger_id": trigger if known else None,
            "data": vetted(data, lambda path: self._uploads.has(account.id, path)),
        }

    def _take_turn(self, account: Account) -> None:
        waiting = self._queue.event_ids_to_events.values()
        if sum(self._sessions.owner(one.session_hash) == account.id for one in waiting) > MOST_OPEN:
            raise RefusedError(429, "Much of what you started still goes on. Wait a moment.")

    def _cancelled(self, body: dict[str, Any], account: Account) -> dict[str, Any]:
        session = self._own(body.get("session_hash"), account)
        number, event = body.get("fn_index"), body.get("event_id")
        running: Collection[str] = self._queue.pending_event_ids_session.get(session, ())
        if type(number) is not int or not isinstance(event, str) or event not in running:
            raise RefusedError(404, "This page event is over, or is not yours.")
        return {"session_hash": session, "fn_index": number, "event_id": event}

    def _own(self, session: Any, account: Account) -> str:
        if not isinstance(session, str) or not 0 < len(session) <= _LONGEST_SESSION:
            raise RefusedError(422, "The page's session is missing. Reload the page.")
        if not self._sessions.claim(session, account.id):
            raise RefusedError(404, "This page's session is not yours. Reload the page.")
        return session

    def _remember(self, scope: Scope, paths: list[str]) -> None:
        for path in paths:
            self._uploads.add(scope["state"]["account"].id, path)


def vetted(value: Any, is_own: Callable[[str], bool]) -> Any:
    """Copy an event's data: files are the person's own uploads, texts can be stored.

    Args:
        value: JSON as it arrived.
        is_own: tells whether a path is one that this person's own upload was answered with.

    Raises:
        RefusedError: a file that is not, or is gone.
    """
    if isinstance(value, str):
        return storable(value, len(value) + 1)
    if isinstance(value, list):
        return [vetted(one, is_own) for one in value]
    if not isinstance(value, dict):
        return value
    if not {"path", "url", "meta"} & value.keys():
        return {storable(key, len(key) + 1): vetted(one, is_own) for key, one in value.items()}
    path = value.get("path")
    if not isinstance(path, str) or not is_own(path):
        raise RefusedError(403, "A file was named that you did not upload. Choose the file again.")
    if Path(path).is_symlink() or not Path(path).is_file():
        raise RefusedError(
            422, f"The uploaded file '{Path(path).name}' is gone. Choose the file again."
        )
    name = value.get("orig_name")
    return {
        "path": path,
        "orig_name": storable(name, 255) if isinstance(name, str) else Path(path).name,
        "size": Path(path).stat().st_size,
        "meta": {"_type": "gradio.FileData"},
    }


def _is_stream(path: str) -> bool:
    return path == DATA or path.startswith(HEARTBEAT)


def _allow(needs: Callable[[Account | None], Account], account: Account | None) -> None:
    try:
        needs(account)
    except AccessDenied as error:
        status = 401 if isinstance(error, SignInRequired) else 403
        raise RefusedError(status, error.message) from None


async def _object(receive: Receive) -> dict[str, Any]:
    """Read a request's body, which is one JSON object."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "The request broke off.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    try:
        check_size(body)
        found = json.loads(body, parse_constant=_no_number)
    except InvalidInput as error:
        raise RefusedError(422, error.message) from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RefusedError(422, "The request's body is not one JSON object. Reload the page.")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def replayed(body: dict[str, Any], receive: Receive) -> Receive:
    """Hand on `body` in place of what arrived, then whatever else `receive` says."""
    content: bytes | None = json.dumps(body).encode()

    async def again() -> Message:
        nonlocal content
        if content is None:
            return await receive()
        message = {"type": "http.request", "body": content, "more_body": False}
        content = None
        return message

    return again


def _unless_broken(send: Send) -> Send:
    """Hold back an answer that only says that something broke: whoever catches it says what."""
    broken = False

    async def sender(message: Message) -> None:
        nonlocal broken
        broken = broken or message.get("status") == 500
        if not broken:
            await send(message)

    return sender


def _collecting(send: Send, tell: Callable[[list[str]], None]) -> Send:
    """Pass an answer on; where it is a list of paths, `tell` it before its end is sent."""
    body = bytearray()
    good = False

    async def sender(message: Message) -> None:
        nonlocal good
        if message["type"] == "http.response.start":
            good = message["status"] == 200
        elif good and len(body) <= SMALL_BODY:
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                tell([path for path in json.loads(body) if isinstance(path, str)])
        await send(message)

    return sender
