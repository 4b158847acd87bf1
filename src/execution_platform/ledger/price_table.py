"""Prices that were set at run time: stored by provider, model and the day from which they hold, found by every replica.

A row is a vendor's or a contract's price from one day (UTC) on, until a later row of the same model. Nothing that was spent is
priced anew when rows change: an event has its cost, and the version of the price it was made with.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from execution_platform.catalog.prices import Dated
from execution_platform.config.pricing import PriceOverride, RateOverride
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

    from execution_platform.storage.local import Session

_COLUMNS = {
    "input": "input_cost_per_1k",
    "output": "output_cost_per_1k",
    "cache_read": "cache_read_cost_per_1k",
    "cache_write": "cache_write_cost_per_1k",
    "cache_write_1h": "cache_write_1h_cost_per_1k",
    "reasoning": "reasoning_cost_per_1k",
    "input_audio": "input_audio_cost_per_1k",
    "output_audio": "output_audio_cost_per_1k",
}
"""Rates with a column; the others are in the document `tiers`."""
_THOUSAND = 1000
_PLACES = Decimal("0.000001")

Fingerprint = tuple[int, str]
"""How many prices there are, and when the last of them was set. Differs whenever the table does."""


class StoredPrice(NamedTuple):
    """A price that was set at run time."""

    provider: str
    model: str
    start: date
    price: PriceOverride
    set_by: str
    updated_at: datetime

    @property
    def version(self) -> str:
        """What events say of it: its first day, and when it was set."""
        return f"table@{self.start.isoformat()}/{self.updated_at:%Y%m%dT%H%M%S.%fZ}"


class PriceTable:
    """Reads and writes the table `pricing_table`. Every method raises `DatabaseUnavailable`."""

    def __init__(self, storage: Storage, ready: Callable[[], Awaitable[object]]) -> None:
        """`ready` makes sure that the tables are there, and is quick when they are."""
        self._storage = storage
        self._ready = ready

    async def fingerprint(self) -> Fingerprint:
        """Of what the table holds now."""
        await self._ready()
        if not self._storage.is_postgresql:
            return await self._storage.local(_fingerprint)
        from sqlalchemy import func, select

        from execution_platform.storage.schema import pricing_table

        async with self._storage.read() as connection:
            statement = select(func.count(), func.max(pricing_table.c.updated_at))
            count, latest = (await connection.execute(statement)).one()
            return int(count), "" if latest is None else latest.isoformat()

    async def all(self) -> list[StoredPrice]:
        """Every price, by provider, model and first day."""
        from sqlalchemy import select

        from execution_platform.storage.schema import pricing_table

        columns = pricing_table.c
        await self._ready()
        async with self._storage.read() as connection:
            order = select(pricing_table).order_by(columns.provider, columns.model, columns.effective_date)
            return [_stored(row) for row in (await connection.execute(order)).mappings()]

    async def put(self, provider: str, model: str, start: date, price: PriceOverride, *, by: str = "") -> StoredPrice:
        """Set the price of a model from a day on; the one that begins on that day is replaced."""
        from sqlalchemy import update

        from execution_platform.storage.schema import pricing_table

        columns = pricing_table.c
        key = {"provider": provider, "model": model, "effective_date": start}
        await self._ready()
        async with self._storage.write() as connection:
            now = await self._moment(connection)
            values = {**_values(price), "set_by": by[:200], "updated_at": now}
            same = (columns.provider == provider) & (columns.model == model) & (columns.effective_date == start)
            done = await connection.execute(update(pricing_table).where(same).values(**values))
            if not done.rowcount:
                await connection.execute(pricing_table.insert().values(**key, **values))
        return StoredPrice(provider, model, start, price, by, now)

    async def remove(self, provider: str, model: str, start: date | None = None) -> list[StoredPrice]:
        """Take a model's prices away, all of them or the one of a first day; those that were there."""
        from sqlalchemy import delete, select

        from execution_platform.storage.schema import pricing_table

        columns = pricing_table.c
        which = (columns.provider == provider) & (columns.model == model)
        if start is not None:
            which &= columns.effective_date == start
        await self._ready()
        async with self._storage.write() as connection:
            await self._moment(connection)
            found = (await connection.execute(select(pricing_table).where(which))).mappings().all()
            await connection.execute(delete(pricing_table).where(which))
        return [_stored(row) for row in found]

    async def _moment(self, connection: "AsyncConnection") -> datetime:
        """A time after that of every row, and nobody else's: writers wait for each other, and clocks may differ."""
        from sqlalchemy import func, select, text

        from execution_platform.storage.schema import pricing_table

        if self._storage.is_postgresql:
            await connection.execute(text("LOCK TABLE pricing_table IN SHARE ROW EXCLUSIVE MODE"))
        latest = (await connection.execute(select(func.max(pricing_table.c.updated_at)))).scalar()
        now = datetime.now(UTC)
        return now if latest is None else max(now, latest + timedelta(microseconds=1))


def _fingerprint(session: "Session") -> Fingerprint:
    count, latest = session.connection.execute("SELECT count(*), max(updated_at) FROM pricing_table").fetchone()
    return int(count), latest or ""


def by_model(rows: Sequence[StoredPrice]) -> dict[tuple[str, str], Sequence[Dated]]:
    """Rows as a price book reads them."""
    found: dict[tuple[str, str], list[Dated]] = {}
    for row in sorted(rows, key=_first_day):
        found.setdefault((row.provider, row.model), []).append(Dated(row.start, row.price, row.version))
    return {key: tuple(prices) for key, prices in found.items()}


def _first_day(row: StoredPrice) -> date:
    return row.start


def _values(price: PriceOverride) -> dict[str, Any]:
    rates = price.rates.given()
    columns = {
        column: rates[name] / _THOUSAND if name in rates else None  # exact: a rate has six decimals at most
        for name, column in _COLUMNS.items()
    }
    others = {name: str(rate) for name, rate in rates.items() if name not in _COLUMNS}
    document: dict[str, Any] = {
        "rates": others,
        "request": None if price.request is None else str(price.request),
        "long_prompts": [[above, _texts(longer)] for above, longer in price.long_prompts],
        "tiers": {name: _texts(tier) for name, tier in price.tiers.items()},
    }
    told = {name: value for name, value in document.items() if value}
    return {
        **columns,
        "units": {name: str(each) for name, each in price.units.items()} or None,
        "tiers": told or None,
        "free": price.free,
    }


def _texts(rates: RateOverride) -> dict[str, str]:
    return {name: str(rate) for name, rate in rates.given().items()}


def _stored(row: "RowMapping") -> StoredPrice:
    fields = cast("Mapping[str, Any]", row)
    told: Mapping[str, Any] = fields["tiers"] or {}
    rates = {
        name: (fields[column] * _THOUSAND).quantize(_PLACES).normalize()
        for name, column in _COLUMNS.items()
        if fields[column] is not None
    }
    request = told.get("request")
    price = PriceOverride(
        rates=RateOverride(**rates, **_decimals(told.get("rates", {}))),
        request=None if request is None else Decimal(request),
        units=_decimals(fields["units"] or {}),
        long_prompts=tuple(
            (int(above), RateOverride(**_decimals(longer))) for above, longer in told.get("long_prompts", [])
        ),
        tiers={name: RateOverride(**_decimals(tier)) for name, tier in told.get("tiers", {}).items()},
        free=bool(fields["free"]),
    )
    day: date = fields["effective_date"]
    return StoredPrice(fields["provider"], fields["model"], day, price, fields["set_by"], fields["updated_at"])


def _decimals(texts: Mapping[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(text) for name, text in texts.items()}
