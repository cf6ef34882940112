"""Where documents came from, one spelling of groups, and pauses between attempts of jobs."""

import hashlib
import unicodedata
from typing import Any

import sqlalchemy as sa
from alembic import op

from core.database import UtcDateTime

revision = "0012_documents"
down_revision = "0011_unfinished_answers"


def upgrade() -> None:
    """Change the tables."""
    _add_collections()
    _fold_document_groups()
    _fold_account_groups()
    op.add_column("jobs", sa.Column("failures", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("reached", sa.Float, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("retry_at", UtcDateTime))
    op.execute("ALTER TABLE jobs DROP COLUMN progressed")


def _add_collections() -> None:
    # Renamed, not made anew: SQLite would have to drop the table, and with it all chunks.
    op.execute("ALTER TABLE documents RENAME COLUMN path TO identity")
    given: Any = {"nullable": False, "server_default": ""}
    op.add_column("documents", sa.Column("collection", sa.Text, **given))
    op.add_column("documents", sa.Column("path", sa.String(1024), **given))
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT id, identity FROM documents ORDER BY id")).all()
    taken: set[str] = {path for _id, path in rows}
    for number, path in rows:
        composed = unicodedata.normalize("NFC", path)
        # Two documents whose names differ in their composition alone both keep their names.
        name = path if composed in taken - {path} else composed
        taken.add(name)
        values = {"id": number, "path": name, "identity": _identity(name)}
        connection.execute(
            sa.text("UPDATE documents SET path = :path, identity = :identity WHERE id = :id"),
            values,
        )


def _identity(path: str) -> str:
    return hashlib.sha256(f"\0{path}".encode()).hexdigest()


def _fold_document_groups() -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.text("SELECT document_id, name FROM document_groups")).all()
    folded = {(document, _fold(name)) for document, name in rows}
    if folded == {(document, name) for document, name in rows}:
        return
    connection.execute(sa.text("DELETE FROM document_groups"))
    connection.execute(
        sa.text("INSERT INTO document_groups (document_id, name) VALUES (:document, :name)"),
        [{"document": document, "name": name} for document, name in sorted(folded)],
    )


def _fold_account_groups() -> None:
    accounts = sa.table("accounts", sa.column("id", sa.Integer), sa.column("groups", sa.JSON))
    connection = op.get_bind()
    for number, groups in connection.execute(sa.select(accounts)).all():
        folded = sorted({_fold(name) for name in groups})
        if folded != groups:
            connection.execute(
                sa.update(accounts).where(accounts.c.id == number).values(groups=folded)
            )


def _fold(name: str) -> str:
    """A group's one spelling, as it is when this migration was written."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())[:200]
