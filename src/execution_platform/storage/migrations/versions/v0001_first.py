"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from execution_platform.storage.schema.columns import Moment

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Expand."""
    _money()
    _budget_tables()
    _access()
    _keys()
    _operations()


def downgrade() -> None:
    """Undo, for a database that nothing newer has written to."""
    op.drop_table("webhook_outbox")
    op.drop_table("alerts")
    op.drop_table("requests")
    op.drop_table("audit_log")
    op.drop_table("gateway_keys")
    op.drop_table("users")
    op.drop_table("tenants")
    op.drop_table("budget_leases")
    op.drop_table("budget_windows")
    op.drop_table("budgets")
    op.drop_table("pricing_table")
    op.drop_table("reservations")
    op.drop_table("cost_rollups")
    op.drop_table("cost_events")


def _money() -> None:
    _cost_events()
    _cost_rollups()
    _reservations()
    _pricing_table()


def _cost_events() -> None:
    op.create_table(
        "cost_events",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("tenant", sa.String(length=200), server_default="default", nullable=False),
        sa.Column("team", sa.String(length=200), server_default="", nullable=False),
        sa.Column("key_id", sa.String(length=200), server_default="", nullable=False),
        sa.Column("persona", sa.String(length=200), server_default="", nullable=False),
        sa.Column("run_id", sa.String(length=200), server_default="", nullable=False),
        sa.Column("provider", sa.String(length=200), server_default="", nullable=False),
        sa.Column("model", sa.String(length=200), server_default="", nullable=False),
        sa.Column("operation", sa.String(length=32), server_default="chat", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="1", nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("confidence", sa.String(length=20), nullable=False),
        sa.Column("arm", sa.String(length=200), server_default="", nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("input_audio_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_audio_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("units", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("cost_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "cost_usd",
            sa.Numeric(precision=20, scale=9),
            sa.Computed("cost_nanos * 0.000000001", persisted=True),
            nullable=True,
        ),
        sa.Column("price_version", sa.String(length=200), server_default="", nullable=False),
        sa.Column("config_version", sa.String(length=200), server_default="", nullable=False),
        sa.Column("error", sa.String(length=64), nullable=True),
        sa.Column("timestamp", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_cost_events")),
        sa.UniqueConstraint("id", name=op.f("uq_cost_events_id")),
    )
    op.create_index("ix_cost_events_request_id", "cost_events", ["request_id"], unique=False)
    op.create_index("ix_cost_events_timestamp", "cost_events", ["timestamp"], unique=False)
    # ### end Alembic commands ###


def _cost_rollups() -> None:
    op.create_table(
        "cost_rollups",
        sa.Column("grain", sa.String(length=1), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("team", sa.String(length=200), nullable=False),
        sa.Column("key_id", sa.String(length=200), nullable=False),
        sa.Column("persona", sa.String(length=200), nullable=False),
        sa.Column("provider", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("requests", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cost_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("estimated_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unpriced", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint(
            "grain", "bucket", "tenant", "team", "key_id", "persona", "provider", "model", name=op.f("pk_cost_rollups")
        ),
    )
    op.create_index("ix_cost_rollups_tenant", "cost_rollups", ["tenant", "grain", "bucket"], unique=False)
    # ### end Alembic commands ###


def _reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("worker", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant", sa.String(length=200), server_default="default", nullable=False),
        sa.Column("hold_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("hold_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", Moment(), nullable=False),
        sa.Column("record", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
    )
    op.create_index("ix_reservations_lease_until", "reservations", ["lease_until"], unique=False)
    # ### end Alembic commands ###


def _pricing_table() -> None:
    op.create_table(
        "pricing_table",
        sa.Column("provider", sa.String(length=200), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("effective_date", sa.Date(), nullable=False),
        sa.Column("input_cost_per_1k", sa.Numeric(precision=20, scale=9), nullable=True),
        sa.Column("output_cost_per_1k", sa.Numeric(precision=20, scale=9), nullable=True),
        sa.Column("cache_read_cost_per_1k", sa.Numeric(precision=20, scale=9), nullable=True),
        sa.Column("cache_write_cost_per_1k", sa.Numeric(precision=20, scale=9), nullable=True),
        sa.Column("cache_write_1h_cost_per_1k", sa.Numeric(precision=20, scale=9), nullable=True),
        sa.Column("reasoning_cost_per_1k", sa.Numeric(precision=20, scale=9), nullable=True),
        sa.Column("input_audio_cost_per_1k", sa.Numeric(precision=20, scale=9), nullable=True),
        sa.Column("output_audio_cost_per_1k", sa.Numeric(precision=20, scale=9), nullable=True),
        sa.Column("units", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("tiers", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("free", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("set_by", sa.String(length=200), server_default="", nullable=False),
        sa.Column("updated_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("provider", "model", "effective_date", name=op.f("pk_pricing_table")),
    )
    # ### end Alembic commands ###


def _budget_tables() -> None:
    _budgets()
    _budget_windows()
    _budget_leases()


def _budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("scope", sa.String(length=200), nullable=False),
        sa.Column("tenant", sa.String(length=200), server_default="default", nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("budget_usd", sa.Numeric(precision=20, scale=9), nullable=True),
        sa.Column("budget_tokens", sa.BigInteger(), nullable=True),
        sa.Column("alert_threshold", sa.Float(), server_default="0.80", nullable=False),
        sa.Column("time_zone", sa.String(length=64), server_default="UTC", nullable=False),
        sa.Column("on_breach", sa.String(length=16), server_default="stop", nullable=False),
        sa.Column("downgrade_to", sa.String(length=200), server_default="", nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default="1", nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.CheckConstraint("on_breach IN ('stop', 'downgrade', 'pause')", name=op.f("ck_budgets_on_breach")),
        sa.CheckConstraint(
            "period IN ('minute', 'hourly', 'daily', 'monthly', 'total')", name=op.f("ck_budgets_period")
        ),
        sa.CheckConstraint(
            "budget_usd IS NOT NULL OR budget_tokens IS NOT NULL", name=op.f("ck_budgets_limits_something")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
        sa.UniqueConstraint("scope", "period", name=op.f("uq_budgets_scope_period")),
    )
    # ### end Alembic commands ###


def _budget_windows() -> None:
    op.create_table(
        "budget_windows",
        sa.Column("scope", sa.String(length=200), nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("period_start", Moment(), nullable=False),
        sa.Column("cap_nanos", sa.BigInteger(), nullable=True),
        sa.Column("cap_tokens", sa.BigInteger(), nullable=True),
        sa.Column("spent_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spent_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("extra_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("extra_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("requests", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("alerted_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("scope", "period", "period_start", name=op.f("pk_budget_windows")),
    )
    # ### end Alembic commands ###


def _budget_leases() -> None:
    op.create_table(
        "budget_leases",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("scope", sa.String(length=200), nullable=False),
        sa.Column("period", sa.String(length=10), nullable=False),
        sa.Column("period_start", Moment(), nullable=False),
        sa.Column("worker", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("amount_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spent_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("spent_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_leases")),
    )
    op.create_index("ix_budget_leases_expires_at", "budget_leases", ["expires_at"], unique=False)
    op.create_index("ix_budget_leases_window", "budget_leases", ["scope", "period", "period_start"], unique=False)
    # ### end Alembic commands ###


def _access() -> None:
    _tenants()
    _users()


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("display_name", sa.String(length=200), server_default="", nullable=False),
        sa.Column("store_content", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.Column("settings", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("disabled_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
    )
    # ### end Alembic commands ###


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("issuer", sa.String(length=512), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("disabled_at", Moment(), nullable=True),
        sa.Column("last_login_at", Moment(), nullable=True),
        sa.CheckConstraint("role IN ('admin', 'owner', 'member', 'viewer')", name=op.f("ck_users_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_users_issuer_subject")),
    )
    op.create_index("ix_users_tenant", "users", ["tenant"], unique=False)
    # ### end Alembic commands ###


def _keys() -> None:
    _gateway_keys()
    _audit_log()


def _gateway_keys() -> None:
    op.create_table(
        "gateway_keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.Column("team", sa.String(length=200), server_default="", nullable=False),
        sa.Column("user_id", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("parent_id", sa.String(length=32), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("pepper", sa.String(length=32), server_default="", nullable=False),
        sa.Column("previous_digest", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until", Moment(), nullable=True),
        sa.Column("role", sa.String(length=16), server_default="member", nullable=False),
        sa.Column("scopes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("loss_policy", sa.String(length=16), nullable=True),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=True),
        sa.Column("revoked_at", Moment(), nullable=True),
        sa.Column("last_used_at", Moment(), nullable=True),
        sa.CheckConstraint("role IN ('admin', 'owner', 'member', 'viewer')", name=op.f("ck_gateway_keys_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_keys")),
    )
    op.create_index("ix_gateway_keys_revision", "gateway_keys", ["revision"], unique=False)
    op.create_index("ix_gateway_keys_tenant", "gateway_keys", ["tenant"], unique=False)
    # ### end Alembic commands ###


def _audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("timestamp", Moment(), nullable=False),
        sa.Column("tenant", sa.String(length=200), server_default="", nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("object_kind", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=200), server_default="", nullable=False),
        sa.Column("details", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("id", name=op.f("uq_audit_log_id")),
        sa.UniqueConstraint("position", name=op.f("uq_audit_log_position")),
    )
    op.create_index("ix_audit_log_tenant_seq", "audit_log", ["tenant", "seq"], unique=False)
    # ### end Alembic commands ###


def _operations() -> None:
    _requests()
    _alerts()
    _webhook_outbox()


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("timestamp", Moment(), nullable=False),
        sa.Column("tenant", sa.String(length=200), server_default="default", nullable=False),
        sa.Column("key_id", sa.String(length=200), server_default="", nullable=False),
        sa.Column("persona", sa.String(length=200), server_default="", nullable=False),
        sa.Column("run_id", sa.String(length=200), server_default="", nullable=False),
        sa.Column("provider", sa.String(length=200), server_default="", nullable=False),
        sa.Column("model", sa.String(length=200), server_default="", nullable=False),
        sa.Column("dialect", sa.String(length=32), nullable=False),
        sa.Column("operation", sa.String(length=32), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(length=64), nullable=True),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("finish", sa.String(length=32), nullable=True),
        sa.Column("duration_ms", sa.Float(), nullable=False),
        sa.Column("first_content_ms", sa.Float(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cost_nanos", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("config_version", sa.String(length=200), server_default="", nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=True),
        sa.Column("request_body", sa.LargeBinary(), nullable=True),
        sa.Column("response_body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_requests")),
    )
    op.create_index("ix_requests_request_id", "requests", ["request_id"], unique=False)
    op.create_index("ix_requests_tenant_seq", "requests", ["tenant", "seq"], unique=False)
    op.create_index("ix_requests_timestamp", "requests", ["timestamp"], unique=False)
    # ### end Alembic commands ###


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=200), nullable=False),
        sa.Column("period", sa.String(length=10), server_default="", nullable=False),
        sa.Column("period_start", Moment(), nullable=False),
        sa.Column("tenant", sa.String(length=200), server_default="", nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("timestamp", Moment(), nullable=False),
        sa.Column("resolved_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_alerts")),
        sa.UniqueConstraint("id", name=op.f("uq_alerts_id")),
        sa.UniqueConstraint(
            "kind", "scope", "period", "period_start", name=op.f("uq_alerts_kind_scope_period_period_start")
        ),
    )
    # ### end Alembic commands ###


def _webhook_outbox() -> None:
    op.create_table(
        "webhook_outbox",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=False), nullable=False
        ),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("endpoint", sa.String(length=200), nullable=False),
        sa.Column("shape", sa.String(length=16), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", Moment(), nullable=False),
        sa.Column("leased_until", Moment(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("delivered_at", Moment(), nullable=True),
        sa.Column("dead_at", Moment(), nullable=True),
        sa.Column("last_error", sa.String(length=512), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_webhook_outbox")),
        sa.UniqueConstraint("id", name=op.f("uq_webhook_outbox_id")),
    )
    op.create_index("ix_webhook_outbox_next_attempt_at", "webhook_outbox", ["next_attempt_at"], unique=False)
    # ### end Alembic commands ###
