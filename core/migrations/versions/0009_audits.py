"""Table of the model audits."""

import sqlalchemy as sa
from alembic import op

from core.database import UtcDateTime

revision = "0009_audits"
down_revision = "0008_watch"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "eval_audits",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("models", sa.JSON, nullable=False),
        sa.Column("question_set_ids", sa.JSON, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("results", sa.JSON, nullable=False),
        sa.Column("evaluations", sa.JSON, nullable=False),
        sa.Column("account_id", sa.Integer),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
    )
