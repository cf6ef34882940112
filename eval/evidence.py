"""Documents of the workspace as evidence: their text, and the chunk that holds a quote."""

from collections.abc import Sequence

from core.permissions import OPERATOR
from eval.metrics import holds_quote
from eval.questions import HeldOutQuestion
from eval.scoring import same_document
from eval.texts import strip_markup
from retrieval.library import Chunk, Document, Library
from retrieval.passages import Passage

PAGE = 500


class EvidenceSource:
    """Reads documents once each."""

    def __init__(self, library: Library) -> None:
        """`library` holds the documents."""
        self._library = library
        self._documents: list[Document] | None = None
        self._chunks: dict[int, Sequence[Chunk]] = {}

    def document_of(self, evidence_file: str) -> Document | None:
        """The document a question set means by `evidence_file`, or None if it is not here."""
        if self._documents is None:
            self._documents = all_documents(self._library)
        return next((d for d in self._documents if same_document(d.path, evidence_file)), None)

    def text_of(self, evidence_file: str) -> str | None:
        """All text of a document, or None if it is not here."""
        document = self.document_of(evidence_file)
        if document is None:
            return None
        return "\n".join(chunk.text for chunk in self._chunks_of(document))

    def right_passage(self, question: HeldOutQuestion) -> Passage | None:
        """The chunk that holds the evidence; the bare quote if no chunk does; None without one."""
        if not question.evidence_quote:
            return None
        document = self.document_of(question.evidence_file)
        if document is None:
            text = strip_markup(question.evidence_quote)
            return Passage(0, 0, question.evidence_file, question.evidence_file, "", text, 1.0)
        chunks = self._chunks_of(document)
        for chunk in chunks:
            if holds_quote(chunk.text, question.evidence_quote):
                return _passage(document, chunk, chunk.text)
        for chunk in chunks:
            if holds_quote(chunk.text, question.evidence_quote, same_document=True):
                return _passage(document, chunk, chunk.text)
        text = strip_markup(question.evidence_quote)
        return Passage(0, document.id, document.path, document.title, "", text, 1.0)

    def _chunks_of(self, document: Document) -> Sequence[Chunk]:
        if document.id not in self._chunks:
            self._chunks[document.id] = self._library.chunks(document.id, OPERATOR)
        return self._chunks[document.id]


def all_documents(library: Library) -> list[Document]:
    """Every document, by path."""
    documents: list[Document] = []
    while True:
        page = library.documents(OPERATOR, PAGE, len(documents), "")
        documents += page
        if len(page) < PAGE:
            return documents


def _passage(document: Document, chunk: Chunk, text: str) -> Passage:
    return Passage(chunk.id, document.id, document.path, document.title, chunk.location, text, 1.0)
