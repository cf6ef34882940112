"""Weights of promoted adapters, and names that unfinished training runs hold."""

import sqlalchemy as sa
from alembic import op

revision = "0014_names_and_weights"
down_revision = "0013_guessing"


def upgrade() -> None:
    """Add the columns; of unfinished runs of one name the newest holds it."""
    op.add_column(
        "adapter_promotions",
        sa.Column("weights_sha256", sa.String(64), nullable=False, server_default=""),
    )
    op.add_column("training_runs", sa.Column("reserved", sa.String(64)))
    runs = sa.table(
        "training_runs", sa.column("id"), sa.column("name"), sa.column("finished_at"),
        sa.column("reserved"),
    )  # fmt: skip
    newest = (
        sa.select(sa.func.max(runs.c.id)).where(runs.c.finished_at.is_(None)).group_by(runs.c.name)
    )
    op.execute(
        sa.update(runs).where(runs.c.id.in_(newest.scalar_subquery())).values(reserved=runs.c.name)
    )
    op.create_index("uq_training_runs_reserved", "training_runs", ["reserved"], unique=True)
