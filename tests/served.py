"""The whole application in this process, over real HTTP, with models that are scripted."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from assistant.answering import Assistant
from assistant.engines.base import LanguageModel
from assistant.shelf import Shelf
from core.accounts import Accounts
from core.home import Home, open_home
from core.passwords import Passwords
from core.permissions import OPERATOR, Role
from retrieval.passages import Embedder
from retrieval.service import open_retrieval
from tests.fakes import HashingEmbedder, ScriptedModel
from tests.quick import QUICK
from tests.waiting import PATIENCE_S, eventually
from ui.environment import prepare_environment

PASSWORD = "forty-two open doors"
NAMES = {"boss": Role.ADMIN, "anna": Role.EMPLOYEE, "lena": Role.EMPLOYEE}


@dataclass
class Served:
    """A running application and its services."""

    url: str
    services: Any
    pages: Any
    tokens: dict[str, str]
    documents: dict[str, int]

    def client(self, name: str | None) -> httpx.Client:
        cookies = {"inhouse_session": self.tokens[name]} if name else {}
        return plain_client(self.url, cookies)


def plain_client(url: str, cookies: dict[str, str], timeout: float = PATIENCE_S) -> httpx.Client:
    """A client over plain HTTP, which need not read the certificates of the whole machine."""
    return httpx.Client(base_url=url, cookies=cookies, timeout=timeout, verify=False)


def make_services(
    home: Home,
    model: LanguageModel,
    embedder: Embedder | None = None,
    passwords: Passwords = QUICK,
) -> Any:
    """The services of an installation that answers with `model`."""
    prepare_environment(home.workspace.uploads, allow_downloads=False)
    # These import Gradio, which reads its environment while it is imported.
    from ui.services import open_services

    retrieval = open_retrieval(home, embedder or HashingEmbedder())
    assistant = Assistant(model, retrieval.retriever, Shelf(home), home.settings)
    accounts = Accounts(home.database, home.settings, passwords=passwords)
    return open_services(home, retrieval, assistant, accounts)


def make_app(
    home: Home,
    model: LanguageModel,
    embedder: Embedder | None = None,
    passwords: Passwords = QUICK,
) -> tuple[FastAPI, Any]:
    """The application of an installation that answers with `model`, and its services."""
    services = make_services(home, model, embedder, passwords)
    from ui.server import create_app

    return create_app(services), services


def reply(text: str, adapter: Any) -> str:
    return "Ten days a year [1]. <img src=x onerror=alert(1)>" if "[1]" in text else "I don't know."


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """With the evidence finder that the module names, or the one that needs no torch."""
    folder = tmp_path_factory.mktemp("served")
    finder = getattr(request.module, "FINDER", "words")
    home = open_home(workspace=folder / "workspace", port=1, evidence_finder=finder)
    app, services = make_app(home, ScriptedModel(reply))
    for name, role in NAMES.items():
        services.accounts.create(name, PASSWORD, role, {"legal"} if name == "lena" else set())
    with running(app) as url:
        tokens = {name: services.accounts.sign_in(name, PASSWORD, "test") for name in NAMES}
        documents = ingest(folder, services)
        yield Served(url, services, gradio_pages(app), tokens, documents)


def ingest(folder: Path, services: Any) -> dict[str, int]:
    for name, text, groups in [
        ("leave.md", "# Leave\n\nSick leave is ten days a year.\n", []),
        ("tags.txt", "Ask first. Wear <b>tags</b> & badges. Go home then.", []),
        ("merger.md", "# Merger\n\nThe merger with Zebra is secret.\n", ["legal"]),
    ]:
        (folder / name).write_text(text)
        services.retrieval.ingestor.ingest([folder / name], groups=groups)
    found = services.retrieval.library.documents(OPERATOR)
    return {document.path: document.id for document in found}


class running:  # noqa: N801 - reads as a word in `with`
    """Serves an application in a thread on a free port."""

    def __init__(self, app: FastAPI) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        eventually(lambda: self._server.started)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)


def gradio_pages(app: FastAPI) -> Any:
    mounted: list[Any] = [getattr(route, "app", None) for route in app.routes]
    return next(one.get_blocks() for one in mounted if hasattr(one, "get_blocks"))


def fire(client: httpx.Client, fn_index: int, data: list[Any], session: str = "") -> dict[str, Any]:
    """Call a page event by its number, as any program can; return its last message.

    Without a `session` it is that of a page just opened, for which Gradio copies all pages.
    """
    session = session or f"s{fn_index}-{time.monotonic_ns()}"
    body = {"data": data, "fn_index": fn_index, "session_hash": session}
    headers = {"content-type": "application/json"}
    joined = client.post("/gradio_api/queue/join", content=json.dumps(body), headers=headers)
    if joined.status_code != 200:
        return {"success": False, "status": joined.status_code, "text": joined.text}
    url = f"/gradio_api/queue/data?session_hash={body['session_hash']}"
    with client.stream("GET", url) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") in ("process_completed", "unexpected_error", "close_stream"):
                return {**message, "text": line}
    return {"success": False, "text": "nothing came"}


def handlers(pages: Any) -> list[tuple[int, Any, list[Any]]]:
    """Number, function and empty inputs of every event."""
    return [
        (
            number,
            fn.fn,
            [[] if one.get_block_name() == "checkboxgroup" else None for one in fn.inputs],
        )
        for number, fn in pages.fns.items()
        if fn.fn is not None
    ]
