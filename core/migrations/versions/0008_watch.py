"""Tables of the scheduled re-evaluation: settings, what it started, alarms."""

import sqlalchemy as sa
from alembic import op

from core.database import UtcDateTime

revision = "0008_watch"
down_revision = "0007_question_candidates"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "eval_watch",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("question_set_ids", sa.JSON, nullable=False),
        sa.Column("modes", sa.JSON, nullable=False),
        sa.Column("on_change", sa.Boolean, nullable=False),
        sa.Column("every_days", sa.Integer, nullable=False),
        sa.Column("floors", sa.JSON, nullable=False),
        sa.Column("account_id", sa.Integer),
        sa.Column("updated_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "eval_watched",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("evaluation_id", sa.Integer, nullable=False),
        sa.Column("job_id", sa.Integer),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("judged", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["eval_evaluations.id"],
            name="fk_eval_watched_evaluation_id",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "eval_alarms",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("evaluation_id", sa.Integer, nullable=False),
        sa.Column("before_id", sa.Integer),
        sa.Column("mode", sa.String(200), nullable=False),
        sa.Column("finding", sa.Text, nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("closed_by", sa.Integer),
        sa.Column("closed_at", UtcDateTime),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["eval_evaluations.id"],
            name="fk_eval_alarms_evaluation_id",
            ondelete="CASCADE",
        ),
    )
