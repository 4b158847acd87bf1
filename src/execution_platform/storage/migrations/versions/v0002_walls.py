"""The audit trail is append-only, and PostgreSQL keeps tenants apart."""

from alembic import op

from execution_platform.storage.schema.walls import FIRST_WALLED, raise_walls, raze_walls

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Expand."""
    raise_walls(op.get_bind(), FIRST_WALLED)


def downgrade() -> None:
    """Undo, for a database that nothing newer has written to."""
    raze_walls(op.get_bind(), FIRST_WALLED)
