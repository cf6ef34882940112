"""The web application: sign-in, sources and API around the pages that Gradio renders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from core.errors import (
    AccessDenied,
    Conflict,
    InhouseError,
    InvalidInput,
    NotFound,
    SignInFailed,
    SignInRequired,
    TooManyRequests,
)
from ui.api import api_router
from ui.documents import forget_uploads
from ui.gate import Gate, problem
from ui.markup import FOLDER, page
from ui.pages import mount_pages
from ui.plain_requests import PlainRequests
from ui.reports import report_router
from ui.services import Services
from ui.shell import Shell, header
from ui.sign_in import retry_header, sign_in_router
from ui.sign_in_queue import SignInDoor
from ui.sources import source_router

_JOBS = 10_000
"""Jobs looked at for files that still wait to be read."""
_FILES = ("/source/", "/document/", "/original/", "/report/", "/questions/")
"""What a person opens by a link: errors there are pages."""

_STATUS: list[tuple[type[InhouseError], int]] = [
    (SignInRequired, 401),
    (SignInFailed, 401),
    (AccessDenied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (InvalidInput, 422),
    (TooManyRequests, 429),
]


def create_app(services: Services) -> FastAPI:
    """Return the application; `services` live as long as it does."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        forget_uploads(services.home.workspace.uploads, services.jobs.list(limit=_JOBS))
        services.jobs.start()
        services.watcher.start()
        services.turns.warm_up()
        yield
        services.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    settings = services.home.settings
    app.mount("/look", StaticFiles(directory=FOLDER / "static"), name="look")
    app.include_router(sign_in_router(services.accounts, services.sign_ins, settings))
    app.include_router(source_router(services.retrieval, services.conversations))
    app.include_router(report_router(services))
    app.include_router(api_router(services))
    _add_error_pages(app)
    app.add_middleware(PlainRequests)
    app.add_middleware(Shell, count_alarms=services.watch.alarms.count_open)
    app.add_middleware(
        Gate, accounts=services.accounts, upload_bytes=settings.upload_megabytes * 1_000_000,
        logs=services.home.workspace.logs,
    )  # fmt: skip
    app.add_middleware(SignInDoor, queue=services.sign_ins)
    if settings.trusted_networks:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_networks)
    mount_pages(app, services)
    return app


def status_of(error: InhouseError) -> int:
    """Return the HTTP status that fits an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def _add_error_pages(app: FastAPI) -> None:
    # The handlers are coroutines: others would wait for a thread to say that all are busy.
    def answer(request: Request, status: int, text: str) -> Response:
        if request.url.path.startswith(_FILES):
            here = request.url.path
            bar = header(request.state.account, here)
            title = "Not found" if status == 404 else "That did not work"
            html = page("message.html", header=bar, title=title, text=text)
            return HTMLResponse(html, status_code=status)
        return problem(status, text)

    @app.exception_handler(InhouseError)
    async def known(request: Request, error: InhouseError) -> Response:
        response = answer(request, status_of(error), error.message)
        response.headers.update(retry_header(error))
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, 422, "; ".join(map(_complaint, error.errors())))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return answer(request, error.status_code, str(error.detail))


def _complaint(found: Any) -> str:
    if found["type"] == "json_invalid":
        place = f"{found['ctx']['error']} at character {found['loc'][-1]}"
        return f"The request's body is not JSON ({place}). Send one JSON object."
    field = ".".join(str(part) for part in found["loc"][1:]) or "body"
    return f"{field}: {found['msg']}"
