"""Kept responses."""

import sqlalchemy as sa
from alembic import op

from execution_platform.storage.schema.columns import Moment
from execution_platform.storage.schema.walls import wall

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Expand."""
    op.create_table(
        "responses",
        sa.Column("tenant", sa.String(length=200), server_default="default", nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=200), server_default="", nullable=False),
        sa.Column("previous_id", sa.String(length=64), nullable=True),
        sa.Column("input", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", "tenant", name=op.f("pk_responses")),
    )
    op.create_index("ix_responses_tenant_created_at", "responses", ["tenant", "created_at"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        for statement in wall("responses", "tenant"):
            op.execute(statement)


def downgrade() -> None:
    """Undo, for a database that nothing newer has written to."""
    op.drop_table("responses")
