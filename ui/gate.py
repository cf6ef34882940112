"""What every request passes: size, origin, sign-in, closed paths, security headers."""

from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.accounts import Accounts
from core.errors import PermissionDenied, SignInRequired, StorageError
from core.logs import explained
from core.permissions import Account, Role, require_account, require_admin
from ui.guard import COOKIE
from ui.threads import Threads

ADMIN_PAGES = ("/training", "/question-sets", "/people")
PAGES = (
    "/", "/documents", "/training", "/evaluation", "/question-sets", "/people", "/account",
)  # fmt: skip
"""Paths of the Gradio pages."""

_OPEN = ("/sign-in", "/look/", "/assets/", "/static/", "/theme.css", "/favicon.ico")
_SIGN_INS = ("/sign-in", "/api/sign-in")
_OPEN_EXACT = ("/api/sign-in", "/api/health", "/api/ready", "/healthz", "/readyz")
_HEARTBEAT = "/gradio_api/heartbeat/"
_GRADIO = frozenset({
    "/gradio_api/queue/join",
    "/gradio_api/queue/data",
    "/gradio_api/upload",
    "/gradio_api/cancel",
    "/gradio_api/reset",
    "/gradio_api/login_check",
    "/gradio_api/startup-events",
    "/gradio_api/user",
    "/gradio_api/app_id",
    "/config",
})  # fmt: skip
"""What Gradio's own pages need, and its heartbeat. Everything else it offers (its API, file links,
proxy, run history, monitoring) is closed."""
_OWN = (
    "/password", "/sign-out", "/source/", "/document/", "/original/", "/report/", "/questions/",
    "/api/",
)  # fmt: skip

_READ = ("/password", "/source/", "/document/", "/original/", "/report/", "/questions/")
"""What a person opens by a link: without a session it leads to the sign-in."""

LOOKUPS = 4
"""Sessions looked up at the same time."""
SMALL_BODY = 4_000_000
"""Most bytes of a request that is not an upload."""

_FOREIGN = (
    "This request came from another site. Open Inhouse itself. If this is Inhouse, "
    "a proxy hides its address: let it pass on Host or X-Forwarded-Host."
)
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


def content_policy(script_hashes: tuple[str, ...] = ()) -> str:
    """Return a Content-Security-Policy that lets nothing in from elsewhere."""
    scripts = ["'self'", *(f"'sha256-{value}'" for value in script_hashes)]
    return POLICY.format(scripts=" ".join(scripts))


def token_of(headers: Headers) -> str | None:
    """Return the session token of the cookie, or of `Authorization: Bearer`."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return None
    return cookies[COOKIE].value if COOKIE in cookies else None


def same_origin(headers: Headers) -> bool:
    """Tell whether a changing request comes from our own page, or from no browser at all.

    A browser says itself where a request comes from (`Sec-Fetch-Site`; no script can set it), but
    only over HTTPS and to this very machine. Elsewhere the origin is compared with the host, which
    a proxy may have moved to `X-Forwarded-Host`: other sites must ask before they send that.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return True
    forwarded = headers.get("x-forwarded-host", "").split(",")[0].strip()
    hosts = {headers.get("host", "").lower(), forwarded.lower()} - {""}
    try:
        return urlsplit(origin).netloc.lower() in hosts
    except ValueError:
        return False


class TooLargeError(HTTPException):
    """The body grew beyond what is accepted; whoever reads it passes this kind on."""

    def __init__(self, limit: int) -> None:
        """`limit` in bytes."""
        super().__init__(413, _too_large_text(limit))


class Gate:
    """ASGI middleware; puts the account into `scope["state"]["account"]`."""

    def __init__(self, app: ASGIApp, accounts: Accounts, upload_bytes: int, logs: Path) -> None:
        """Wrap `app`.

        Args:
            app: what is behind the gate.
            accounts: who may come in.
            upload_bytes: the largest request accepted where files arrive over the API.
            logs: folder for faults that nobody could foresee.
        """
        self._logs = logs
        self._app = app
        self._accounts = accounts
        self._upload_bytes = upload_bytes
        # Its own threads: whatever fills the common ones, everybody is still recognised.
        self._lookups = Threads(LOOKUPS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def told(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        answered = with_headers(told)
        limit = self._limit(scope)
        try:
            await self._pass(scope, limited(receive, limit), answered, limit)
        except TooLargeError as error:
            await problem(413, error.detail)(scope, receive, answered)
        except Exception as error:
            shown = explained(self._logs, error, f"request {scope['path']}")
            if started:
                raise
            status = 507 if isinstance(shown, StorageError) else 500
            await problem(status, shown.message)(scope, receive, answered)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, limit: int | None) -> None:
        headers = Headers(scope=scope)
        account = None
        if not is_open(scope["path"]) or scope["path"].startswith("/sign-in"):
            account = await self._lookups.run(self._accounts.by_token, token_of(headers))
        scope.setdefault("state", {})["account"] = account
        refusal = refuse(scope, headers, account, limit)
        await (refusal or self._app)(_with_own_query(scope, account), receive, send)

    def _limit(self, scope: Scope) -> int | None:
        if scope["path"] == "/gradio_api/upload":
            return None  # Gradio holds each file to the limit while it arrives.
        form = Headers(scope=scope).get("content-type", "").startswith("multipart/form-data")
        return self._upload_bytes if scope["path"] == "/api/documents" and form else SMALL_BODY


def is_open(path: str) -> bool:
    """Tell whether a path may be seen before signing in."""
    return path.startswith(_OPEN) or path in _OPEN_EXACT


def refuse(
    scope: Scope, headers: Headers, account: Account | None, limit: int | None
) -> Response | None:
    """Return the answer for a request that may not go on, or None."""
    path = scope["path"]
    if scope["method"] not in ("GET", "HEAD") and not same_origin(headers):
        return problem(403, _FOREIGN)
    length = headers.get("content-length", "")
    if limit is not None and length.isdigit() and int(length) > limit:
        return problem(413, _too_large_text(limit))
    if is_open(path):
        return _refuse_open(scope)
    if path not in PAGES and path not in _GRADIO and not path.startswith((_HEARTBEAT, *_OWN)):
        return problem(404, f"There is nothing at '{path}'.")
    return _refuse_account(scope, account)


def _refuse_open(scope: Scope) -> Response | None:
    """What anybody may see is only read, but for the two doors where people sign in."""
    allowed = {"GET", "HEAD"}
    if scope["path"] in _SIGN_INS:
        allowed.add("POST")
    if scope["method"] in allowed:
        return None
    return problem(405, f"This address does not take {scope['method']}.")


def _with_own_query(scope: Scope, account: Account | None) -> Scope:
    """Leave of a page's address what is ours to give: no other page, no stored state.

    `/config` tells the layout of one page, which must be open to the account.
    """
    path = scope["path"]
    if path in PAGES:
        return {**scope, "query_string": b""}
    if path == "/config" and account is not None:
        wanted = parse_qs(scope["query_string"].decode("latin-1")).get("page", [""])[0]
        allowed = f"/{wanted}" in PAGES and (
            account.role is Role.ADMIN or f"/{wanted}" not in ADMIN_PAGES
        )
        return {**scope, "query_string": b"page=" + (wanted.encode() if allowed else b"")}
    return scope


def _refuse_account(scope: Scope, account: Account | None) -> Response | None:
    path = scope["path"]
    if path in ("/password", "/sign-out") and account is not None:
        return None
    try:
        changes = scope["method"] not in ("GET", "HEAD")
        needed = path in ADMIN_PAGES or path.startswith("/gradio_api/upload")
        needed = needed or (changes and path.startswith("/api/documents"))
        (require_admin if needed else require_account)(account)
    except SignInRequired as error:
        if path.startswith(_READ) or path in PAGES:
            target = "/password" if account else f"/sign-in?target={quote(path)}"
            return RedirectResponse(target, status_code=303)
        return problem(401, error.message)
    except PermissionDenied as error:
        if path in ADMIN_PAGES:
            return RedirectResponse("/", status_code=303)
        return problem(403, error.message)
    return None


def problem(status: int, text: str) -> JSONResponse:
    """Return an error in the API's shape."""
    return JSONResponse({"error": text}, status_code=status)


def _too_large_text(limit: int) -> str:
    return f"This request is larger than {limit / 1e6:.0f} MB. Send less at once."


def limited(receive: Receive, limit: int | None) -> Receive:
    """Count what arrives; a body without a declared length must not be endless either."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if limit is not None and seen > limit:
            raise TooLargeError(limit)
        return message

    return counted


def with_headers(send: Send) -> Send:
    """Add the security headers to every answer; a page may have set its own policy."""

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers.setdefault("content-security-policy", content_policy())
            if headers.get("content-type", "").startswith(("text/html", "application/json")):
                headers.setdefault("cache-control", "no-store")
        await send(message)

    return sender
