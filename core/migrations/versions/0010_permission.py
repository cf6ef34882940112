"""Text that was made from documents names them; words of passages go with their document."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from core.database import UtcDateTime

revision = "0010_permission"
down_revision = "0009_audits"

BATCH = 200


def upgrade() -> None:
    """Create the tables, add the columns, and move what is stored."""
    if op.get_bind().dialect.name == "sqlite":
        # What is moved must not stay readable in free pages.
        op.execute("PRAGMA secure_delete=ON")
    op.create_table(
        "deleted_documents",
        sa.Column("document_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("deleted_at", UtcDateTime, nullable=False),
    )
    words = op.create_table(
        "passage_texts",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("document_id", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("ix_passage_texts_document_id", "passage_texts", ["document_id"])
    for table in ("answers", "eval_answers"):
        # Whoever forgets to say what a text was made from shuts it: 0 is no document's number.
        op.add_column(table, sa.Column("documents", sa.JSON, nullable=False, server_default="[0]"))
    # NULL: which documents the questions were made from is not known until it is scored again.
    op.add_column("eval_evaluations", sa.Column("documents", sa.JSON(none_as_null=True)))
    mover = _Mover(op.get_bind(), words)
    mover.move_conversations()
    mover.move_evaluations()


class _Mover:
    """Takes the words of passages out of what is stored, document by document."""

    def __init__(self, connection: sa.Connection, words: sa.Table) -> None:
        self._connection = connection
        self._words = words
        documents = sa.table("documents", sa.column("id"))
        self._stored = set(connection.scalars(sa.select(documents.c.id)))
        self._known: set[str] = set()

    def move_conversations(self) -> None:
        """An answer may repeat what was said before it in its conversation and mode."""
        turns = sa.table("turns", sa.column("id"), sa.column("conversation_id"))
        answers = sa.table(
            "answers", sa.column("id"), sa.column("turn_id"), sa.column("mode"),
            sa.column("passages", sa.JSON), sa.column("documents", sa.JSON),
        )  # fmt: skip
        said: dict[tuple[int, str], set[int]] = {}
        query = sa.select(
            answers.c.id, turns.c.conversation_id, answers.c.mode, answers.c.passages
        ).join_from(answers, turns, answers.c.turn_id == turns.c.id)
        for row in self._rows(query, answers.c.id):
            before = said.setdefault((row.conversation_id, row.mode), set())
            before |= {one["document_id"] for one in row.passages}
            self._connection.execute(
                answers.update()
                .where(answers.c.id == row.id)
                .values(passages=self._kept(row.passages), documents=sorted(before))
            )

    def move_evaluations(self) -> None:
        """Answers of evaluations were made without a history."""
        answers = sa.table(
            "eval_answers", sa.column("id"), sa.column("answer", sa.JSON(none_as_null=True)),
            sa.column("documents", sa.JSON),
        )  # fmt: skip
        self._connection.execute(answers.update().values(documents=[]))
        query = sa.select(answers.c.id, answers.c.answer)
        for row in self._rows(query, answers.c.id):
            passages = (row.answer or {}).get("passages")
            if passages:
                documents = sorted({one["document_id"] for one in passages})
                answer = {**row.answer, "passages": self._kept(passages)}
                self._connection.execute(
                    answers.update()
                    .where(answers.c.id == row.id)
                    .values(answer=answer, documents=documents)
                )

    def _rows(self, query: sa.Select[Any], number: sa.ColumnElement[Any]) -> Iterator[Any]:
        """In the order of their numbers, a few at a time."""
        last = 0
        while True:
            page = query.where(number > last).order_by(number).limit(BATCH)
            rows = self._connection.execute(page).all()
            yield from rows
            if len(rows) < BATCH:
                return
            last = rows[-1].id

    def _kept(self, passages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kept, new = [], []
        for one in passages:
            words = [one[name] for name in ("document_id", "document", "title", "location", "text")]
            digest = hashlib.sha256(json.dumps(words).encode()).hexdigest()
            kept.append({**{name: one[name] for name in ("chunk_id", "document_id", "score")},
                         "words": digest})  # fmt: skip
            # Words of a document that was deleted before are not kept; 0 is a bare quotation.
            here = one["document_id"] == 0 or one["document_id"] in self._stored
            if here and digest not in self._known:
                self._known.add(digest)
                new.append({"digest": digest, **{name: one[name] for name in (
                    "document_id", "document", "title", "location", "text")}})  # fmt: skip
        if new:
            self._connection.execute(self._words.insert(), new)
        return kept
