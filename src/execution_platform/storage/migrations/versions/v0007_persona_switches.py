"""Personas that were switched at run time."""

import sqlalchemy as sa
from alembic import op

from execution_platform.storage.schema.columns import Moment

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Expand."""
    op.create_table(
        "persona_switches",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=200), server_default="", nullable=False),
        sa.Column("changed_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_persona_switches")),
    )


def downgrade() -> None:
    """Undo, for a database that nothing newer has written to."""
    op.drop_table("persona_switches")
