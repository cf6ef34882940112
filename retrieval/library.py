"""The documents that are stored: listing, reading, restricting, deleting."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, text, true
from sqlalchemy.orm import Session

from core.database import Database
from core.errors import NotFound
from core.permissions import Reader, group_names
from core.seals import file_hash
from core.workspace import Workspace, remove_folder
from retrieval.access import record_deletion
from retrieval.originals import Originals
from retrieval.origins import UNKNOWN, UPLOADS
from retrieval.tables import ChunkRow, ContentVersionRow, DocumentGroupRow, DocumentRow

EMPTY = "empty"
MOST_PARAMETERS = 10_000
"""Databases limit how many values one statement may carry."""


@dataclass(frozen=True)
class Document:
    """A file as ingested."""

    id: int
    path: str
    """Relative to the ingested folder; with the collection its identity."""
    title: str
    media_type: str
    size: int
    """Bytes of the original."""
    chunks: int
    groups: frozenset[str]
    """Who may read it; empty: everyone."""
    sha256: str
    ingested_at: datetime
    collection: str = UNKNOWN
    """Where it came from: a folder, a name, or the uploads."""
    shares_path: bool = False
    """Another document that the reader may read has the same path."""

    @property
    def place(self) -> str:
        """The collection as everyone may see it: of a folder the last part."""
        return PurePosixPath(self.collection).name if self.collection else "an earlier version"

    @property
    def label(self) -> str:
        """What to call it in lists: its path, and where that is not enough, where it came from."""
        return f"{self.path} ({self.place})" if self.shares_path else self.path


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, as shown when a source is opened."""

    id: int
    ordinal: int
    location: str
    text: str


def content_token(session: Session) -> str:
    """Identity of all that is searched."""
    token = session.scalar(select(ContentVersionRow.token).where(ContentVersionRow.id == 1))
    return token or EMPTY


def change_content(session: Session) -> None:
    """Give the content another identity: every process sees it at its next search.

    Random and not a counter: a database restored from a backup must not meet the
    index files of a later state under the same number.
    """
    session.merge(ContentVersionRow(id=1, token=uuid.uuid4().hex))


def readable_by(reader: Reader) -> ColumnElement[bool]:
    """Condition on `DocumentRow`: `Reader.may_read`, said in SQL."""
    if reader.reads_everything:
        return true()
    groups = select(DocumentGroupRow.document_id).where(
        DocumentGroupRow.document_id == DocumentRow.id
    )
    return or_(
        ~exists(groups), exists(groups.where(DocumentGroupRow.name.in_(sorted(reader.groups))))
    )


class Library:
    """All stored documents. Every reading method asks on whose behalf."""

    def __init__(self, database: Database, workspace: Workspace) -> None:
        """Originals lie in the workspace, all else in the database."""
        self._database = database
        self._workspace = workspace
        self._originals = Originals(workspace)

    def documents(
        self, reader: Reader, limit: int = 100, offset: int = 0, query: str = ""
    ) -> list[Document]:
        """Readable documents by path; `query` keeps those with it in path or title."""
        with self._database.session() as session:
            statement = select(DocumentRow).where(readable_by(reader))
            if query.strip():
                statement = statement.where(_named_like(query.strip()))
            rows = session.scalars(
                statement.order_by(DocumentRow.path, DocumentRow.id).limit(limit).offset(offset)
            ).all()
            return _documents(session, rows, reader)

    def uploaded(self, names: Iterable[str], reader: Reader) -> list[Document]:
        """Readable documents that an upload of one of these bare names may mean."""
        with self._database.session() as session:
            rows = session.scalars(
                select(DocumentRow)
                .where(
                    DocumentRow.path.in_(sorted(set(names))),
                    DocumentRow.collection.in_((UPLOADS, UNKNOWN)),
                    readable_by(reader),
                )
                .order_by(DocumentRow.path, DocumentRow.id)
            ).all()
            return _documents(session, rows, reader)

    def groups(self) -> list[str]:
        """All groups that documents are restricted to."""
        with self._database.session() as session:
            names = select(DocumentGroupRow.name).distinct().order_by(DocumentGroupRow.name)
            return list(session.scalars(names))

    def count(self, reader: Reader, query: str = "") -> int:
        """How many documents `documents` could list."""
        statement = select(func.count()).select_from(DocumentRow).where(readable_by(reader))
        if query.strip():
            statement = statement.where(_named_like(query.strip()))
        with self._database.session() as session:
            return session.scalar(statement) or 0

    def get(self, document_id: int, reader: Reader) -> Document:
        """One document.

        Raises:
            NotFound: not there, or not for this reader (who must not learn which).
        """
        with self._database.session() as session:
            row = _readable(session, document_id, reader)
            return _documents(session, [row], reader)[0]

    def chunks(self, document_id: int, reader: Reader) -> list[Chunk]:
        """A document's chunks in reading order. Raises `NotFound` as `get` does."""
        with self._database.session() as session:
            _readable(session, document_id, reader)
            rows = session.scalars(
                select(ChunkRow)
                .where(ChunkRow.document_id == document_id)
                .order_by(ChunkRow.ordinal)
            ).all()
            return [Chunk(row.id, row.ordinal, row.location, row.text) for row in rows]

    def chunk(self, chunk_id: int, reader: Reader) -> Chunk:
        """One chunk. Raises `NotFound` as `get` does."""
        with self._database.session() as session:
            row = session.scalar(
                select(ChunkRow)
                .join(DocumentRow, DocumentRow.id == ChunkRow.document_id)
                .where(ChunkRow.id == chunk_id, readable_by(reader))
            )
            if row is None:
                raise NotFound(
                    f"Passage {chunk_id} does not exist (any more): its document was changed or "
                    "deleted since, or is not open to you. Search again."
                )
            return Chunk(row.id, row.ordinal, row.location, row.text)

    def original(self, document_id: int, reader: Reader) -> Path:
        """The stored copy of the file. Raises `NotFound` as `get` does, or where it is lost."""
        with self._database.session() as session:
            row = _readable(session, document_id, reader)
        file = self._originals.find(document_id, row.sha256, row.path)
        if file is None:
            raise NotFound(
                f"The original of '{row.path}' is missing in the workspace. Ingest it again."
            )
        if file_hash(file) != row.sha256:
            raise NotFound(
                f"The original of '{row.path}' is not as it was stored: its file was changed or "
                "garbled. Delete the document and add the file again, or restore a backup."
            )
        return file

    def set_groups(self, document_id: int, groups: Iterable[str]) -> None:
        """Restrict a document to `groups`; none opens it to everyone.

        Raises:
            NotFound, InvalidInput: no such document; a name that cannot be.
        """
        names = group_names(groups)
        with self._database.session() as session:
            if session.get(DocumentRow, document_id) is None:
                raise _no_document(document_id)
            replace_groups(session, document_id, names)
            change_content(session)

    def delete(self, ids: Iterable[int]) -> int:
        """Delete documents with chunks, vectors, index entries and originals; return how many.

        Numbers that name nothing are passed over: deleting twice is no mistake.
        """
        wanted = sorted(set(ids))
        self._database.make_room()
        with self._database.session() as session:
            found = session.scalars(select(DocumentRow.id).where(DocumentRow.id.in_(wanted))).all()
            if found:
                delete_rows(session, found)
                change_content(session)
        for document_id in wanted:
            remove_folder(self._workspace.files / str(document_id))
        if found:
            forget_journal(self._database)
            self._workspace.forget_derived()
        return len(found)


def overwrite_deleted(session: Session) -> None:
    """Have SQLite overwrite what this transaction deletes; else the bytes stay in free pages."""
    if session.get_bind().dialect.name == "sqlite":
        session.execute(text("PRAGMA secure_delete=ON"))


def forget_journal(database: Database) -> None:
    """Fold SQLite's journal into the database: until then it still holds deleted pages."""
    if database.engine.dialect.name == "sqlite":
        with database.engine.connect() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))


def delete_rows(session: Session, ids: Sequence[int]) -> None:
    """Delete documents and what hangs on them, for good."""
    overwrite_deleted(session)
    record_deletion(session, ids)
    session.execute(delete(ChunkRow).where(ChunkRow.document_id.in_(ids)))
    session.execute(delete(DocumentGroupRow).where(DocumentGroupRow.document_id.in_(ids)))
    session.execute(delete(DocumentRow).where(DocumentRow.id.in_(ids)))


def replace_groups(session: Session, document_id: int, groups: frozenset[str]) -> None:
    """Make `groups` the groups of a document."""
    session.execute(delete(DocumentGroupRow).where(DocumentGroupRow.document_id == document_id))
    session.add_all(DocumentGroupRow(document_id=document_id, name=name) for name in sorted(groups))


def _named_like(query: str) -> ColumnElement[bool]:
    return or_(
        DocumentRow.path.icontains(query, autoescape=True),
        DocumentRow.title.icontains(query, autoescape=True),
    )


def _readable(session: Session, document_id: int, reader: Reader) -> DocumentRow:
    row = session.scalar(
        select(DocumentRow).where(DocumentRow.id == document_id, readable_by(reader))
    )
    if row is None:
        raise _no_document(document_id)
    return row


def _no_document(document_id: int) -> NotFound:
    return NotFound(
        f"There is no document {document_id}, or it is not open to you. "
        "`python -m retrieval list` and the Documents page show which there are."
    )


def _groups_of(session: Session, ids: Sequence[int]) -> dict[int, frozenset[str]]:
    found: dict[int, set[str]] = {}
    for start in range(0, len(ids), MOST_PARAMETERS):
        rows = session.execute(
            select(DocumentGroupRow.document_id, DocumentGroupRow.name).where(
                DocumentGroupRow.document_id.in_(ids[start : start + MOST_PARAMETERS])
            )
        )
        for document_id, name in rows:
            found.setdefault(document_id, set()).add(name)
    return {document_id: frozenset(names) for document_id, names in found.items()}


def _shared_paths(session: Session, paths: Iterable[str], reader: Reader) -> frozenset[str]:
    """Those of `paths` that several readable documents have."""
    wanted = sorted(set(paths))
    shared: set[str] = set()
    for start in range(0, len(wanted), MOST_PARAMETERS):
        shared.update(
            session.scalars(
                select(DocumentRow.path)
                .where(
                    DocumentRow.path.in_(wanted[start : start + MOST_PARAMETERS]),
                    readable_by(reader),
                )
                .group_by(DocumentRow.path)
                .having(func.count() > 1)
            )
        )
    return frozenset(shared)


def _documents(session: Session, rows: Sequence[DocumentRow], reader: Reader) -> list[Document]:
    groups = _groups_of(session, [row.id for row in rows])
    shared = _shared_paths(session, [row.path for row in rows], reader)
    return [
        Document(
            row.id, row.path, row.title, row.media_type, row.size, row.chunk_count,
            groups.get(row.id, frozenset()), row.sha256, row.ingested_at, row.collection,
            row.path in shared,
        )
        for row in rows
    ]  # fmt: skip
