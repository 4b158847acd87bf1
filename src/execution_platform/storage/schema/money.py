"""Tables of money: what happened, its sums, prices, and what may be spent.

`cost_events` is append-only. `cost_rollups` and `budget_windows` are sums of it that are kept in the same transaction,
so the invariant "sum of events = balances" can be checked at any time and never needs a repair in place.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    Float,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.schema import CheckConstraint

from execution_platform.storage.schema.columns import (
    Document,
    count_column,
    metadata,
    moment_column,
    name_column,
    sequence,
    uuid_column,
)

_USD = Numeric(20, 9)

cost_events = Table(
    "cost_events",
    metadata,
    sequence(),
    uuid_column("id", nullable=False, unique=True),
    Column("request_id", String(128), nullable=False),
    name_column("tenant", default="default"),
    name_column("team", default=""),
    name_column("key_id", default=""),
    name_column("persona", default=""),
    name_column("run_id", default=""),
    name_column("provider", default=""),
    name_column("model", default=""),
    Column("operation", String(32), nullable=False, server_default="chat"),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("final", Boolean, nullable=False),
    # True for exactly one event of a request, so that their number is the number of requests.
    Column("status", String(16), nullable=False),
    Column("confidence", String(20), nullable=False),
    name_column("arm", default=""),
    count_column("input_tokens"),
    count_column("output_tokens"),
    count_column("cache_read_tokens"),
    count_column("cache_write_tokens"),
    count_column("cache_write_1h_tokens"),
    count_column("reasoning_tokens"),
    count_column("input_audio_tokens"),
    count_column("output_audio_tokens"),
    Column("units", Document),
    count_column("cost_nanos"),
    Column("cost_usd", _USD, Computed("cost_nanos * 0.000000001", persisted=True)),
    name_column("price_version", default=""),
    name_column("config_version", default=""),
    Column("error", String(64)),
    moment_column("timestamp", nullable=False),
    Index("ix_cost_events_request_id", "request_id"),
    Index("ix_cost_events_timestamp", "timestamp"),
    # No other index: this table is written for every call, and reports read `cost_rollups`.
)

cost_rollups = Table(
    "cost_rollups",
    metadata,
    Column("grain", String(1), primary_key=True),
    Column("bucket", BigInteger, primary_key=True),
    # `h`, `d` or `m`; the start of the hour, day or month in seconds since 1970, UTC.
    name_column("tenant", primary_key=True),
    name_column("team", primary_key=True),
    name_column("key_id", primary_key=True),
    name_column("persona", primary_key=True),
    name_column("provider", primary_key=True),
    name_column("model", primary_key=True),
    count_column("requests"),
    count_column("attempts"),
    count_column("failures"),
    count_column("input_tokens"),
    count_column("output_tokens"),
    count_column("cache_read_tokens"),
    count_column("cache_write_tokens"),
    count_column("reasoning_tokens"),
    count_column("cost_nanos"),
    count_column("estimated_nanos"),
    count_column("unpriced"),
    Index("ix_cost_rollups_tenant", "tenant", "grain", "bucket"),
)

reservations = Table(
    "reservations",
    metadata,
    uuid_column("id", primary_key=True),
    # The id of the event that settles it.
    Column("request_id", String(128), nullable=False),
    uuid_column("worker", nullable=False),
    name_column("tenant", default="default"),
    count_column("hold_nanos"),
    count_column("hold_tokens"),
    moment_column("lease_until", nullable=False),
    Column("record", Document, nullable=False),
    # The reservation and dispatch as written to the journal, so that any replica can settle an orphan.
    Index("ix_reservations_lease_until", "lease_until"),
)

pricing_table = Table(
    "pricing_table",
    metadata,
    name_column("provider", primary_key=True),
    name_column("model", primary_key=True),
    Column("effective_date", Date, primary_key=True),
    Column("input_cost_per_1k", _USD),
    Column("output_cost_per_1k", _USD),
    Column("cache_read_cost_per_1k", _USD),
    Column("cache_write_cost_per_1k", _USD),
    Column("cache_write_1h_cost_per_1k", _USD),
    Column("reasoning_cost_per_1k", _USD),
    Column("input_audio_cost_per_1k", _USD),
    Column("output_audio_cost_per_1k", _USD),
    Column("units", Document),
    # Price by the piece: {"web_search": "0.01", "image": "0.04"}, in US dollars.
    Column("tiers", Document),
    # Rates of long prompts and of service tiers, in the words of the price catalogue.
    Column("free", Boolean, nullable=False, server_default="0"),
    name_column("set_by", default=""),
    moment_column("updated_at"),
)

budgets = Table(
    "budgets",
    metadata,
    uuid_column("id", primary_key=True),
    name_column("scope", nullable=False),
    # `tenant:acme`, `team:web`, `key:<id>`, `persona:architect`, `run:<id>`, `model:openai/gpt-4o`, `global`.
    name_column("tenant", default="default"),
    Column("period", String(10), nullable=False),
    Column("budget_usd", _USD),
    Column("budget_tokens", BigInteger),
    Column("alert_threshold", Float, nullable=False, server_default="0.80"),
    Column("time_zone", String(64), nullable=False, server_default="UTC"),
    Column("on_breach", String(16), nullable=False, server_default="stop"),
    name_column("downgrade_to", default=""),
    Column("enabled", Boolean, nullable=False, server_default="1"),
    count_column("revision"),
    moment_column("created_at", nullable=False),
    moment_column("updated_at", nullable=False),
    UniqueConstraint("scope", "period"),
    CheckConstraint("period IN ('minute', 'hourly', 'daily', 'monthly', 'total')", name="period"),
    CheckConstraint("on_breach IN ('stop', 'downgrade', 'pause')", name="on_breach"),
    CheckConstraint("budget_usd IS NOT NULL OR budget_tokens IS NOT NULL", name="limits_something"),
)

budget_windows = Table(
    "budget_windows",
    metadata,
    name_column("scope", primary_key=True),
    Column("period", String(10), primary_key=True),
    moment_column("period_start", primary_key=True),
    Column("cap_nanos", BigInteger),
    Column("cap_tokens", BigInteger),
    count_column("spent_nanos"),
    count_column("reserved_nanos"),
    count_column("spent_tokens"),
    count_column("reserved_tokens"),
    count_column("extra_nanos"),
    count_column("extra_tokens"),
    # What was approved on top of the caps, for this window only.
    count_column("requests"),
    moment_column("alerted_at"),
)

budget_leases = Table(
    "budget_leases",
    metadata,
    uuid_column("id", primary_key=True),
    name_column("scope", nullable=False),
    Column("period", String(10), nullable=False),
    moment_column("period_start", nullable=False),
    uuid_column("worker", nullable=False),
    count_column("amount_nanos"),
    count_column("amount_tokens"),
    # Everything ever granted under this lease; only its worker changes it.
    count_column("spent_nanos"),
    count_column("spent_tokens"),
    # How much of that has arrived in the window's spent; the rest is what the lease reserves.
    moment_column("expires_at", nullable=False),
    Index("ix_budget_leases_window", "scope", "period", "period_start"),
    Index("ix_budget_leases_expires_at", "expires_at"),
)
