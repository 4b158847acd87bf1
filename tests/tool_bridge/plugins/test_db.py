"""Asking databases: a real PostgreSQL under a role that may only read, and SQLite files."""

import asyncio
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from execution_platform.exceptions import ToolDenied, ToolError, ToolTimeout
from execution_platform.tool_bridge.db import SqliteDatabase
from loops import in_loop
from servers import MissingServer, Postgres, postgres
from tooling import Bench, bench

pytest.importorskip("asyncpg")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    try:
        with postgres() as running:
            running.execute("CREATE ROLE reader LOGIN; CREATE ROLE owner LOGIN")
            running.execute(
                "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text,text,boolean) FROM PUBLIC", "template1"
            )
            yield running
    except MissingServer as missing:
        pytest.skip(str(missing))


SCHEMA = """
SET ROLE owner;
CREATE TABLE items (id int PRIMARY KEY, tenant text NOT NULL, name text);
CREATE TABLE hidden (secret text);
CREATE SEQUENCE counter;
INSERT INTO items SELECT n, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END, 'item ' || n FROM generate_series(1, 3000) n;
INSERT INTO hidden VALUES ('canary-of-the-table');
ALTER TABLE items ENABLE ROW LEVEL SECURITY;
ALTER TABLE items FORCE ROW LEVEL SECURITY;
CREATE POLICY walls ON items USING (tenant = current_setting('app.tenant', true));
GRANT SELECT ON items TO reader;
"""


@pytest.fixture
def database(server: Postgres) -> str:
    """The name of a database with two tenants' rows in one table."""
    name = server.new_database().rpartition("/")[2]
    server.execute("GRANT CREATE ON SCHEMA public TO owner", name)
    server.execute(SCHEMA, name)
    return name


def url(server: Postgres, database: str, role: str) -> str:
    return f"postgresql://{role}@127.0.0.1:{server.port}/{database}"


def section(server: Postgres, database: str, **more: Any) -> dict[str, Any]:
    given = {"url": url(server, database, "reader"), "tenant_setting": "app.tenant", "views": ["items"], **more}
    return {"db": {"connections": {"books": {key: value for key, value in given.items() if value is not None}}}}


@pytest.fixture
def tools(server: Postgres, database: str, tmp_path: Path) -> Bench:
    made = bench(tmp_path, section(server, database))
    made.tenant = "a"
    return made


def dump(server: Postgres, database: str) -> str:
    """Everything in the database, and its sequences."""
    command = [
        server.command_path("pg_dump"),
        "-h",
        "127.0.0.1",
        "-p",
        str(server.port),
        "-U",
        "postgres",
        "-d",
        database,
    ]
    # pg_dump guards its output by a random word.
    lines = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout.decode().splitlines()
    return "\n".join(line for line in lines if "restrict" not in line)


@in_loop
async def test_a_question_is_answered(tools: Bench) -> None:
    found = await tools.call("db_query", sql="SELECT id, name FROM items WHERE id < $1 ORDER BY id", parameters=[6])
    assert found == {
        "connection": "books",
        "columns": ["id", "name"],
        "rows": [[2, "item 2"], [4, "item 4"]],
        "truncated": False,
    }
    capped = await tools.call("db_query", sql="SELECT * FROM items", limit=10)
    assert (len(capped["rows"]), capped["truncated"]) == (10, True)
    assert "there are more" in capped["note"]
    assert tools.provenance.private
    await tools.close()


HOSTILE = [
    "INSERT INTO items VALUES (9999, 'a', 'x')",
    "UPDATE items SET name = 'x'",
    "DELETE FROM items",
    "TRUNCATE items",
    "DROP TABLE items",
    "DROP SCHEMA public CASCADE",
    "CREATE TABLE x (a int)",
    "CREATE TEMP TABLE x (a int)",
    "ALTER TABLE items ADD COLUMN x int",
    "COMMIT; DROP SCHEMA public CASCADE",
    "COMMIT",
    "SELECT 1; DROP TABLE items",
    "SELECT 1; COMMIT; DROP TABLE items; --",
    "/* x */ DELETE FROM items",
    "WITH gone AS (DELETE FROM items RETURNING *) SELECT * FROM gone",
    "WITH new AS (INSERT INTO items VALUES (9998, 'a', 'x') RETURNING *) SELECT * FROM new",
    "SELECT * INTO stolen FROM items",
    "SELECT * FROM items FOR UPDATE",
    "EXPLAIN ANALYZE DELETE FROM items",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT * FROM pg_stat_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/x')",
    "SELECT lo_create(424242)",
    "SELECT lo_from_bytea(0, 'x')",
    "COPY items TO PROGRAM 'touch /tmp/pwned'",
    "COPY items FROM '/etc/passwd'",
    "SELECT * FROM dblink('host=127.0.0.1', 'DROP TABLE items') AS t(a int)",
    "SELECT set_config('app.tenant', 'b', true)",
    "WITH x AS (SELECT set_config('transaction_read_only', 'off', true)) SELECT * FROM x, items",
    "SELECT \"set_config\"('app.tenant', 'b', true)",
    "SELECT U&\"set\\005fconfig\"('app.tenant', 'b', true)",
    "SET app.tenant = 'b'",
    "SET ROLE postgres",
    "SELECT nextval('counter')",
    "SELECT setval('counter', 99)",
    "SELECT pg_sleep(999)",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
    "SELECT pg_advisory_lock(1)",
    "SELECT query_to_xml('DELETE FROM items', true, true, '')",
    "SELECT pg_reload_conf()",
    "SELECT secret FROM hidden",
    "SELECT rolpassword FROM pg_authid",
    "DO $$ BEGIN DELETE FROM items; END $$",
    "CALL nothing()",
    "LISTEN x",
    "VACUUM",
    "GRANT ALL ON items TO public",
    "",
]


@in_loop
async def test_no_statement_changes_anything_or_leaves_the_role(tools: Bench, server: Postgres, database: str) -> None:
    """D1, D2: more than forty statements are errors, and the database is the same before and after."""
    before = await asyncio.to_thread(dump, server, database)
    assert "item 3000" in before
    assert len(HOSTILE) > 40
    for statement in HOSTILE:
        with pytest.raises(ToolError) as caught:
            await tools.call("db_query", sql=statement)
        assert "canary" not in caught.value.message, statement
    assert await asyncio.to_thread(dump, server, database) == before
    assert not await asyncio.to_thread(Path("/tmp/pwned").exists)
    assert (await tools.call("db_query", sql="SELECT count(*) FROM items"))["rows"] == [[1500]]
    await tools.close()


@in_loop
async def test_the_role_holds_without_the_second_net(
    tools: Bench, server: Postgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1: the words of a statement are not the control; without that net nothing is changed either."""
    monkeypatch.setattr("execution_platform.tool_bridge.plugins.db.check_question", lambda statement: None)
    before = await asyncio.to_thread(dump, server, database)
    for statement in HOSTILE:
        if "pg_sleep" not in statement:
            try:
                await tools.call("db_query", sql=statement)
            except ToolError as error:
                assert "canary" not in error.message
    assert await asyncio.to_thread(dump, server, database) == before
    assert (await tools.call("db_query", sql="SELECT DISTINCT tenant FROM items"))["rows"] == [["a"]]
    await tools.close()


@in_loop
async def test_a_question_runs_where_nothing_can_be_written(tools: Bench) -> None:
    """D1: its transaction reads, and so does every other of its session."""
    for setting in ("transaction_read_only", "default_transaction_read_only"):
        assert (await tools.call("db_query", sql=f"SHOW {setting}"))["rows"] == [["on"]], setting
    await tools.close()


@pytest.mark.parametrize(
    ("grant", "fault"),
    [
        ("ALTER ROLE reader SUPERUSER", "superuser"),
        ("ALTER ROLE reader BYPASSRLS", "superuser"),
        ("GRANT pg_read_server_files TO reader", "reads files"),
        ("GRANT pg_signal_backend TO reader", "ends sessions"),
        ("GRANT pg_read_all_data TO reader", "reads everything"),
        ("GRANT owner TO reader", "owns tables"),
        ("GRANT INSERT ON items TO reader", "may write"),
        ("GRANT UPDATE (name) ON items TO reader", "may write"),
        ("GRANT SELECT ON hidden TO reader", "more than the configured views"),
        ("ALTER TABLE items NO FORCE ROW LEVEL SECURITY", "without forced row-level security"),
        ("ALTER TABLE items DISABLE ROW LEVEL SECURITY", "without forced row-level security"),
        ("GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text,text,boolean) TO reader", "choose its tenant"),
    ],
)
@in_loop
async def test_a_role_that_could_do_harm_is_not_used(
    tools: Bench, server: Postgres, database: str, grant: str, fault: str
) -> None:
    """D1, D4: a connection is refused before the first question."""
    await asyncio.to_thread(server.execute, grant, database)
    try:
        with pytest.raises(ToolError, match=fault) as caught:
            await tools.call("db_query", sql="SELECT 1")
        assert caught.value.code == "not_configured"
    finally:
        undo = "ALTER ROLE reader NOSUPERUSER NOBYPASSRLS; REVOKE owner, pg_read_server_files, pg_signal_backend, pg_read_all_data FROM reader"
        await asyncio.to_thread(server.execute, undo, database)
        await tools.close()


@in_loop
async def test_starving_questions_end_and_leave_the_others_alone(
    server: Postgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3: twenty at once, each within its time, over four connections of its own."""
    monkeypatch.setattr("execution_platform.tool_bridge.plugins.db.check_question", lambda statement: None)
    monkeypatch.setattr("execution_platform.tool_bridge.db.postgres.SECONDS", 1.0)
    tools = bench(tmp_path, section(server, database))
    tools.tenant = "a"
    slow = [
        "SELECT pg_sleep(999)",
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
    ] * 10
    seconds: list[float] = []

    async def ask(statement: str) -> None:
        started = time.monotonic()
        with pytest.raises(ToolTimeout):
            await tools.call("db_query", sql=statement)
        seconds.append(time.monotonic() - started)

    asking = asyncio.gather(*(ask(statement) for statement in slow))
    used = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'execution-platform-tool'"
    most = 0
    while not asking.done():
        most = max(most, int(await asyncio.to_thread(server.execute, used)))
    await asking
    assert most == 4
    assert max(seconds) < 4
    big = await tools.call("db_query", sql="SELECT repeat('x', 10000) FROM generate_series(1, 100000)")
    assert big["truncated"] is True
    await tools.close()


@in_loop
async def test_a_tenant_sees_its_own_rows_only(tools: Bench) -> None:
    """D4."""
    seen: dict[str, object] = {}
    for tenant in ("a", "b", "c", "a' OR true --", ""):
        tools.tenant = tenant
        seen[tenant] = (await tools.call("db_query", sql="SELECT DISTINCT tenant FROM items"))["rows"]
    assert seen == {"a": [["a"]], "b": [["b"]], "c": [], "a' OR true --": [], "": []}
    await tools.close()


@in_loop
async def test_a_connection_of_another_tenant_does_not_exist(server: Postgres, database: str, tmp_path: Path) -> None:
    """D4."""
    tools = bench(tmp_path, section(server, database, tenant="a", tenant_setting=None))
    tools.tenant = "b"
    with pytest.raises(ToolError, match="no database is configured"):
        await tools.call("db_query", sql="SELECT 1", connection="books")
    await tools.close()


@in_loop
async def test_errors_tell_their_state_and_nothing_of_the_database(
    tools: Bench, server: Postgres, tmp_path: Path
) -> None:
    """D5."""
    for statement, state in (
        ("SELEC", "begins with SELEC"),
        ("SELECT * FROM", "42601"),
        ("SELECT canary_column FROM items", "42703"),
        ("SELECT * FROM canary_table", "42P01"),
        ("SELECT 'canary'::int", "22P02"),
        ("SELECT $1::int", "parameter"),
    ):
        with pytest.raises(ToolError, match=state) as caught:
            await tools.call("db_query", sql=statement, parameters=["canary"] if "$1" in statement else None)
        assert "canary" not in caught.value.message
        assert "items" not in caught.value.message
    await tools.close()
    for bad in (
        f"postgresql://canary:canary-word@127.0.0.1:{server.port}/canary_db",
        "postgresql://canary:canary-word@127.0.0.1:1/canary_db",
        "postgresql://canary:canary-word@canary-host.invalid/canary_db",
        "mysql://canary",
        "sqlite:///canary/none.db",
    ):
        broken = bench(tmp_path, {"db": {"connections": {"books": {"url": bad, "tenant": "default"}}}})
        with pytest.raises(ToolError) as caught:
            await broken.call("db_query", sql="SELECT 1")
        assert not [told for told in ("canary", "127.0.0.1", "Errno") if told in caught.value.message]
        await broken.close()


@in_loop
async def test_a_migration_is_kept_whole_or_not_at_all(server: Postgres, database: str, tmp_path: Path) -> None:
    tools = bench(tmp_path, section(server, database, migrate=url(server, database, "owner")))
    before = await asyncio.to_thread(dump, server, database)
    good = ["CREATE TABLE fresh (a int)", "INSERT INTO fresh VALUES (1)"]
    assert (await tools.call("db_migrate", statements=good))["kept"] is False
    for bad in (
        [*good, "INSERT INTO nothing VALUES (1)"],
        [*good, "COMMIT"],
        [*good, "/* x */ rollback"],
        ["CREATE TABLE x (a int); COMMIT; CREATE TABLE y (a int)"],
        ["SET ROLE postgres"],
        [],
    ):
        with pytest.raises(ToolError):
            await tools.call("db_migrate", statements=bad, dry_run=False)
    assert await asyncio.to_thread(dump, server, database) == before
    assert (await tools.call("db_migrate", statements=good, dry_run=False))["kept"] is True
    assert await asyncio.to_thread(server.execute, "SELECT a FROM fresh", database) == "1"
    tools.level = "write"
    with pytest.raises(ToolDenied):
        await tools.call("db_migrate", statements=good)
    await tools.close()


# --- SQLite ---


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "books.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE hidden (secret TEXT);"
            "INSERT INTO items SELECT value, 'item ' || value FROM (WITH RECURSIVE c(value) AS"
            " (SELECT 1 UNION ALL SELECT value + 1 FROM c WHERE value < 50) SELECT value FROM c);"
            "INSERT INTO hidden VALUES ('canary-of-the-table'); CREATE VIEW shown AS SELECT id FROM items;"
        )
    connection.close()
    return path


def on_file(path: Path, folder: Path, **more: Any) -> Bench:
    given = {"url": f"sqlite://{path}", "tenant": "default", **more}
    return bench(folder, {"db": {"connections": {"books": given}}})


SQLITE_HOSTILE = [
    "INSERT INTO items VALUES (99, 'x')",
    "DELETE FROM items",
    "DROP TABLE items",
    "WITH x AS (SELECT 1) DELETE FROM items",
    "WITH x AS (SELECT 1) INSERT INTO items SELECT 99, 'x'",
    "SELECT 1; DROP TABLE items",
    "ATTACH DATABASE '{folder}/other.db' AS other",
    "SELECT load_extension('evil')",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA writable_schema = ON",
    "PRAGMA user_version = 7",
    "VACUUM INTO '{folder}/copy.db'",
    "SELECT writefile('{folder}/x', 'y')",
    "SELECT readfile('/etc/passwd')",
    "SELECT * FROM hidden",
    "SELECT (SELECT secret FROM hidden)",
    "SELECT sql FROM sqlite_master",
    "EXPLAIN DELETE FROM items",
]


def test_sqlite_is_read_and_never_written(file: Path, tmp_path: Path) -> None:
    """D1, D2: mode=ro and an authorizer; the file is the same byte for byte, and no other appears."""
    tools = on_file(file, tmp_path / "ws", views=["items", "shown"])
    assert tools.run("db_query", sql="SELECT name FROM items WHERE id = ?", parameters=[7])["rows"] == [["item 7"]]
    assert tools.run("db_query", sql="SELECT max(id) FROM shown")["rows"] == [[50]]
    before, there = file.read_bytes(), sorted(tmp_path.iterdir())
    for statement in SQLITE_HOSTILE:
        with pytest.raises(ToolError) as caught:
            tools.run("db_query", sql=statement.format(folder=tmp_path))
        assert "canary" not in caught.value.message
        assert str(tmp_path) not in caught.value.message
    assert file.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == there


def test_sqlite_holds_without_the_second_net(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D2."""
    monkeypatch.setattr("execution_platform.tool_bridge.plugins.db.check_question", lambda statement: None)
    test_sqlite_is_read_and_never_written(file, tmp_path)


def test_sqlites_file_is_read_only_without_the_authorizer_too(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1: each of the two walls stands by itself."""
    monkeypatch.setattr("execution_platform.tool_bridge.plugins.db.check_question", lambda statement: None)
    monkeypatch.setattr(SqliteDatabase, "_may_read", lambda self, *asked: sqlite3.SQLITE_OK)
    tools = on_file(file, tmp_path / "ws")
    before = file.read_bytes()
    for statement in ("INSERT INTO items VALUES (99, 'x')", "DELETE FROM items", "DROP TABLE items"):
        with pytest.raises(ToolError, match="SQLITE_READONLY"):
            tools.run("db_query", sql=statement)
    assert file.read_bytes() == before


def test_an_endless_question_to_sqlite_ends(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """D3."""
    monkeypatch.setattr("execution_platform.tool_bridge.db.sqlite.SECONDS", 0.3)
    tools = on_file(file, tmp_path)
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    with pytest.raises(ToolTimeout, match="did not finish"):
        tools.run("db_query", sql=endless)
    assert tools.run("db_query", sql="SELECT * FROM items", limit=3)["truncated"] is True
    with pytest.raises(ToolError):
        tools.run("db_query", sql="SELECT printf('%.*c', 900000000, 'x')")


def test_a_migration_of_sqlite_is_kept_whole_or_not_at_all(file: Path, tmp_path: Path) -> None:
    tools = on_file(file, tmp_path, migrate=f"sqlite://{file}")
    before = file.read_bytes()
    good = ["CREATE TABLE fresh (a int)", "INSERT INTO fresh VALUES (1)"]
    assert tools.run("db_migrate", statements=good)["kept"] is False
    for bad in (
        [*good, "INSERT INTO nothing VALUES (1)"],
        ["COMMIT"],
        [f"ATTACH '{tmp_path}/o.db' AS o"],
        ["CREATE TABLE a (b); DROP TABLE items"],
    ):
        with pytest.raises(ToolError):
            tools.run("db_migrate", statements=bad, dry_run=False)
    assert file.read_bytes() == before
    tools.run("db_migrate", statements=good, dry_run=False)
    assert tools.run("db_query", sql="SELECT a FROM fresh")["rows"] == [[1]]
    with pytest.raises(ToolDenied, match="an operator allows it"):
        on_file(file, tmp_path).run("db_migrate", statements=good)


def test_without_connections_the_tool_says_what_to_configure(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"tools\.db\.connections"):
        bench(tmp_path).run("db_query", sql="SELECT 1")
