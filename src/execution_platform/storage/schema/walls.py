"""What the database itself refuses: changes of the audit trail, and on PostgreSQL rows of another tenant.

A transaction that names a tenant (`Storage.read(tenant)`) sees and writes rows of that tenant only, whatever its statements say;
one that names none sees all, as background work and older versions of this program do. Superusers are bound by no policy, so the
gateway should be none.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

TENANT_COLUMNS = {
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
_SETTING = "(SELECT coalesce(current_setting('ep.tenant', true), ''))"
_REFUSE = """
CREATE OR REPLACE FUNCTION ep_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'permission denied: % is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$
"""


def raise_walls(connection: "Connection") -> None:
    """Put them up; the tables are there, the walls are not."""
    for statement in walls(connection.dialect.name):
        connection.exec_driver_sql(statement)


def raze_walls(connection: "Connection") -> None:
    """Take them down."""
    for statement in _undoing(connection.dialect.name):
        connection.exec_driver_sql(statement)


def walls(dialect: str) -> Iterator[str]:
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
    for table, column in TENANT_COLUMNS.items():
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        # The gateway's role usually owns the tables, and owners are exempt unless this is said.
        yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
        yield f"CREATE POLICY tenant_wall ON {table} USING ({_SETTING} = '' OR {column} = {_SETTING})"


def _undoing(dialect: str) -> Iterator[str]:
    if dialect != "postgresql":
        yield "DROP TRIGGER audit_log_no_update"
        yield "DROP TRIGGER audit_log_no_delete"
        return
    for table in TENANT_COLUMNS:
        yield f"DROP POLICY tenant_wall ON {table}"
        yield f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"
    yield "DROP TRIGGER audit_log_append_only ON audit_log"
    yield "DROP TRIGGER audit_log_no_truncate ON audit_log"
    yield "DROP FUNCTION ep_append_only()"
