"""`ep db`: the database's schema, and whether it is there at all."""

import asyncio
from typing import Any

import typer

from execution_platform.cli.outcome import told
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


async def _upgrade(config: str | None) -> dict[str, Any]:
    from execution_platform.storage import migrations

    storage = _storage(config)
    try:
        before = await migrations.upgrade(storage)
        did = {"empty": "made", "older": "upgraded"}.get(before, "nothing to do")
        return {"database": str(storage.address), "did": did, "schema": await migrations.version(storage)}
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
