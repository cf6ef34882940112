"""The JSON API: the same accounts, checks and answering as the pages. See docs/api.md."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from assistant.modes import Answer, AnswerMode
from core.errors import InhouseError, InvalidInput, NotFound
from core.permissions import Account, Role, reader_of, require_account, require_admin
from core.values import LARGEST_NUMBER, Id
from retrieval.library import Document
from retrieval.passages import Passage
from ui.asking import Asked, ask
from ui.documents import KIND, keep
from ui.gate import token_of
from ui.parts import groups_of
from ui.services import Services
from ui.sign_in import address_of
from ui.turns import Part, Stage, Turn

LONGEST_FILE_NAME = 200
"""Bytes; disks take 255, and a number may be added."""


class SignIn(BaseModel):
    """Body of POST /api/sign-in."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=200)
    password: str = Field(max_length=1000)


class Ask(BaseModel):
    """Body of POST /api/ask."""

    model_config = ConfigDict(extra="forbid")
    question: str
    mode: AnswerMode = AnswerMode.RAG
    adapter: str | None = Field(None, max_length=200)
    conversation_id: Id | None = None
    stream: bool = False


class Rating(BaseModel):
    """Body of POST /api/feedback."""

    model_config = ConfigDict(extra="forbid")
    answer_id: Id
    value: int = Field(ge=-1, le=1)
    comment: str = Field("", max_length=2000)


def api_router(services: Services) -> APIRouter:
    """Return all routes below `/api`."""
    router = APIRouter(prefix="/api")
    _add_access(router, services)
    _add_answers(router, services)
    _add_documents(router, services)
    return router


def _add_access(router: APIRouter, services: Services) -> None:
    @router.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @router.post("/sign-in")
    async def sign_in(request: Request, body: SignIn) -> dict[str, Any]:
        address = address_of(request)

        def check() -> dict[str, Any]:
            token = services.accounts.sign_in(body.name, body.password, address)
            account = services.accounts.by_token(token)
            must_change = account is not None and account.must_change_password
            return {"token": token, "must_change_password": must_change}

        return await services.sign_ins.sign_in(body.name, check)

    @router.post("/sign-out")
    def sign_out(request: Request) -> dict[str, str]:
        require_account(request.state.account)
        services.accounts.sign_out(token_of(request.headers))
        return {"status": "signed out"}

    @router.get("/jobs/{job_id}")
    def job(request: Request, job_id: Id) -> dict[str, Any]:
        account = require_account(request.state.account)
        found = services.jobs.get(job_id)
        if account.role is not Role.ADMIN and found.account_id != account.id:
            raise NotFound(f"There is no job {job_id} of yours.")
        return {
            "id": found.id, "kind": found.kind, "title": found.title, "state": found.state.value,
            "done": found.done, "total": found.total, "note": found.note,
            "seconds_left": found.seconds_left, "message": found.message, "result": found.result,
        }  # fmt: skip


def _add_answers(router: APIRouter, services: Services) -> None:
    @router.post("/ask")
    def ask_route(request: Request, body: Ask) -> Response:
        account = require_account(request.state.account)
        asked = Asked(body.question, [body.mode], body.adapter, body.conversation_id)
        turn = ask(services, account, asked)
        if body.stream:
            return StreamingResponse(events(turn), media_type="text/event-stream")
        part = finished(turn)
        if part.answer is None:
            return JSONResponse({"error": part.problem or "The answer was stopped."}, 422)
        return JSONResponse(as_json(part, turn))

    @router.post("/feedback")
    def feedback(request: Request, body: Rating) -> dict[str, str]:
        account = require_account(request.state.account)
        services.feedback.rate(body.answer_id, account, body.value, body.comment)
        return {"status": "kept"}


def _add_documents(router: APIRouter, services: Services) -> None:
    library = services.retrieval.library

    @router.get("/documents")
    def documents(
        request: Request,
        query: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=LARGEST_NUMBER)] = 0,
    ) -> dict[str, Any]:
        reader = reader_of(require_account(request.state.account))
        found = library.documents(reader, limit=limit, offset=offset, query=query)
        return {
            "total": library.count(reader, query),
            "documents": [document_json(document) for document in found],
        }

    @router.post("/documents", status_code=202)
    def add(
        request: Request,
        files: Annotated[list[UploadFile], File()],
        groups: Annotated[str, Form(max_length=2000)] = "",
    ) -> dict[str, int]:
        account = require_admin(request.state.account)
        folder = received(files, services.home.workspace.uploads)
        names = sorted(groups_of(groups))
        job = services.jobs.submit(
            KIND, {"paths": [str(folder)], "groups": names},
            title=f"Reading {len(files)} files", account_id=account.id,
        )  # fmt: skip
        services.audit.record(
            account.name, "documents.add", f"{len(files)} files", {"job": job, "groups": names}
        )
        return {"job": job}

    @router.delete("/documents/{document_id}")
    def delete(request: Request, document_id: Id) -> dict[str, int]:
        account: Account = require_admin(request.state.account)
        document = library.get(document_id, reader_of(account))
        count = library.delete([document_id])
        services.audit.record(
            account.name, "documents.delete", document.path, {"ids": [document_id]}
        )
        return {"deleted": count}


def received(files: list[UploadFile], uploads: Path) -> Path:
    """Write uploaded files into a folder of their own below `uploads`.

    Raises:
        InvalidInput: a file without a name, or with one that no disk takes.
    """
    with tempfile.TemporaryDirectory(dir=uploads) as arriving:
        paths = []
        for number, file in enumerate(files):
            name = PurePosixPath((file.filename or "").replace("\\", "/")).name
            if name in ("", ".", "..") or "\0" in name:
                raise InvalidInput(f"File {number + 1} has no name. Send each file with its name.")
            if len(name.encode("utf-8", "replace")) > LONGEST_FILE_NAME:
                raise InvalidInput(
                    f"The name of file {number + 1} has {len(name)} characters. Shorten it."
                )
            path = Path(arriving) / str(number) / name
            path.parent.mkdir()
            with path.open("wb") as target:
                shutil.copyfileobj(file.file, target)
            paths.append(path)
        return keep(paths, uploads)


def document_json(document: Document) -> dict[str, Any]:
    """Return a document as the API lists it."""
    return {
        "id": document.id, "document": document.path, "title": document.title,
        "media_type": document.media_type, "size": document.size, "chunks": document.chunks,
        "groups": sorted(document.groups), "ingested_at": document.ingested_at.isoformat(),
    }  # fmt: skip


def passage_json(passage: Passage) -> dict[str, Any]:
    """Return a passage in the shape that the command line prints too."""
    return {
        "document": passage.document, "location": passage.location,
        "score": round(passage.score, 4), "text": passage.text,
    }  # fmt: skip


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return an answer in the shape that the command line prints too."""
    timing = answer.timing
    return {
        "text": answer.text, "mode": answer.mode.value, "adapter": answer.adapter,
        "passages": [passage_json(passage) for passage in answer.passages],
        "cited": list(answer.cited),
        "timing": {
            "search_s": timing.search_s, "first_token_s": timing.first_token_s,
            "total_s": timing.total_s, "prompt_tokens": timing.prompt_tokens,
            "answer_tokens": timing.answer_tokens,
        },
    }  # fmt: skip


def as_json(part: Part, turn: Turn) -> dict[str, Any]:
    """Return a finished part with the ids under which it is stored."""
    if part.answer is None:
        raise InhouseError("The answer is not finished.")
    ids = {"answer_id": part.answer_id, "conversation_id": turn.conversation_id}
    return {**answer_json(part.answer), **ids}


def finished(turn: Turn) -> Part:
    """Wait for the answer."""
    version, done = -1, False
    parts: list[Part] = []
    while not done:
        version, parts, done = turn.look(version, 1.0)
    return parts[0]


def events(turn: Turn) -> Iterator[str]:
    """Stream an answer as server-sent events: passages, delta, finished or error."""
    version, done, sent, shown = -1, False, 0, False
    try:
        while not done:
            version, parts, done = turn.look(version, 1.0)
            part = parts[0]
            if part.passages and not shown:
                shown = True
                yield event("passages", [passage_json(passage) for passage in part.passages])
            if part.answer is None and len(part.text) > sent:
                yield event("delta", {"text": part.text[sent:]})
                sent = len(part.text)
        if part.stage is Stage.DONE:
            yield event("finished", as_json(part, turn))
        else:
            yield event("error", {"error": part.problem or "The answer was stopped."})
    finally:
        turn.stop()


def event(name: str, data: Any) -> str:
    """Write one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
