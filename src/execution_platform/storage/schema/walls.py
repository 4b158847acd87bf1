"""What the database itself refuses: changes of the audit trail, and on PostgreSQL rows of another tenant.

A transaction that names a tenant (`Storage.read(tenant)`) sees and writes rows of that tenant only, whatever its statements say;
one that names none sees all, as background work and older versions of this program do. Superusers are bound by no policy, so the
gateway should be none.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

FIRST_WALLED: Mapping[str, str] = {
    "tenants": "id",
    "users": "tenant",
    "gateway_keys": "tenant",
    "audit_log": "tenant",
    "cost_events": "tenant",
    "cost_rollups": "tenant",
    "reservations": "tenant",
    "budgets": "tenant",
    "requests": "tenant",
    "alerts": "tenant",
}
"""The tables that were there when the walls went up; a later one gets its wall with its own migration."""
TENANT_COLUMNS: Mapping[str, str] = {
    **FIRST_WALLED,
    "idempotency_keys": "tenant",
    "runs": "tenant",
    "responses": "tenant",
}
_SETTING = "(SELECT coalesce(current_setting('ep.tenant', true), ''))"
_REFUSE = """
CREATE OR REPLACE FUNCTION ep_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'permission denied: % is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
"""


def raise_walls(connection: "Connection", tables: Mapping[str, str] = TENANT_COLUMNS) -> None:
    """Put them up; the tables are there, the walls are not."""
    for statement in walls(connection.dialect.name, tables):
        connection.exec_driver_sql(statement)


def raze_walls(connection: "Connection", tables: Mapping[str, str] = TENANT_COLUMNS) -> None:
    """Take them down."""
    for statement in _undoing(connection.dialect.name, tables):
        connection.exec_driver_sql(statement)


def walls(dialect: str, tables: Mapping[str, str] = TENANT_COLUMNS) -> Iterator[str]:
    """The statements that put them up."""
    if dialect != "postgresql":
        for change in ("UPDATE", "DELETE"):
            yield (
                f"CREATE TRIGGER audit_log_no_{change.lower()} BEFORE {change} ON audit_log "
                "BEGIN SELECT RAISE(ABORT, 'permission denied: audit_log is append-only'); END"
            )
        return
    yield _REFUSE
    yield (
        "CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log "
        "FOR EACH ROW EXECUTE FUNCTION ep_append_only()"
    )
    yield (
        "CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION ep_append_only()"
    )
    for table, column in tables.items():
        yield from wall(table, column)


def wall(table: str, column: str) -> Iterator[str]:
    """The statements that put one up around a table of PostgreSQL."""
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    # The gateway's role usually owns the tables, and owners are exempt unless this is said.
    yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
    yield f"CREATE POLICY tenant_wall ON {table} USING ({_SETTING} = '' OR {column} = {_SETTING})"


def _undoing(dialect: str, tables: Mapping[str, str]) -> Iterator[str]:
    if dialect != "postgresql":
        yield "DROP TRIGGER audit_log_no_update"
        yield "DROP TRIGGER audit_log_no_delete"
        return
    for table in tables:
        yield f"DROP POLICY tenant_wall ON {table}"
        yield f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"
    yield "DROP TRIGGER audit_log_append_only ON audit_log"
    yield "DROP TRIGGER audit_log_no_truncate ON audit_log"
    yield "DROP FUNCTION ep_append_only()"
