"""Question sets: numbered versions, each with who made it and what changed."""

import sqlalchemy as sa
from alembic import op

revision = "0006_question_set_versions"
down_revision = "0005_eval"


def upgrade() -> None:
    """Add the columns; what is there becomes versions 1, 2, … of its name by age."""
    with op.batch_alter_table("eval_question_sets") as table:
        table.add_column(sa.Column("number", sa.Integer, nullable=True))
        table.add_column(sa.Column("author", sa.String(64), nullable=False, server_default=""))
        table.add_column(sa.Column("change", sa.String(200), nullable=False, server_default=""))
    op.execute(
        "UPDATE eval_question_sets SET number = (SELECT COUNT(*) FROM eval_question_sets AS older "
        "WHERE older.name = eval_question_sets.name AND older.id <= eval_question_sets.id)"
    )
    with op.batch_alter_table("eval_question_sets") as table:
        table.drop_constraint("uq_eval_question_sets_name", type_="unique")
        table.create_unique_constraint("uq_eval_question_sets_number", ["name", "number"])
        table.alter_column("number", existing_type=sa.Integer, nullable=False)
        table.alter_column("author", existing_type=sa.String(64), server_default=None)
        table.alter_column("change", existing_type=sa.String(200), server_default=None)
