"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Expand."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Undo, for a database that nothing newer has written to."""
    ${downgrades if downgrades else "pass"}
