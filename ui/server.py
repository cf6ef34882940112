"""The web application: sign-in, sources and API around the pages that Gradio renders."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from core.errors import InhouseError, Stopped
from core.logs import record_fault
from ui.api import api_router
from ui.departure import Departure
from ui.events import Events
from ui.gate import Gate
from ui.health import health_router
from ui.markup import FOLDER, page
from ui.pages import build_pages, mount_pages
from ui.plain_requests import PlainRequests
from ui.reports import report_router
from ui.services import Services
from ui.shell import Shell, header
from ui.sign_in import sign_in_router
from ui.sign_in_queue import SignInDoor
from ui.sources import source_router
from ui.statuses import OURS, refusal, status_of, wait_of
from ui.uploads import forget_uploads

_FILES = ("/source/", "/document/", "/original/", "/report/", "/questions/")
"""What a person opens by a link: errors there are pages."""


def create_app(services: Services) -> FastAPI:
    """Return the application; `services` live as long as it does."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        forget_uploads(services.home.workspace.uploads, services.jobs.unsettled())
        services.jobs.start()
        services.watcher.start()
        services.readiness.begin()
        yield
        services.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    settings = services.home.settings
    app.mount("/look", StaticFiles(directory=FOLDER / "static"), name="look")
    app.include_router(sign_in_router(services.accounts, services.sign_ins, settings))
    app.include_router(source_router(services.retrieval, services.conversations))
    app.include_router(report_router(services))
    app.include_router(api_router(services))
    app.include_router(health_router(services.readiness))
    _add_error_pages(app, services.home.workspace.logs)
    pages = build_pages(services)
    app.add_middleware(PlainRequests)
    app.add_middleware(Events, blocks=pages)
    app.add_middleware(Shell, count_alarms=services.watch.alarms.count_open)
    app.add_middleware(
        Gate, accounts=services.accounts, upload_bytes=settings.upload_megabytes * 1_000_000,
        logs=services.home.workspace.logs,
    )  # fmt: skip
    app.add_middleware(SignInDoor, queue=services.sign_ins)
    # So that nothing of an answer that is ended is left unsent.
    app.add_middleware(Departure, farewell=services.farewell)
    if settings.trusted_networks:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_networks)
    mount_pages(app, pages, settings)
    return app


def _add_error_pages(app: FastAPI, logs: Path) -> None:
    # The handlers are coroutines: others would wait for a thread to say that all are busy.
    def answer(
        request: Request, status: int, text: str, *, fault: str = "", wait: int = 0
    ) -> Response:
        if request.url.path.startswith(_FILES):
            here = request.url.path
            bar = header(request.state.account, here)
            title = "Not found" if status == 404 else "That did not work"
            html = page("message.html", header=bar, title=title, text=text)
            return HTMLResponse(html, status_code=status)
        return refusal(status, text, fault=fault, wait=wait)

    @app.exception_handler(InhouseError)
    async def known(request: Request, error: InhouseError) -> Response:
        status = status_of(error)
        ours = status >= OURS and not isinstance(error, Stopped)
        fault = record_fault(logs, error, f"request {request.url.path}") if ours else ""
        return answer(request, status, error.message, fault=fault, wait=wait_of(error))

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
