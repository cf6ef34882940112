"""Who may read the single answers of an evaluation, in pages, reports and comparisons alike.

Answers repeat the passages they were made from, questions the documents they were made from. So
rows are for those who may read every one of these documents, today or when it was deleted.
"""

from collections.abc import Sequence

from sqlalchemy import select

from core.errors import NotFound
from core.home import Home
from core.permissions import Reader
from eval.evidence import all_documents
from eval.questions import HeldOutQuestion
from eval.records import Records
from eval.scoring import same_document
from eval.tables import EvaluationRow
from retrieval.access import DocumentAccess, deleted_paths
from retrieval.library import Library

UNKNOWN = 0
"""No document's number: text of unknown origin, open to those who read everything."""


class RowAccess:
    """Answers for the evaluations of one installation."""

    def __init__(self, home: Home) -> None:
        """`home` is the opened installation."""
        self._database = home.database
        self._records = Records(home.database)
        self._access = DocumentAccess(home.database)

    def may_read(self, evaluation_id: int, reader: Reader) -> bool:
        """Tell whether the rows of an evaluation are open to `reader`."""
        return self._access.may_read(self._documents(evaluation_id), reader)

    def require(self, evaluation_id: int, reader: Reader) -> None:
        """Raise `NotFound` where rows rest on documents that `reader` may not read."""
        if not self.may_read(evaluation_id, reader):
            raise NotFound(
                "The single answers quote documents that you may not read. Ask an admin for them."
            )

    def _documents(self, evaluation_id: int) -> frozenset[int]:
        query = select(EvaluationRow.documents).where(EvaluationRow.id == evaluation_id)
        with self._database.session() as session:
            asked_about = session.scalar(query)
        # Not scored since it is known what the questions were made from, or not there.
        known = [UNKNOWN] if asked_about is None else asked_about
        return self._records.documents(evaluation_id).union(known)


def documents_of(home: Home, questions: Sequence[HeldOutQuestion]) -> list[int]:
    """Return the documents, stored or deleted, that questions quote; `UNKNOWN` for what is neither.

    Several documents of one name count all: which of them was meant is not certain.
    """
    known = [(one.id, one.path) for one in all_documents(Library(home.database, home.workspace))]
    with home.database.session() as session:
        known += deleted_paths(session)
    by_name: dict[str, list[tuple[int, str]]] = {}
    for number, path in known:
        by_name.setdefault(_name(path), []).append((number, path))
    found: set[int] = set()
    for file in {question.evidence_file for question in questions if question.evidence_file}:
        alike = by_name.get(_name(file), [])
        found.update([one for one, path in alike if same_document(path, file)] or [UNKNOWN])
    return sorted(found)


def _name(path: str) -> str:
    return path.strip("/").rpartition("/")[2]
