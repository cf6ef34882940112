"""Tables of `training`."""

import sqlalchemy as sa
from alembic import op

revision = "0004_training"
down_revision = "0003_assistant"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "training_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("dataset_name", sa.Text, nullable=False),
        sa.Column("dataset_sha256", sa.String(64), nullable=False),
        sa.Column(
            "job_id",
            sa.Integer,
            sa.ForeignKey("jobs.id", name="fk_training_runs_job_id", ondelete="SET NULL"),
        ),
        sa.Column(
            "account_id",
            sa.Integer,
            sa.ForeignKey("accounts.id", name="fk_training_runs_account_id", ondelete="SET NULL"),
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("metrics", sa.JSON),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_training_runs_name", "training_runs", ["name"])
    op.create_index("ix_training_runs_job_id", "training_runs", ["job_id"])
    op.create_table(
        "run_points",
        sa.Column(
            "run_id",
            sa.Integer,
            sa.ForeignKey("training_runs.id", name="fk_run_points_run_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Float, nullable=False),
        sa.Column("train_loss", sa.Float),
        sa.Column("validation_loss", sa.Float),
        sa.Column("reading_loss", sa.Float),
        sa.Column("learning_rate", sa.Float, nullable=False),
        sa.Column("tokens_per_second", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
    )
