"""Tables of `eval`."""

import sqlalchemy as sa
from alembic import op

from core.database import UtcDateTime

revision = "0005_eval"
down_revision = "0004_training"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "eval_question_sets",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("questions", sa.JSON, nullable=False),
        sa.Column("warnings", sa.JSON, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("name", "version", name="uq_eval_question_sets_name"),
    )
    op.create_table(
        "eval_evaluations",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("questions", sa.JSON, nullable=False),
        sa.Column("question_sets", sa.JSON, nullable=False),
        sa.Column("arms", sa.JSON, nullable=False),
        sa.Column("summary", sa.JSON),
        sa.Column("warnings", sa.JSON, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("account_id", sa.Integer),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
    )
    op.create_table(
        "eval_answers",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("configuration", sa.String(64), nullable=False),
        sa.Column("question_hash", sa.String(64), nullable=False),
        sa.Column("answer", sa.JSON),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.UniqueConstraint("configuration", "question_hash", name="uq_eval_answers_configuration"),
    )
    op.create_table(
        "eval_scores",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("evaluation_id", sa.Integer, nullable=False),
        sa.Column("arm", sa.String(200), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("answer_id", sa.Integer, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("diagnosis", sa.String(40), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["eval_evaluations.id"],
            name="fk_eval_scores_evaluation_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["eval_answers.id"], name="fk_eval_scores_answer_id"
        ),
        sa.UniqueConstraint("evaluation_id", "arm", "ordinal", name="uq_eval_scores_row"),
    )
    op.create_table(
        "eval_gate_decisions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("adapter", sa.String(200), nullable=False),
        sa.Column("allowed", sa.Boolean, nullable=False),
        sa.Column("overridden", sa.Boolean, nullable=False),
        sa.Column("findings", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("account_id", sa.Integer),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
