"""Documents as they were read: the page a citation opens, and the original file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response

from assistant.conversations import Conversations
from core.errors import NotFound
from core.permissions import Account, reader_of, require_account
from core.values import Id
from retrieval.evidence import highlights
from retrieval.library import Chunk
from retrieval.sentences import Span
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
    runs: tuple[tuple[str, bool], ...] = ()
    """Of a marked stretch: its text in pieces, and whether the answer was made from each."""

    @property
    def is_precise(self) -> bool:
        """Whether single sentences of it are marked."""
        return any(said for _, said in self.runs)


def paragraphs(chunks: Sequence[Chunk], marked: int | None, evidence: str = "") -> list[Paragraph]:
    """Lay chunks out as a text to read: overlaps appear once, the marked chunk whole.

    Args:
        chunks: of one document, in order.
        marked: id of the chunk that is cited.
        evidence: what an answer was given of that chunk; '' where it is not known.
    """
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
            runs = pieces(text, highlights(text, evidence)) if chunk.id == marked else ()
            result.append(Paragraph(shown, text.strip("\n"), chunk.id == marked, runs))
        location = chunk.location
    return result


def pieces(text: str, spans: Sequence[Span]) -> tuple[tuple[str, bool], ...]:
    """Cut `text` at `spans`, which are ordered and apart: pieces, and whether each is a span."""
    found: list[tuple[str, bool]] = []
    at = 0
    for start, end in spans:
        found += [(text[at:start], False), (text[start:end], True)]
        at = end
    found.append((text[at:], False))
    first, last = found[0], found[-1]
    found[0] = (first[0].lstrip("\n"), first[1])
    found[-1] = (found[-1][0].rstrip("\n"), last[1])
    return tuple(piece for piece in found if piece[0])


def overlap(before: str, after: str) -> int:
    """Return how many characters at the start of `after` repeat the end of `before`."""
    for length in range(min(len(before), len(after), _LONGEST_OVERLAP), 0, -1):
        if before.endswith(after[:length]):
            return length
    return 0


def source_router(retrieval: Retrieval, conversations: Conversations) -> APIRouter:
    """Return the routes `/source/…`, `/document/…` and `/original/…`."""
    router = APIRouter()
    library = retrieval.library

    def shown(
        account: Account, document_id: int, chunk_id: int | None, answer_id: int | None = None
    ) -> Response:
        reader = reader_of(account)
        document = library.get(document_id, reader)
        chunks = library.chunks(document_id, reader)
        gone = chunk_id is not None and chunk_id not in {chunk.id for chunk in chunks}
        said = _given(conversations, account, answer_id, chunk_id)
        html = page(
            "source.html", header=header(account, "/documents"), document=document,
            parts=paragraphs(chunks, chunk_id, said), gone=gone,
        )  # fmt: skip
        return HTMLResponse(html)

    @router.get("/source/{chunk_id}")
    def source(request: Request, chunk_id: Id, document: Id, answer: Id | None = None) -> Response:
        return shown(require_account(request.state.account), document, chunk_id, answer)

    @router.get("/document/{document_id}")
    def document(request: Request, document_id: Id) -> Response:
        return shown(require_account(request.state.account), document_id, None)

    @router.get("/original/{document_id}")
    def original(request: Request, document_id: Id) -> Response:
        account = require_account(request.state.account)
        reader = reader_of(account)
        found = library.get(document_id, reader)
        path = library.original(document_id, reader)
        # Always as a download: a stored HTML file must not run as one of our pages.
        return FileResponse(
            path, filename=PurePosixPath(found.path).name, media_type="application/octet-stream"
        )

    return router


def _given(
    conversations: Conversations, account: Account, answer_id: int | None, chunk_id: int | None
) -> str:
    """What one of the account's answers was given of a chunk; '' where that is not known."""
    if answer_id is None or chunk_id is None:
        return ""
    try:
        passages = conversations.answer(answer_id, account).passages
    except NotFound:
        # The source may be open to this account although the answer is not.
        return ""
    return next((one.text for one in passages if one.chunk_id == chunk_id), "")
