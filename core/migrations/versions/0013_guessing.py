"""Failed sign-ins by name and by address, and the addresses an account is known to use."""

import sqlalchemy as sa
from alembic import op

from core.database import UtcDateTime

revision = "0013_guessing"
down_revision = "0012_documents"


def upgrade() -> None:
    """Replace the table of failures, and take known addresses from sessions that are open."""
    op.drop_table("sign_in_failures")
    op.create_table(
        "sign_in_failures",
        sa.Column("name_sha256", sa.String(64), primary_key=True),
        sa.Column("address", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_sign_in_failures_last_at", "sign_in_failures", ["last_at"])
    op.create_table(
        "familiar_addresses",
        sa.Column(
            "account_id",
            sa.Integer,
            sa.ForeignKey(
                "accounts.id", name="fk_familiar_addresses_account_id", ondelete="CASCADE"
            ),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("address", sa.String(64), primary_key=True),
        sa.Column("last_at", UtcDateTime, nullable=False),
    )
    op.execute(
        "INSERT INTO familiar_addresses (account_id, address, last_at) "
        "SELECT account_id, address, max(created_at) FROM sessions GROUP BY account_id, address"
    )
