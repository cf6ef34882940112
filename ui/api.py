"""The JSON API: the same accounts, checks and answering as the pages. See docs/api.md."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask

from assistant.modes import Answer, AnswerMode
from core.errors import InhouseError, NotFound, Stopped
from core.permissions import Account, Role, reader_of, require_account, require_admin
from core.values import LARGEST_NUMBER, Id
from retrieval.library import Document
from retrieval.origins import SameName
from retrieval.passages import Passage
from ui.asking import Asked, ask
from ui.gate import token_of
from ui.parts import groups_of
from ui.services import Services
from ui.sign_in import address_of
from ui.statuses import OURS, refusal, status_of, wait_of
from ui.threads import Threads
from ui.turns import WAKING, Part, Stage, Turn
from ui.uploads import queue, received, try_again

LOOK = 1.0
"""Longest wait for news of an answer, seconds."""
_STOPPED = Stopped("The answer was stopped before it began. Ask again.")
_ACCEPTING = 4
"""Questions checked and stored at once; each takes some milliseconds."""


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

    @router.post("/jobs/{job_id}/try-again", status_code=202)
    def again(request: Request, job_id: int) -> dict[str, int]:
        try_again(services, require_admin(request.state.account), job_id)
        return {"job": job_id}


def _add_answers(router: APIRouter, services: Services) -> None:
    accepting = Threads(_ACCEPTING)

    @router.post("/ask")
    async def ask_route(request: Request, body: Ask) -> Response:
        account = require_account(request.state.account)
        asked = Asked(body.question, [body.mode], body.adapter, body.conversation_id)
        turn = await accepting.run(ask, services, account, asked)
        if body.stream:
            stopping = BackgroundTask(stop, turn)  # also if nothing could be sent
            return StreamingResponse(
                events(turn), media_type="text/event-stream", background=stopping
            )
        async with stopped_when_gone(request, turn):
            part = await finished(turn)
        return JSONResponse(as_json(part, turn)) if part.answer else unanswered(part)

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
        account = require_account(request.state.account)
        reader = reader_of(account)
        found = library.documents(reader, limit=limit, offset=offset, query=query)
        return {
            "total": library.count(reader, query),
            "documents": [document_json(document, account) for document in found],
        }

    @router.post("/documents", status_code=202)
    def add(
        request: Request,
        files: Annotated[list[UploadFile], File()],
        groups: Annotated[str, Form(max_length=2000)] = "",
        same_name: Annotated[SameName, Form()] = SameName.KEEP_BOTH,
    ) -> dict[str, int]:
        account = require_admin(request.state.account)
        names = groups_of(groups)
        with received(files, services.home.workspace.uploads) as paths:
            return {"job": queue(services, account, paths, names, same_name)}

    @router.delete("/documents/{document_id}")
    def delete(request: Request, document_id: Id) -> dict[str, int]:
        account: Account = require_admin(request.state.account)
        document = library.get(document_id, reader_of(account))
        count = library.delete([document_id])
        services.audit.record(
            account.name, "documents.delete", document.label, {"ids": [document_id]}
        )
        return {"deleted": count}


def document_json(document: Document, account: Account) -> dict[str, Any]:
    """Return a document as the API lists it; where folders lie is the admins' affair."""
    admin = account.role is Role.ADMIN
    return {
        "id": document.id, "document": document.path,
        "collection": document.collection if admin else document.place, "title": document.title,
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


def unanswered(part: Part) -> JSONResponse:
    """Say why there is no answer."""
    if part.error is not None:
        wait = wait_of(part.error)
        return refusal(status_of(part.error), part.problem, fault=part.fault, wait=wait)
    if part.problem:
        return refusal(OURS, part.problem, fault=part.fault)
    return refusal(status_of(_STOPPED), _STOPPED.message)


@asynccontextmanager
async def stopped_when_gone(request: Request, turn: Turn) -> AsyncIterator[None]:
    """Stop the answer as soon as whoever waits for it is gone."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        turn.stop()

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        turn.stop()


async def stop(turn: Turn) -> None:
    """Stop the answer unless it has ended."""
    turn.stop()


async def finished(turn: Turn) -> Part:
    """Wait for the answer."""
    version, done = -1, False
    parts: list[Part] = []
    while not done:
        version, parts, done = await turn.look(version, LOOK)
    return parts[0]


async def events(turn: Turn) -> AsyncIterator[str]:
    """Stream an answer as server-sent events: loading, passages, delta, finished or error."""
    version, done, sent, shown, told = -1, False, 0, False, False
    try:
        while not done:
            version, parts, done = await turn.look(version, LOOK)
            part = parts[0]
            if part.stage is Stage.LOADING and not told:
                told = True
                yield event("loading", {"text": WAKING})
            if part.passages and not shown:
                shown = True
                yield event("passages", [passage_json(passage) for passage in part.passages])
            if part.answer is None and len(part.text) > sent:
                yield event("delta", {"text": part.text[sent:]})
                sent = len(part.text)
        if part.stage is Stage.DONE:
            yield event("finished", as_json(part, turn))
        else:
            fault = {"id": part.fault} if part.fault else {}
            yield event("error", {"error": part.problem or _STOPPED.message, **fault})
    finally:
        turn.stop()


def event(name: str, data: Any) -> str:
    """Write one server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
