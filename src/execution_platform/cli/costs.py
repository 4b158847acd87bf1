"""`ep costs`: what was spent, read from the database of this workspace."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from execution_platform.cli.outcome import told
from execution_platform.cli.output import ConfigFile, Json, dollars, print_json, print_table
from execution_platform.cli.snapshot import read_settings

if TYPE_CHECKING:
    from execution_platform.ledger.reconcile import Key, Used
    from execution_platform.ledger.reports import By, Line
    from execution_platform.storage.engine import Storage

app = typer.Typer(help="What was spent.", invoke_without_command=True)
Group = Literal["persona", "model", "provider", "tenant", "key", "team"]
PeriodName = Literal["hourly", "daily", "monthly"]
_DAYS = 14
_BARS = "▁▂▃▄▅▆▇█"


@app.callback()
def costs(
    context: typer.Context,
    config: ConfigFile = None,
    *,
    by: Annotated[Group, typer.Option(help="What to group by.")] = "model",
    period: Annotated[
        PeriodName | None, typer.Option(help="Only the current hour, day or month.", show_default="all time")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    as_json: Json = False,
) -> None:
    """Show spending by model, persona, provider, tenant or key, with the last fourteen days of each."""
    if context.invoked_subcommand is not None:
        return
    with told():
        found = asyncio.run(_spending(config, by, period, tenant))
        if as_json:
            print_json(found)
        else:
            _show(found, by)


async def _spending(config: str | None, by: "By", period: PeriodName | None, tenant: str | None) -> dict[str, Any]:
    from execution_platform.ledger.money import to_usd
    from execution_platform.ledger.reports import NOBODY, Span, grouped, period_of, series, total

    now = datetime.now(UTC)
    tomorrow = period_of("daily", now)[1]
    start, end = (datetime(2020, 1, 1, tzinfo=UTC), tomorrow) if period is None else period_of(period, now)
    only: dict[By, str] = {} if tenant is None else {"tenant": tenant}
    days = Span.of(tomorrow - timedelta(days=_DAYS), tomorrow)
    storage = _storage(config)
    try:
        await _ready(storage)
        async with storage.read() as connection:
            span = Span.of(start, end)
            whole = await total(connection, span, only)
            lines = await grouped(connection, span, only, (by,))
            rows: list[dict[str, Any]] = []
            for line in sorted(lines, key=lambda line: -line.nanos):
                name = line.names[0] or NOBODY
                points = dict(await series(connection, days, {**only, by: name}, "d"))
                spent = [points[at].nanos if at in points else 0 for at in range(days.start, days.end, 86400)]
                rows.append({by: name, **_told(line), "last_days_usd": [float(to_usd(each)) for each in spent]})
    finally:
        await storage.close()
    return {"total": _told(whole), "by": by, "rows": rows}


def _told(line: "Line") -> dict[str, Any]:
    from execution_platform.ledger.money import to_usd

    return {
        "cost_usd": float(to_usd(line.nanos)),
        "requests": line.requests,
        "attempts": line.attempts,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "estimated_usd": float(to_usd(line.estimated_nanos)),
        "unpriced_attempts": line.unpriced,
    }


def _show(found: dict[str, Any], by: str) -> None:
    whole = found["total"]
    rows = [
        (
            row[by],
            dollars(row["cost_usd"]),
            f"{row['requests']:,}",
            f"{row['input_tokens']:,}",
            f"{row['output_tokens']:,}",
            sparkline(row["last_days_usd"]),
        )
        for row in found["rows"]
    ]
    tokens_in, tokens_out = f"{whole['input_tokens']:,}", f"{whole['output_tokens']:,}"
    rows.append(("total", dollars(whole["cost_usd"]), f"{whole['requests']:,}", tokens_in, tokens_out, ""))
    print_table("", (by, "cost", "requests", "input tokens", "output tokens", f"last {_DAYS} days"), rows)
    if whole["unpriced_attempts"]:
        typer.echo(f"{whole['unpriced_attempts']} tries have no price; `ep prices check` names their models")


def sparkline(values: list[float]) -> str:
    """One bar for each value, the highest at full height; nothing spent is a space."""
    most = max(values, default=0)
    if most <= 0:
        return ""
    return "".join(" " if value <= 0 else _BARS[round((len(_BARS) - 1) * value / most)] for value in values)


@app.command("reconcile")
def reconcile(
    export: Annotated[
        Path, typer.Argument(help="The provider's usage export, a CSV file.", exists=True, dir_okay=False)
    ],
    provider: Annotated[str, typer.Option(help="The provider's name in the configuration.")],
    config: ConfigFile = None,
    *,
    as_json: Json = False,
) -> None:
    """Compare the books with a provider's usage export, and say where and why they differ."""
    from execution_platform.ledger.reconcile import compare, read_export

    with told():
        theirs = read_export(export.read_text(encoding="utf-8", errors="replace"))
        ours = asyncio.run(_ours(config, provider, [day for day, _ in theirs]))
        lines = compare(ours, theirs)
        rows = [
            {
                "day": line.day.isoformat(),
                "model": line.model,
                "ours": _used(line.ours),
                "theirs": _used(line.theirs),
                "reason": line.reason or None,
            }
            for line in lines
        ]
        if as_json:
            print_json({"provider": provider, "rows": rows, "agree": not any(line.reason for line in lines)})
            return
        print_table(
            "",
            ("day", "model", "our tokens", "their tokens", "our cost", "their cost", ""),
            [
                (
                    line.day.isoformat(),
                    line.model,
                    _tokens(line.ours),
                    _tokens(line.theirs),
                    _cost(line.ours),
                    _cost(line.theirs),
                    line.reason or "agree",
                )
                for line in lines
            ],
        )


def _used(used: "Used") -> dict[str, Any]:
    return {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cost_usd": None if used.nanos is None else used.nanos / 1e9,
        "requests": used.requests,
    }


def _tokens(used: "Used") -> str:
    if used.input_tokens is None and used.output_tokens is None:
        return "-"
    return f"{used.input_tokens or 0:,} in, {used.output_tokens or 0:,} out"


def _cost(used: "Used") -> str:
    return "-" if used.nanos is None else dollars(used.nanos / 1e9)


async def _ours(config: str | None, provider: str, days: list[date]) -> "dict[Key, Used]":
    """What the books say of a provider on the days of an export."""
    from execution_platform.ledger.reconcile import Used
    from execution_platform.ledger.reports import Span, grouped

    found: dict[Key, Used] = {}
    storage = _storage(config)
    try:
        await _ready(storage)
        async with storage.read() as connection:
            for day in sorted(set(days)):
                start = datetime(day.year, day.month, day.day, tzinfo=UTC)
                span = Span.of(start, start + timedelta(days=1))
                for line in await grouped(connection, span, {"provider": provider}, ("model",)):
                    found[day, line.names[0]] = Used(line.input_tokens, line.output_tokens, line.nanos, line.attempts)
    finally:
        await storage.close()
    return found


def _storage(config: str | None) -> "Storage":
    from execution_platform.storage.address import address
    from execution_platform.storage.engine import Storage

    settings = read_settings(config)
    return Storage(address(settings.database_url, settings.workspace_root))


async def _ready(storage: "Storage") -> None:
    from execution_platform.storage.migrations import prepare

    await prepare(storage)
