"""Puts our header, style and content policy around the page that Gradio renders."""

import base64
import hashlib
import re
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.permissions import Account, Role
from ui.gate import PAGES, content_policy
from ui.markup import page

TITLES = {
    "/": "Ask",
    "/documents": "Documents",
    "/training": "Training",
    "/evaluation": "Evaluation",
    "/question-sets": "Question sets",
    "/people": "People",
    "/account": "Account",
}
_FOR_EMPLOYEES = ("/", "/documents", "/evaluation")
_FOR_ADMINS = ("/", "/documents", "/training", "/evaluation", "/question-sets", "/people")

_HEAD = (
    '<meta name="color-scheme" content="light dark">'
    '<link rel="icon" href="/look/icon.svg" type="image/svg+xml">'
    '<link rel="stylesheet" href="/look/inhouse.css">'
    '<script src="/look/inhouse.js" defer></script>'
)
# Cards for link previews name other hosts, and the manifest is for an app we are not.
_FOREIGN = re.compile(
    r'<meta\s+(?:property="og:|name="twitter:)[^>]*>|<link rel="manifest"[^>]*>', re.DOTALL
)
_INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


def header(account: Account | None, here: str, alarms: int = 0) -> str:
    """Render the bar above a page: the pages this account may open; for admins, open alarms."""
    admin = account is not None and account.role is Role.ADMIN
    targets = _FOR_ADMINS if admin else _FOR_EMPLOYEES
    pages = [(target, TITLES[target]) for target in targets]
    return page(
        "header.html", account=account, pages=pages, here=here, alarms=alarms if admin else 0
    )


def dress(
    html: str, account: Account | None, here: str, alarms: int = 0
) -> tuple[str, tuple[str, ...]]:
    """Return the page with our head and header, and the hashes of its inline scripts."""
    html = _FOREIGN.sub("", html)
    title = f"<title>{TITLES.get(here, 'Inhouse')} · Inhouse</title>"
    html = html.replace("</head>", f"{title}{_HEAD}</head>", 1)
    html = re.sub(r"(<body[^>]*>)", lambda m: m[1] + header(account, here, alarms), html, count=1)
    digests = (hashlib.sha256(m[1].encode()).digest() for m in _INLINE.finditer(html))
    return html, tuple(base64.b64encode(digest).decode() for digest in digests)


class Shell:
    """ASGI middleware around Gradio's pages; everything else passes untouched."""

    def __init__(self, app: ASGIApp, count_alarms: Callable[[], int] = int) -> None:
        """Wrap `app`; `count_alarms` tells how many alarms are open."""
        self._app = app
        self._count_alarms = count_alarms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold back a page's HTML until it is whole, then send it dressed."""
        if scope["type"] != "http" or scope["path"] not in PAGES or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        # A compressed page could not be dressed.
        kept = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        scope = {**scope, "headers": kept}
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(scope, start, body, send)

        await self._app(scope, receive, collect)

    async def _finish(self, scope: Scope, start: Message, body: bytes, send: Send) -> None:
        kind = Headers(raw=start["headers"]).get("content-type", "")
        if start["status"] == 200 and kind.startswith("text/html"):
            account = scope["state"]["account"]
            admin = account is not None and account.role is Role.ADMIN
            alarms = await run_in_threadpool(self._count_alarms) if admin else 0
            html, hashes = dress(body.decode(), account, scope["path"], alarms)
            body = html.encode()
            headers = MutableHeaders(raw=start["headers"])
            headers["content-length"] = str(len(body))
            headers["content-security-policy"] = content_policy(hashes)
            start = {**start, "headers": headers.raw}
        await send(start)
        await send({"type": "http.response.body", "body": body})
