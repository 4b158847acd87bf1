"""Tables of agent runs: what was asked and how it goes, the journal, what was told, and what people approved."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from execution_platform.storage.schema.columns import count_column, metadata, moment_column, name_column, sequence

_RUN = 64
_PATH = 128

runs = Table(
    "runs",
    metadata,
    Column("id", String(_RUN), primary_key=True),
    name_column("tenant", default="default"),
    name_column("owner", default=""),
    # The subject of the key that started it: who may approve its calls.
    name_column("persona", default=""),
    Column("status", String(16), nullable=False),
    # `running`, `waiting` (for an approval), `done`, `stopped`, `failed`, `cancelled`.
    Column("reason", String(40)),
    Column("request", Text, nullable=False),
    # The task in the native dialect.
    Column("options", Text, nullable=False),
    # Workspace, mode, limits and who asked, as JSON.
    Column("model", String(400)),
    # Ordered for the turns to come; null for what the persona says.
    Column("steps", Integer, nullable=False, server_default="0"),
    count_column("input_tokens"),
    count_column("output_tokens"),
    count_column("cost_nanos"),
    Column("answer", Text),
    Column("error", Text),
    Column("cancel", Boolean, nullable=False, server_default="0"),
    Column("epoch", Integer, nullable=False, server_default="0"),
    # Which taking of the run this is: a worker that lost it writes nothing more.
    Column("worker", String(128)),
    moment_column("leased_until"),
    moment_column("created_at", nullable=False),
    moment_column("updated_at", nullable=False),
    moment_column("finished_at"),
    Index("ix_runs_tenant_created_at", "tenant", "created_at"),
    Index("ix_runs_status", "status"),
)

run_journal = Table(
    "run_journal",
    metadata,
    sequence(),
    Column("run_id", String(_RUN), nullable=False),
    Column("path", String(_PATH), nullable=False, server_default=""),
    # Empty for the first agent; names the call that made another one.
    Column("turn", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    # The call's place in the turn; -1 for the turn itself.
    Column("kind", String(8), nullable=False),
    # `turn`, `intent`, `result`.
    Column("data", Text, nullable=False),
    moment_column("at", nullable=False),
    UniqueConstraint("run_id", "path", "turn", "place", "kind"),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run_id", String(_RUN), nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    # The events from `first` to `last`, a JSON list.
    PrimaryKeyConstraint("run_id", "first"),
)

run_approvals = Table(
    "run_approvals",
    metadata,
    Column("run_id", String(_RUN), nullable=False),
    Column("call_key", String(256), nullable=False),
    Column("seal", String(64), nullable=False),
    # HMAC of what is asked for; nobody can decide on anything else.
    moment_column("expires_at", nullable=False),
    Column("decision", String(8)),
    name_column("decided_by"),
    moment_column("decided_at"),
    Column("answer", Text),
    # What the caller's own tool gave, where that was asked for.
    PrimaryKeyConstraint("run_id", "call_key", "seal"),
)
