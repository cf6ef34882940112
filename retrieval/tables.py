"""Tables of `retrieval`: the truth that the index files are derived from."""

import hashlib
from datetime import datetime

from sqlalchemy import (
    JSON,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.database import Base, UtcDateTime

# Numbers are never given out twice: a stored citation must not come to mean another chunk.
NEVER_REUSE_IDS = {"sqlite_autoincrement": True}


def identity_of(collection: str, path: str) -> str:
    """What tells a document from all others: a digest, since an index holds no long names."""
    return hashlib.sha256(f"{collection}\0{path}".encode()).hexdigest()


class DocumentRow(Base):
    """One ingested file."""

    __tablename__ = "documents"
    __table_args__ = (UniqueConstraint("identity", name="uq_documents_path"), NEVER_REUSE_IDS)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    identity: Mapped[str] = mapped_column(String(1024))
    """`identity_of` collection and path."""
    collection: Mapped[str] = mapped_column(Text)
    path: Mapped[str] = mapped_column(String(1024))
    title: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(String(100))
    size: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    recipe: Mapped[str] = mapped_column(String(200))
    embedder: Mapped[str] = mapped_column(String(200))
    chunk_count: Mapped[int] = mapped_column(Integer)
    ingested_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DocumentGroupRow(Base):
    """A group that may read a document; a document without any is for everyone."""

    __tablename__ = "document_groups"

    document_id: Mapped[int] = mapped_column(
        ForeignKey("documents.id", name="fk_document_groups_document", ondelete="CASCADE"),
        primary_key=True,
    )
    name: Mapped[str] = mapped_column(String(200), primary_key=True)


class ChunkRow(Base):
    """A piece of a document with its vector (float32, little-endian)."""

    __tablename__ = "chunks"
    __table_args__ = (
        UniqueConstraint("document_id", "ordinal", name="uq_chunks_document_ordinal"),
        Index("ix_chunks_document_id", "document_id"),
        NEVER_REUSE_IDS,
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    document_id: Mapped[int] = mapped_column(
        ForeignKey("documents.id", name="fk_chunks_document", ondelete="CASCADE")
    )
    ordinal: Mapped[int] = mapped_column(Integer)
    location: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class DeletedDocumentRow(Base):
    """Who might read a document when it was deleted: text made from it outlives it."""

    __tablename__ = "deleted_documents"

    document_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(String(1024))
    groups: Mapped[list[str]] = mapped_column(JSON)
    """Empty: everyone."""
    deleted_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PassageTextRow(Base):
    """The words of a passage that an answer was given; they go when their document goes.

    No foreign key: what was read may be kept although its document changed or came from elsewhere.
    """

    __tablename__ = "passage_texts"
    __table_args__ = (Index("ix_passage_texts_document_id", "document_id"),)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    document_id: Mapped[int] = mapped_column(Integer)
    document: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    location: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)


class ContentVersionRow(Base):
    """A single row whose token changes with everything that is searched."""

    __tablename__ = "content_version"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    token: Mapped[str] = mapped_column(String(32))
