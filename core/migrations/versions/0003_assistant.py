"""Tables of `assistant`."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0003_assistant"
down_revision = "0002_retrieval"


def upgrade() -> None:
    """Create the tables."""
    _conversations()
    _answers()
    _feedback()
    op.create_table(
        "adapter_promotions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("adapter", sa.String(64)),
        _owner("adapter_promotions", "SET NULL", nullable=True),
        sa.Column("reason", sa.Text, nullable=False),
        _moment("created_at"),
        sqlite_autoincrement=True,
    )


def _conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Integer, primary_key=True),
        _owner("conversations", "CASCADE"),
        sa.Column("title", sa.String(200), nullable=False),
        _moment("created_at"),
        _moment("updated_at"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_conversations_account_id", "conversations", ["account_id", "updated_at"])
    op.create_table(
        "turns",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "conversation_id",
            sa.Integer,
            sa.ForeignKey("conversations.id", name="fk_turns_conversation_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("question", sa.Text, nullable=False),
        _moment("created_at"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_turns_conversation_id", "turns", ["conversation_id"])


def _answers() -> None:
    op.create_table(
        "answers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "turn_id",
            sa.Integer,
            sa.ForeignKey("turns.id", name="fk_answers_turn_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("adapter", sa.String(64)),
        sa.Column("cited", sa.JSON, nullable=False),
        sa.Column("passages", sa.JSON, nullable=False),
        sa.Column("provenance", sa.JSON, nullable=False),
        sa.Column("timing", sa.JSON, nullable=False),
        sa.Column("cut_off", sa.Boolean, nullable=False),
        _moment("created_at"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_answers_turn_id", "answers", ["turn_id"])


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "answer_id",
            sa.Integer,
            sa.ForeignKey("answers.id", name="fk_feedback_answer_id", ondelete="CASCADE"),
            nullable=False,
        ),
        _owner("feedback", "CASCADE"),
        sa.Column("rating", sa.Integer, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        _moment("created_at"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_feedback_answer_id_account_id", "feedback", ["answer_id", "account_id"], unique=True
    )


def _owner(table: str, on_delete: str, *, nullable: bool = False) -> sa.Column[int]:
    key = sa.ForeignKey("accounts.id", name=f"fk_{table}_account_id", ondelete=on_delete)
    return sa.Column("account_id", sa.Integer, key, nullable=nullable)


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)
