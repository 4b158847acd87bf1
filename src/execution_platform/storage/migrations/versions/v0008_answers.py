"""Answers of callers to the calls of their own tools."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Expand."""
    op.add_column("run_approvals", sa.Column("answer", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo, for a database that nothing newer has written to."""
    op.drop_column("run_approvals", "answer")
