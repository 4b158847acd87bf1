"""All tables. Core only: rows are read and written by name, no object mirrors them.

Amounts of money are integers of nano-dollars (a billionth of a US dollar, `*_nanos`), times are UTC, order is told by
`seq` and never by a time. Importing this imports SQLAlchemy.
"""

from execution_platform.storage.schema.access import audit_log, gateway_keys, logins, sessions, tenants, users
from execution_platform.storage.schema.columns import metadata
from execution_platform.storage.schema.money import (
    budget_leases,
    budget_windows,
    budgets,
    cost_events,
    cost_rollups,
    pricing_table,
    reservations,
)
from execution_platform.storage.schema.operations import (
    alerts,
    idempotency_keys,
    persona_switches,
    request_log,
    webhook_outbox,
)
from execution_platform.storage.schema.responses import responses
from execution_platform.storage.schema.runs import run_approvals, run_events, run_journal, runs

__all__ = [
    "alerts",
    "audit_log",
    "budget_leases",
    "budget_windows",
    "budgets",
    "cost_events",
    "cost_rollups",
    "gateway_keys",
    "idempotency_keys",
    "logins",
    "metadata",
    "persona_switches",
    "pricing_table",
    "request_log",
    "reservations",
    "responses",
    "run_approvals",
    "run_events",
    "run_journal",
    "runs",
    "sessions",
    "tenants",
    "users",
    "webhook_outbox",
]
