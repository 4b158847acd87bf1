"""Requests under idempotency keys, and their answers."""

import sqlalchemy as sa
from alembic import op

from execution_platform.storage.schema.columns import Moment
from execution_platform.storage.schema.walls import wall

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Expand."""
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("lease_until", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "subject", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_owner", "idempotency_keys", ["owner"], unique=False)
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        for statement in wall("idempotency_keys", "tenant"):
            op.execute(statement)


def downgrade() -> None:
    """Undo, for a database that nothing newer has written to."""
    op.drop_table("idempotency_keys")
