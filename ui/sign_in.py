"""Signing in and out, and changing one's password: three small pages without Gradio."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from core.accounts import Accounts
from core.errors import InhouseError, InvalidInput, SignInFailed, TooManyRequests
from core.permissions import Account
from core.settings import Settings
from ui.gate import token_of
from ui.guard import COOKIE
from ui.markup import page
from ui.sign_in_queue import SignInQueue
from ui.statuses import retry_header


def local(target: str) -> str:
    """Return a path of this site to go to after signing in; anything else becomes `/`."""
    safe = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if safe and "\n" not in target and "\r" not in target else "/"


def address_of(request: Request) -> str:
    """Return where a request came from; what a trusted proxy says is in it already."""
    return request.client.host if request.client else "unknown"


def sign_in_router(accounts: Accounts, queue: SignInQueue, settings: Settings) -> APIRouter:
    """Return the routes `/sign-in`, `/sign-out` and `/password`."""
    router = APIRouter()

    @router.get("/sign-in")
    async def show_sign_in(request: Request, target: str = "/") -> Response:
        account: Account | None = request.state.account
        if account is not None:
            return RedirectResponse(local(target), status_code=303)
        return HTMLResponse(page("sign_in.html", name="", target=local(target), problem=""))

    @router.post("/sign-in")
    async def sign_in(
        request: Request,
        name: Annotated[str, Form(max_length=200)] = "",
        password: Annotated[str, Form(max_length=1000)] = "",
        target: Annotated[str, Form(max_length=2000)] = "/",
    ) -> Response:
        check = partial(accounts.sign_in, name, password, address_of(request))
        try:
            token = await queue.sign_in(name, check)
        except (SignInFailed, TooManyRequests) as error:
            return _refused(name, local(target), error)
        return _signed_in(settings, token, local(target))

    @router.post("/sign-out")
    def sign_out(
        request: Request, everywhere: Annotated[str, Form(max_length=10)] = ""
    ) -> Response:
        account: Account = request.state.account
        accounts.sign_out(token_of(request.headers))
        if everywhere:
            accounts.end_sessions(account.id, actor=account.name)
        response = RedirectResponse("/sign-in", status_code=303)
        response.delete_cookie(COOKIE, path="/")
        return response

    _add_password(router, accounts, queue)
    return router


def _add_password(router: APIRouter, accounts: Accounts, queue: SignInQueue) -> None:
    @router.get("/password")
    def show_password(request: Request) -> Response:
        return HTMLResponse(page("password.html", account=request.state.account, problem=""))

    @router.post("/password")
    async def change_password(
        request: Request,
        old: Annotated[str, Form(max_length=1000)] = "",
        new: Annotated[str, Form(max_length=1000)] = "",
        again: Annotated[str, Form(max_length=1000)] = "",
    ) -> Response:
        account: Account = request.state.account
        try:
            if new != again:
                raise InvalidInput("The two new passwords differ. Type the same one twice.")
            keep = token_of(request.headers)
            change = partial(accounts.change_password, account.id, old, new, keep=keep)
            await queue.change(account.id, change)
        except InhouseError as error:
            text = page("password.html", account=account, problem=error.message)
            status = 429 if isinstance(error, TooManyRequests) else 400
            return HTMLResponse(text, status_code=status, headers=retry_header(error))
        return RedirectResponse("/account", status_code=303)


def _signed_in(settings: Settings, token: str, target: str) -> Response:
    response = RedirectResponse(target, status_code=303)
    response.set_cookie(
        COOKIE, token, max_age=int(settings.session_hours * 3600), httponly=True,
        samesite="strict", secure=settings.secure_cookies, path="/",
    )  # fmt: skip
    return response


def _refused(name: str, target: str, error: InhouseError) -> HTMLResponse:
    html = page("sign_in.html", name=name, target=target, problem=error.message)
    status = 429 if isinstance(error, TooManyRequests) else 401
    return HTMLResponse(html, status_code=status, headers=retry_header(error))
