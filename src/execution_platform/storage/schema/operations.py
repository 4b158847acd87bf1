"""Tables of daily work: the request log, answers kept under keys, alerts, and messages that must leave the house."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from execution_platform.storage.schema.columns import (
    count_column,
    metadata,
    moment_column,
    name_column,
    sequence,
    uuid_column,
)

request_log = Table(
    "requests",
    metadata,
    sequence(),
    Column("request_id", String(128), nullable=False),
    moment_column("timestamp", nullable=False),
    name_column("tenant", default="default"),
    name_column("key_id", default=""),
    name_column("persona", default=""),
    name_column("run_id", default=""),
    name_column("provider", default=""),
    name_column("model", default=""),
    Column("dialect", String(32), nullable=False),
    Column("operation", String(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", String(64)),
    Column("stream", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("finish", String(32)),
    Column("duration_ms", Float, nullable=False),
    Column("first_content_ms", Float),
    count_column("input_tokens"),
    count_column("output_tokens"),
    count_column("cost_nanos"),
    name_column("config_version", default=""),
    Column("trace_id", String(32)),
    Column("request_body", LargeBinary),
    Column("response_body", LargeBinary),
    # Only for tenants that asked for it, redacted, and cut at a limit.
    Index("ix_requests_request_id", "request_id"),
    Index("ix_requests_tenant_seq", "tenant", "seq"),
    Index("ix_requests_timestamp", "timestamp"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    name_column("tenant", primary_key=True),
    name_column("subject", primary_key=True),
    # The gateway key that the request came with.
    Column("key", LargeBinary, primary_key=True),
    # SHA-256 of the idempotency key.
    Column("fingerprint", LargeBinary, nullable=False),
    # SHA-256 of the request.
    uuid_column("owner", nullable=False),
    # Who carries the request out.
    Column("request_id", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    # `running`, `done`, `unknown`.
    Column("answer", LargeBinary),
    # None in a row that is `done` means that it was too large.
    moment_column("created_at", nullable=False),
    moment_column("lease_until", nullable=False),
    # A row that is `running` and was not renewed until then has lost its owner.
    moment_column("expires_at", nullable=False),
    Index("ix_idempotency_keys_owner", "owner"),
    Index("ix_idempotency_keys_expires_at", "expires_at"),
)

persona_switches = Table(
    "persona_switches",
    metadata,
    name_column("name", primary_key=True),
    Column("body", Text),
    # The persona in the form of the configuration file, as JSON; null where the switch was taken back.
    Column("revision", BigInteger, nullable=False),
    # Rises with every change, so that replicas can ask whether there is any.
    name_column("changed_by", default=""),
    moment_column("changed_at", nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    sequence(),
    uuid_column("id", nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    # `budget_threshold`, `budget_exhausted`, `anomaly`, `ledger_drift` …
    name_column("scope", nullable=False),
    Column("period", String(10), nullable=False, server_default=""),
    moment_column("period_start", nullable=False),
    name_column("tenant", default=""),
    Column("message", Text, nullable=False),
    moment_column("timestamp", nullable=False),
    moment_column("resolved_at"),
    UniqueConstraint("kind", "scope", "period", "period_start"),
    # What makes an alert go out once per period, however many replicas notice.
)

webhook_outbox = Table(
    "webhook_outbox",
    metadata,
    sequence(),
    uuid_column("id", nullable=False, unique=True),
    # The id the receiver sees; the same on every delivery.
    name_column("endpoint", nullable=False),
    Column("shape", String(16), nullable=False),
    # `generic`, `slack`, `pagerduty`, `email`.
    Column("payload", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    moment_column("next_attempt_at", nullable=False),
    moment_column("leased_until"),
    # A sender holds the message until then, so that two replicas do not send it at once.
    moment_column("created_at", nullable=False),
    moment_column("delivered_at"),
    moment_column("dead_at"),
    Column("last_error", String(512)),
    Index("ix_webhook_outbox_next_attempt_at", "next_attempt_at"),
)
