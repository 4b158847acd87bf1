"""Agent runs, their journal, events and approvals."""

import sqlalchemy as sa
from alembic import op

from execution_platform.storage.schema.columns import Moment
from execution_platform.storage.schema.walls import wall

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Expand."""
    sequence = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=200), server_default="default", nullable=False),
        sa.Column("owner", sa.String(length=200), server_default="", nullable=False),
        sa.Column("persona", sa.String(length=200), server_default="", nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("model", sa.String(length=400), nullable=True),
        sa.Column("steps", sa.Integer(), server_default="0", nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cost_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cancel", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("worker", sa.String(length=128), nullable=True),
        sa.Column("leased_until", Moment(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("finished_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_tenant_created_at", "runs", ["tenant", "created_at"], unique=False)
    op.create_index("ix_runs_status", "runs", ["status"], unique=False)
    op.create_table(
        "run_journal",
        sa.Column("seq", sequence, sa.Identity(), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=128), server_default="", nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_run_journal")),
        sa.UniqueConstraint(
            "run_id", "path", "turn", "place", "kind", name=op.f("uq_run_journal_run_id_path_turn_place_kind")
        ),
    )
    op.create_table(
        "run_events",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "first", name=op.f("pk_run_events")),
    )
    op.create_table(
        "run_approvals",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("call_key", sa.String(length=256), nullable=False),
        sa.Column("seal", sa.String(length=64), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=True),
        sa.Column("decided_by", sa.String(length=200), nullable=True),
        sa.Column("decided_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "call_key", "seal", name=op.f("pk_run_approvals")),
    )
    if op.get_bind().dialect.name == "postgresql":
        for statement in wall("runs", "tenant"):
            op.execute(statement)


def downgrade() -> None:
    """Undo, for a database that nothing newer has written to."""
    op.drop_table("run_approvals")
    op.drop_table("run_events")
    op.drop_table("run_journal")
    op.drop_table("runs")
