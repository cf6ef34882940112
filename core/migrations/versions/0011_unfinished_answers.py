"""Answers that are stored before they are finished."""

import sqlalchemy as sa
from alembic import op

revision = "0011_unfinished_answers"
down_revision = "0010_permission"


def upgrade() -> None:
    """Add the mark; all answers there are were finished."""
    op.add_column(
        "answers", sa.Column("unfinished", sa.Boolean, nullable=False, server_default=sa.false())
    )
