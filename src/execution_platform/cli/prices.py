"""`ep prices`: what models cost and by whose authority, setting prices at run time, and what has no price."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from execution_platform.cli.books import note
from execution_platform.cli.outcome import Exit, told
from execution_platform.cli.output import ConfigFile, Json, print_json, print_table
from execution_platform.cli.snapshot import open_config, read_settings

if TYPE_CHECKING:
    from execution_platform.catalog.prices import PriceBook
    from execution_platform.config.pricing import PriceOverride
    from execution_platform.config.settings import Settings
    from execution_platform.ledger.price_table import PriceTable
    from execution_platform.storage.engine import Storage

T = TypeVar("T")
app = typer.Typer(help="What models cost, and setting prices at run time.", no_args_is_help=True)
Model = Annotated[str, typer.Argument(help="provider/model; * for every model of the provider.")]
Day = Annotated[str | None, typer.Option("--from", help="First day it holds, UTC.", show_default="today")]
_COMMON = ("cache_read", "cache_write", "cache_write_1h")


@app.command("list")
def list_prices(
    provider: Annotated[str | None, typer.Option(help="Only this provider.")] = None,
    config: ConfigFile = None,
    *,
    as_json: Json = False,
) -> None:
    """Show what each configured model costs, in US dollars per million tokens, and by whose authority."""
    from execution_platform.catalog.prices import ANY
    from execution_platform.catalog.showing import shown

    with told():
        book = asyncio.run(_book(read_settings(config)))
        names = [name for name in book.known() if name[1] != ANY and provider in {None, name[0]}]
        rows = [shown(name, book.quote(*name)) for name in names]
        if as_json:
            print_json({"prices": rows})
        else:
            columns = ("model", "input", "output", *(name.replace("_", " ") for name in _COMMON), "source")
            print_table("", columns, [_cells(row) for row in rows])


@app.command("show")
def show(
    model: Model,
    at: Annotated[str | None, typer.Option(help="Day or moment asked about.", show_default="now")] = None,
    config: ConfigFile = None,
) -> None:
    """Show all of one model's price as JSON, whether or not the model is configured."""
    from execution_platform.catalog.showing import shown

    with told():
        book = asyncio.run(_book(read_settings(config)))
        name = _name(model)
        moment = datetime.now(UTC) if at is None else _moment(at)
        quote = book.quote_at(*name, moment)
        print_json(shown(name, quote))
        if quote is None:
            raise typer.Exit(Exit.REFUSED)


@app.command("set")
def set_price(
    model: Model,
    *,
    rates: Annotated[
        list[str] | None,
        typer.Argument(
            help="RATE=USD per million tokens: input=3 output=15 cache_read=0.3; request=USD for each answer."
        ),
    ] = None,
    free: Annotated[bool, typer.Option("--free", help="It costs nothing.")] = False,
    start: Day = None,
    config: ConfigFile = None,
) -> None:
    """Set the price of a model from a day on; what was spent before keeps its cost."""
    with told():
        settings = read_settings(config)
        provider, name = _known(settings, model)
        price = _checked({**_given(rates or []), **({"free": True} if free else {})})
        day = _day(start)

        async def work(table: "PriceTable", storage: "Storage") -> None:
            await table.put(provider, name, day, price, by="ep prices")
            given: dict[str, object] = {"rates": " ".join(rates or []), "free": free, "from": day.isoformat()}
            await note(storage, "price.set", "price", f"{provider}/{name}", given)

        asyncio.run(_with_table(settings, work))
        typer.echo(f"{provider}/{name}: set from {day.isoformat()} on; gateways obey it within two seconds")


@app.command("unset")
def unset(
    model: Model,
    start: Annotated[str | None, typer.Option("--from", help="Only the price of this first day.")] = None,
    config: ConfigFile = None,
) -> None:
    """Take the prices of a model away that were set at run time; the configuration's and the list price count again."""
    with told():
        provider, name = _name(model)
        day = None if start is None else _day(start)

        async def work(table: "PriceTable", storage: "Storage") -> int:
            gone = await table.remove(provider, name, day)
            for row in gone:
                day_gone: dict[str, object] = {"from": row.start.isoformat()}
                await note(storage, "price.remove", "price", f"{provider}/{name}", day_gone)
            return len(gone)

        if not asyncio.run(_with_table(read_settings(config), work)):
            from execution_platform.exceptions import RouterError

            raise RouterError(f"no price of {provider}/{name} was set at run time", code="not_found")
        typer.echo("removed")


@app.command("check")
def check(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Name the configured models whose price nobody knows: requests for them are refused. Ends with 4 if there are any."""
    with told():
        found = asyncio.run(_book(read_settings(config))).unpriced()
        if as_json:
            print_json(
                {"unpriced": [{"provider": one.provider, "model": one.model, "remedy": one.remedy} for one in found]}
            )
        elif found:
            for one in found:
                typer.echo(f"{one.provider}/{one.model} has no price: {one.remedy}")
        else:
            typer.echo("every configured model has a price")
        if found:
            raise typer.Exit(Exit.REFUSED)


async def _book(settings: "Settings") -> "PriceBook":
    """The prices a gateway of this workspace would use now."""
    from execution_platform.catalog.prices import PriceBook, StoredPrices
    from execution_platform.ledger.price_table import by_model

    stored = StoredPrices()

    async def work(table: "PriceTable", _: "Storage") -> None:
        stored.current = by_model(await table.all())

    await _with_table(settings, work)
    return PriceBook(open_config(settings), stored)


async def _with_table(settings: "Settings", work: "Callable[[PriceTable, Storage], Awaitable[T]]") -> T:
    from execution_platform.cli.books import books, ready
    from execution_platform.ledger.price_table import PriceTable

    async with books(settings) as storage:
        return await work(PriceTable(storage, ready), storage)


def _known(settings: "Settings", model: str) -> tuple[str, str]:
    """Provider and model. Raises `RouterError` for a provider nobody configured."""
    from execution_platform.config.problems import suggest
    from execution_platform.exceptions import RouterError

    provider, name = _name(model)
    providers = open_config(settings).providers
    if provider not in providers:
        raise RouterError(f"{provider!r} is no provider here. {suggest(provider, providers)}")
    return provider, name


def _name(text: str) -> tuple[str, str]:
    from execution_platform.exceptions import InvalidRequest

    provider, separator, model = text.partition("/")
    if not separator or not provider or not model:
        raise InvalidRequest(f"{text!r} names no model; write provider/model")
    return provider, model


def _given(rates: list[str]) -> dict[str, object]:
    """`input=3` and others. Raises `InvalidRequest` for what has another form."""
    from execution_platform.exceptions import InvalidRequest

    found: dict[str, object] = {}
    for text in rates:
        name, _, value = text.partition("=")
        try:
            found[name.strip().replace("-", "_")] = Decimal(value)
        except InvalidOperation:
            raise InvalidRequest(f"{text!r} is no rate; write input=3") from None
    return found


def _checked(given: dict[str, Any]) -> "PriceOverride":
    """The price that was written. Raises `InvalidRequest` that names what is wrong with it."""
    from pydantic import ValidationError

    from execution_platform.config.written.pricing import RawPrice, price_override
    from execution_platform.exceptions import InvalidRequest

    try:
        return price_override(RawPrice.model_validate(given))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        problem = first["msg"].removeprefix("Value error, ")
        raise InvalidRequest(f"the price {where} {problem}" if where else f"the price {problem}") from None


def _day(text: str | None) -> date:
    return datetime.now(UTC).date() if text is None else _moment(text).date()


def _moment(text: str) -> datetime:
    from execution_platform.exceptions import InvalidRequest

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{text!r} is no day; write 2026-12-01") from None
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    rates = ("", "") if row["source"] == "none" else (_rate(row, "input"), _rate(row, "output"))
    source = "no price" if row["source"] == "none" else row["price_version"]
    return (f"{row['provider']}/{row['model']}", *rates, *(_rate(row, name) for name in _COMMON), source)


def _rate(row: dict[str, Any], name: str) -> str:
    if row.get("free"):
        return "free" if name == "input" else ""
    return f"{row[name]:g}" if name in row else ""
