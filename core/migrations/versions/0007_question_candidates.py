"""Proposed questions that wait for a person."""

import sqlalchemy as sa
from alembic import op

from core.database import UtcDateTime

revision = "0007_question_candidates"
down_revision = "0006_question_set_versions"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "eval_candidates",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("row", sa.JSON, nullable=False),
        sa.Column("about", sa.JSON, nullable=False),
        sa.Column("job_id", sa.Integer),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("decided_at", UtcDateTime),
        sa.Column("decided_by", sa.String(64), nullable=False),
        sa.UniqueConstraint("key", name="uq_eval_candidates_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_eval_candidates_state", "eval_candidates", ["state"])
    op.create_table(
        "eval_drafts",
        sa.Column("job_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("tried", sa.JSON, nullable=False),
        sa.Column("tally", sa.JSON, nullable=False),
    )
