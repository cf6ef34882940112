"""Who may read text that was made from documents: the one place that decides.

Such text outlives its documents: in conversations, evaluations, reports. Whoever keeps it keeps
the numbers of the documents it was made from, and asks here before showing it. A number is never
given out twice, so it means the same document for ever. One that is stored is open to whom its
groups let in today; a deleted one to whom its last groups would; of a number that is neither
nothing is known, so it is open to nobody but those who read everything.
"""

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.database import Database, now
from core.permissions import Reader
from retrieval.tables import (
    DeletedDocumentRow,
    DocumentGroupRow,
    DocumentRow,
    PassageTextRow,
)

_AT_ONCE = 5_000
"""Databases limit how many values one statement may carry."""


class DocumentAccess:
    """Answers for text that lies outside the documents."""

    def __init__(self, database: Database) -> None:
        """Ask `database` every time: what changed counts from the next question on."""
        self._database = database

    def may_read(self, document_ids: Iterable[int], reader: Reader) -> bool:
        """Tell whether text made from all these documents is open to `reader`."""
        wanted = frozenset(document_ids)
        with self._database.session() as session:
            return wanted <= readable_documents(session, wanted, reader)


def readable_documents(
    session: Session, document_ids: Iterable[int], reader: Reader
) -> frozenset[int]:
    """Return those of the documents, stored or deleted, whose text is open to `reader`."""
    wanted = frozenset(document_ids)
    if reader.reads_everything or not wanted:
        return wanted
    known = _groups(session, sorted(wanted))
    return frozenset(number for number, groups in known.items() if reader.may_read(groups))


def deleted_among(session: Session, document_ids: Iterable[int]) -> frozenset[int]:
    """Return those of the documents that were deleted."""
    return frozenset(
        number
        for part in _parts(sorted(set(document_ids)))
        for number in session.scalars(
            select(DeletedDocumentRow.document_id).where(DeletedDocumentRow.document_id.in_(part))
        )
    )


def deleted_paths(session: Session) -> list[tuple[int, str]]:
    """Return number and path of every deleted document."""
    rows = session.execute(select(DeletedDocumentRow.document_id, DeletedDocumentRow.path))
    return [(number, path) for number, path in rows]


def record_deletion(session: Session, document_ids: Sequence[int]) -> None:
    """Note who might read documents that are about to be deleted, and drop their kept words.

    Must come first in the transaction that deletes: from here on nobody restricts these documents
    or keeps words of them.
    """
    for part in _parts(document_ids):
        # PostgreSQL holds the rows from the first statement on, SQLite everything from the second.
        rows = session.scalars(
            select(DocumentRow).where(DocumentRow.id.in_(part)).with_for_update()
        ).all()
        session.execute(delete(PassageTextRow).where(PassageTextRow.document_id.in_(part)))
        groups = _groups(session, part)
        session.add_all(
            DeletedDocumentRow(
                document_id=row.id, path=row.path, groups=sorted(groups[row.id]), deleted_at=now()
            )
            for row in rows
        )
    session.flush()


def _groups(session: Session, document_ids: Sequence[int]) -> dict[int, frozenset[str]]:
    """The groups of documents: today's, or the last; unknown numbers are missing."""
    found: dict[int, set[str]] = {}
    for part in _parts(document_ids):
        # One statement: a document that is deleted meanwhile must not seem to have no groups.
        stored = (
            select(DocumentRow.id, DocumentGroupRow.name)
            .outerjoin(DocumentGroupRow, DocumentGroupRow.document_id == DocumentRow.id)
            .where(DocumentRow.id.in_(part))
        )
        for number, name in session.execute(stored):
            found.setdefault(number, set()).update(() if name is None else (name,))
        deleted = select(DeletedDocumentRow).where(DeletedDocumentRow.document_id.in_(part))
        for row in session.scalars(deleted):
            found.setdefault(row.document_id, set(row.groups))
    return {number: frozenset(names) for number, names in found.items()}


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _AT_ONCE):
        yield numbers[start : start + _AT_ONCE]
