"""`ep budgets`: what stands in every budget, setting one, taking one away, approving more."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from execution_platform.cli.books import books, note, ready
from execution_platform.cli.outcome import told
from execution_platform.cli.output import ConfigFile, Json, dollars, print_json, print_table
from execution_platform.cli.snapshot import read_settings

if TYPE_CHECKING:
    from execution_platform.config.settings import Settings
    from execution_platform.ledger.budget_table import BudgetTable
    from execution_platform.ledger.statement import Row
    from execution_platform.storage.engine import Storage

T = TypeVar("T")
_KIND = "budget"
app = typer.Typer(help="Budgets: what is spent and left, and setting them at run time.", no_args_is_help=False)

Period = Annotated[str, typer.Option("--period", help="minute, hourly, daily, monthly or total.")]
Usd = Annotated[str | None, typer.Option("--usd", help="US dollars.")]
Tokens = Annotated[int | None, typer.Option("--tokens", help="Input and output tokens together.")]


@app.callback(invoke_without_command=True)
def budgets(context: typer.Context, config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Show every account in its current period."""
    if context.invoked_subcommand is not None:
        return
    with told():
        rows = asyncio.run(_statement(read_settings(config)))
        if as_json:
            print_json({"budgets": [{name: _plain(value) for name, value in asdict(row).items()} for row in rows]})
            return
        if not rows:
            typer.echo("no budgets; `ep budgets set --help` tells how to set one")
            return
        print_table(
            "",
            ("account", "period", "spent", "limit", "used", "forecast", "tokens", "of", "until", "on breach"),
            [_cells(row) for row in rows],
        )


@app.command("set")
def set_budget(  # noqa: PLR0913 - each is an option
    *,
    period: Period,
    usd: Usd = None,
    tokens: Tokens = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant, or * for each.")] = None,
    team: Annotated[str | None, typer.Option(help="Team, or * for each.")] = None,
    key: Annotated[str | None, typer.Option(help="Name of a gateway key, or * for each.")] = None,
    persona: Annotated[str | None, typer.Option(help="Persona, or * for each.")] = None,
    model: Annotated[str | None, typer.Option(help="Model or provider, or * for each.")] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Set the budget of a tenant, team, key, persona or model, or of the whole gateway when none is named."""
    given = {"tenant": tenant, "team": team, "key": key, "persona": persona, "model": model, "tokens": tokens}
    written: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    with told():
        if usd is not None:
            written["usd"] = _decimal(usd)
        name, identity = asyncio.run(_set(read_settings(config), {**written, "period": period}))
        if as_json:
            print_json({"id": identity, "scope": name, "period": period})
            return
        typer.echo(f"{name} {period}: set ({identity}); gateways obey it within two seconds")


@app.command("remove")
def remove(
    budget_id: Annotated[str, typer.Argument(help="Id, as set and the API show it.")], config: ConfigFile = None
) -> None:
    """Take a budget out of force that was set at run time."""

    async def work(table: "BudgetTable", storage: "Storage") -> bool:
        removed = await table.remove(budget_id)
        if removed:
            await note(storage, "budget.remove", _KIND, budget_id, {})
        return removed

    with told():
        if not asyncio.run(_with_database(read_settings(config), work)):
            from execution_platform.exceptions import RouterError

            raise RouterError(f"no budget {budget_id!r} was set at run time", code="not_found")
        typer.echo("removed")


@app.command("approve")
def approve(
    account: Annotated[str, typer.Argument(help="Account as the list names it, such as team:web or gateway.")],
    *,
    period: Period,
    usd: Usd = None,
    tokens: Tokens = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Approve more for the current period of an account: requests that wait for it go on, and its limit is back in the next."""
    with told():
        extra = None if usd is None else _decimal(usd)
        row = asyncio.run(_approve(read_settings(config), account, period, extra, tokens))
        if as_json:
            print_json({name: _plain(value) for name, value in asdict(row).items()})
            return
        parts = [] if row.limit_usd is None else [dollars(row.limit_usd)]
        parts += [] if row.limit_tokens is None else [f"{row.limit_tokens} tokens"]
        until = "" if row.period_end is None else f" until {row.period_end:%Y-%m-%d %H:%M}Z"
        typer.echo(f"{account} {period}: {' and '.join(parts)}{until}")


async def _approve(settings: "Settings", account: str, period: str, usd: Decimal | None, tokens: int | None) -> "Row":
    import time
    from typing import cast

    from execution_platform.cli.snapshot import open_config
    from execution_platform.exceptions import RouterError, UnprocessableRequest
    from execution_platform.ledger.budget_store import SqlBudgetStore
    from execution_platform.ledger.budgets import Amount, Rules
    from execution_platform.ledger.configured import configured_budgets
    from execution_platform.ledger.money import to_nanos
    from execution_platform.ledger.periods import Period as LedgerPeriod
    from execution_platform.ledger.periods import window
    from execution_platform.ledger.statement import of_bounds

    if not ((usd or 0) > 0 or (tokens or 0) > 0):
        raise UnprocessableRequest("approve needs --usd or --tokens, above zero")
    configured = open_config(settings).spending

    async def work(table: "BudgetTable", storage: "Storage") -> "Row":
        rules = Rules((*configured_budgets(configured), *(await table.all())))
        bound = rules.bound(account, cast("LedgerPeriod", period))
        if bound is None:
            raise RouterError(f"no budget speaks of {account} {period}; `ep budgets` lists them", code="not_found")
        store, at = SqlBudgetStore(storage, ready), time.time()
        extra = Amount(0 if usd is None else to_nanos(usd), tokens or 0)
        await store.approve(bound.scope, bound.period, window(bound.period, at, bound.zone), extra)
        details: dict[str, object] = {"period": period, "usd": str(usd or 0), "tokens": tokens or 0}
        await note(storage, "budget.approve", _KIND, bound.scope, details)
        (row,) = await of_bounds(store, (bound,), at)
        return row

    return await _with_database(settings, work)


async def _statement(settings: "Settings") -> list["Row"]:
    import time

    from execution_platform.cli.snapshot import open_config
    from execution_platform.ledger.budget_store import SqlBudgetStore
    from execution_platform.ledger.budgets import Rules
    from execution_platform.ledger.configured import configured_budgets
    from execution_platform.ledger.statement import statement

    config = open_config(settings)

    async def work(table: "BudgetTable", storage: "Storage") -> list["Row"]:
        store = SqlBudgetStore(storage, ready)
        rules = Rules((*configured_budgets(config.spending), *(await table.all())))
        written = {budget.name for budget in rules.budgets if budget.source != "builtin"}
        rows = await statement(store, rules, time.time())
        # Built-in personas have budgets too; one that nobody uses would only hide the others.
        return [row for row in rows if row.scope in written or row.requests]

    return await _with_database(settings, work)


async def _set(settings: "Settings", written: dict[str, object]) -> tuple[str, str]:
    from pydantic import ValidationError

    from execution_platform.cli.snapshot import open_config
    from execution_platform.config.spending import RawLimit
    from execution_platform.config.spending_limits import limit_of
    from execution_platform.exceptions import UnprocessableRequest
    from execution_platform.ledger.configured import budget_of

    try:
        raw = RawLimit.model_validate(written)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"--{part}: " for part in found["loc"][:1])
        raise UnprocessableRequest(where + found["msg"].removeprefix("Value error, ")) from None
    zone = open_config(settings).spending.time_zone

    async def work(table: "BudgetTable", storage: "Storage") -> tuple[str, str]:
        budget = await table.put(budget_of(limit_of(raw, zone)))
        details = {name: str(value) for name, value in written.items()}
        await note(storage, "budget.set", _KIND, budget.id or "", {"scope": budget.name, **details})
        return budget.name, budget.id or ""

    return await _with_database(settings, work)


async def _with_database(settings: "Settings", work: "Callable[[BudgetTable, Storage], Awaitable[T]]") -> T:
    from execution_platform.ledger.budget_table import BudgetTable

    async with books(settings) as storage:
        return await work(BudgetTable(storage, ready), storage)


def _decimal(text: str) -> Decimal:
    from decimal import InvalidOperation

    from execution_platform.exceptions import UnprocessableRequest

    try:
        return Decimal(text)
    except InvalidOperation:
        raise UnprocessableRequest(f"--usd {text!r} is no amount; write 12.50") from None


def _cells(row: "Row") -> tuple[str, ...]:
    return (
        row.scope,
        row.period,
        dollars(row.spent_usd),
        "" if row.limit_usd is None else dollars(row.limit_usd),
        _bar(row),
        "" if row.forecast_usd is None else dollars(row.forecast_usd),
        str(row.spent_tokens),
        "" if row.limit_tokens is None else str(row.limit_tokens),
        "" if row.period_end is None else f"{row.period_end:%Y-%m-%d %H:%M}Z",
        row.on_breach,
    )


def _bar(row: "Row") -> str:
    """How much is used, as ten boxes and a percentage."""
    shares: list[float] = []
    if row.limit_usd:
        shares.append(float(row.spent_usd / row.limit_usd))
    if row.limit_tokens:
        shares.append(row.spent_tokens / row.limit_tokens)
    share = max(shares, default=0.0)
    full = min(10, round(share * 10))
    return f"{'█' * full}{'░' * (10 - full)} {share:.0%}"


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime) else value
