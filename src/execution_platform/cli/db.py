"""`ep db`: the database's schema, and whether it is there at all."""

import asyncio
from typing import Any

import typer

from execution_platform.cli.outcome import Exit, told
from execution_platform.cli.output import ConfigFile, Json, print_json
from execution_platform.cli.snapshot import read_settings

app = typer.Typer(help="The database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Bring the database to the schema of this version. Safe to repeat, and while gateways run."""
    with told():
        found = asyncio.run(_upgrade(config))
        if as_json:
            print_json(found)
        else:
            typer.echo(f"{found['database']}: {found['did']}, schema {found['schema']}")


@app.command("status")
def status(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Show the database, its schema and how much is in it. Exit code 3 when it cannot be reached."""
    with told():
        found = asyncio.run(_status(config))
        if as_json:
            print_json(found)
            return
        typer.echo(f"{found['database']}: schema {found['schema'] or 'none'} ({found['state']})")
        for name, rows in found["rows"].items():
            typer.echo(f"  {name}: {rows:,} rows")
        if found["state"] == "older":
            typer.echo("run `ep db upgrade`")


@app.command("check")
def check(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Add up all events and compare them with the sums that reports read. Exit code 1 when they differ."""
    with told():
        found = asyncio.run(_check(config))
        if as_json:
            print_json(found)
        else:
            same = "equal" if found["equal"] else "DIFFERENT: restore the sums from a backup, or rebuild them"
            typer.echo(f"{found['events']:,} events, ${found['events_usd']:,.6f}: the sums are {same}")
        if not found["equal"]:
            raise typer.Exit(Exit.FAILED)


async def _upgrade(config: str | None) -> dict[str, Any]:
    from execution_platform.storage import migrations

    storage = _storage(config)
    try:
        before = await migrations.upgrade(storage)
        did = {"empty": "made", "older": "upgraded"}.get(before, "nothing to do")
        return {"database": str(storage.address), "did": did, "schema": await migrations.version(storage)}
    finally:
        await storage.close()


async def _check(config: str | None) -> dict[str, Any]:
    from datetime import UTC, datetime, timedelta

    from execution_platform.ledger.audit import drift
    from execution_platform.ledger.reports import Span

    storage = _storage(config)
    try:
        whole = Span.of(datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1))
        found = await drift(storage, whole.start, whole.end)
        return {
            "equal": found.ratio == 0,
            "events": found.events,
            "attempts": found.attempts,
            "events_usd": found.event_nanos / 1e9,
            "sums_usd": found.rolled_nanos / 1e9,
        }
    finally:
        await storage.close()


async def _status(config: str | None) -> dict[str, Any]:
    from sqlalchemy import func, select

    from execution_platform.storage import migrations
    from execution_platform.storage.schema import cost_events, cost_rollups, request_log

    storage = _storage(config)
    try:
        state = await migrations.state(storage)
        rows: dict[str, int] = {}
        if state in {"current", "newer"}:
            async with storage.read() as connection:
                for table in (cost_events, cost_rollups, request_log):
                    rows[table.name] = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
        schema = await migrations.version(storage)
        return {"database": str(storage.address), "state": state, "schema": schema, "rows": rows}
    finally:
        await storage.close()


def _storage(config: str | None) -> Any:
    from execution_platform.storage.address import address
    from execution_platform.storage.engine import Storage

    settings = read_settings(config)
    return Storage(address(settings.database_url, settings.workspace_root))
