"""Documents as they were read: the page a citation opens, and the original file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from core.permissions import Account, reader_of, require_account
from retrieval.library import Chunk
from retrieval.service import Retrieval
from ui.markup import page
from ui.shell import header

_LONGEST_OVERLAP = 2000


@dataclass(frozen=True)
class Paragraph:
    """A stretch of a document; `location` only where it changes."""

    location: str
    text: str
    marked: bool


def paragraphs(chunks: Sequence[Chunk], marked: int | None) -> list[Paragraph]:
    """Lay chunks out as a text to read: overlaps appear once, the marked chunk whole."""
    result: list[Paragraph] = []
    location = ""
    for index, chunk in enumerate(chunks):
        text = chunk.text
        if chunk.id != marked and index > 0:
            text = text[overlap(chunks[index - 1].text, text) :]
        if chunk.id != marked and index + 1 < len(chunks) and chunks[index + 1].id == marked:
            text = text[: len(text) - overlap(text, chunks[index + 1].text)]
        if text.strip():
            shown = chunk.location if chunk.location != location else ""
            result.append(Paragraph(shown, text.strip("\n"), chunk.id == marked))
        location = chunk.location
    return result


def overlap(before: str, after: str) -> int:
    """Return how many characters at the start of `after` repeat the end of `before`."""
    for length in range(min(len(before), len(after), _LONGEST_OVERLAP), 0, -1):
        if before.endswith(after[:length]):
            return length
    return 0


def source_router(retrieval: Retrieval) -> APIRouter:
    """Return the routes `/source/…`, `/document/…` and `/original/…`."""
    router = APIRouter()
    library = retrieval.library

    def shown(account: Account, document_id: int, chunk_id: int | None) -> Response:
        reader = reader_of(account)
        document = library.get(document_id, reader)
        chunks = library.chunks(document_id, reader)
        gone = chunk_id is not None and chunk_id not in {chunk.id for chunk in chunks}
        html = page(
            "source.html", header=header(account, "/documents"), document=document,
            parts=paragraphs(chunks, chunk_id), gone=gone,
        )  # fmt: skip
        return HTMLResponse(html)

    @router.get("/source/{chunk_id}")
    def source(request: Request, chunk_id: int, document: int) -> Response:
        return shown(require_account(request.state.account), document, chunk_id)

    @router.get("/document/{document_id}")
    def document(request: Request, document_id: int) -> Response:
        return shown(require_account(request.state.account), document_id, None)

    @router.get("/original/{document_id}")
    def original(request: Request, document_id: int) -> Response:
        account = require_account(request.state.account)
        reader = reader_of(account)
        found = library.get(document_id, reader)
        path = library.original(document_id, reader)
        # Always as a download: a stored HTML file must not run as one of our pages.
        return FileResponse(
            path, filename=PurePosixPath(found.path).name, media_type="application/octet-stream"
        )

    return router
