"""Prices set at run time: stored as they were written, by day, and seen to have changed. On SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from execution_platform.catalog.prices import PriceBook, StoredPrices
from execution_platform.config.files import parse_config
from execution_platform.config.known import known
from execution_platform.config.pricing import PriceOverride, RateOverride
from execution_platform.config.resolve import resolve
from execution_platform.config.settings import Settings
from execution_platform.config.written.pricing import RawPrice, price_override
from execution_platform.ledger.price_table import PriceTable, by_model
from execution_platform.spi.usage import Usage
from storage.opened import opened

PLAIN = PriceOverride(rates=RateOverride(input=Decimal(3), output=Decimal(15)))
DAY = date(2026, 11, 1)
EVERYTHING = price_override(
    RawPrice.model_validate(
        {
            "input": 0.000001,
            "output": 999999.999999,
            "cache_read": 0.3,
            "cache_write": 3.75,
            "cache_write_1h": 6,
            "cache_read_audio": 0.05,
            "input_audio": 100,
            "input_image": 5,
            "output_audio": 200,
            "output_image": 30,
            "reasoning": 20,
            "request": 0.005,
            "units": {"web_search": 0.01},
            "long_prompts": [{"above": 200000, "input": 6, "output": 22.5}],
            "tiers": {"batch": {"input": 1.5}, "fast": {"input": 30, "output": 150}},
        }
    )
)


def on(url: str, work: Callable[[PriceTable], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(url) as storage:

            async def ready() -> None:
                """The tables are there."""

            await work(PriceTable(storage, ready))

    asyncio.run(run())


@pytest.mark.parametrize("price", [PLAIN, EVERYTHING, PriceOverride(free=True)], ids=["plain", "everything", "free"])
def test_a_price_comes_back_as_it_was_written(database_url: str, price: PriceOverride) -> None:
    async def work(table: PriceTable) -> None:
        put = await table.put("openai", "gpt-4o", DAY, price, by="ann")
        (row,) = await table.all()
        assert row.price == price
        assert (row.provider, row.model, row.start, row.set_by) == ("openai", "gpt-4o", DAY, "ann")
        assert row.version == put.version

    on(database_url, work)


def test_every_change_is_seen_in_the_fingerprint(database_url: str) -> None:
    """Field item 17: a replica that looks at the fingerprint misses no change."""

    async def work(table: PriceTable) -> None:
        seen = [await table.fingerprint()]
        await table.put("openai", "a", DAY, PLAIN)
        seen.append(await table.fingerprint())
        await table.put("openai", "a", DAY, EVERYTHING)
        seen.append(await table.fingerprint())
        await table.put("openai", "b", DAY, PLAIN)
        seen.append(await table.fingerprint())
        assert len(await table.remove("openai", "a")) == 1
        seen.append(await table.fingerprint())
        await table.put("openai", "a", DAY, PLAIN)
        seen.append(await table.fingerprint())
        assert len(set(seen)) == len(seen)
        assert not await table.remove("openai", "nothing")

    on(database_url, work)


def test_writers_at_the_same_time_get_different_times(database_url: str) -> None:
    async def work(table: PriceTable) -> None:
        rows = await asyncio.gather(*(table.put("openai", f"m{number}", DAY, PLAIN) for number in range(12)))
        assert len({row.updated_at for row in rows}) == 12
        assert (await table.fingerprint())[0] == 12

    on(database_url, work)


def test_one_first_day_can_be_taken_away_alone(database_url: str) -> None:
    async def work(table: PriceTable) -> None:
        later = date(2026, 12, 1)
        for day in (DAY, later):
            await table.put("openai", "a", day, PLAIN)
        (gone,) = await table.remove("openai", "a", later)
        assert gone.start == later
        assert [row.start for row in await table.all()] == [DAY]

    on(database_url, work)


def test_rows_price_by_their_day_and_name_it(database_url: str) -> None:
    async def work(table: PriceTable) -> None:
        await table.put("openai", "gpt-4o", DAY, PLAIN)
        await table.put("openai", "gpt-4o", date(2026, 12, 1), PriceOverride(free=True))
        stored = StoredPrices()
        stored.current = by_model(await table.all())
        book = PriceBook(resolve(parse_config(""), Settings(environ={}), known().usual_kinds), stored)
        usage = Usage(1_000_000, 0)
        before, within, after = (
            book.quote_at("openai", "gpt-4o", datetime(2026, month, day, 23, 59, tzinfo=UTC))
            for month, day in ((10, 31), (11, 30), (12, 1))
        )
        assert before is not None
        assert within is not None
        assert after is not None
        assert [quote.cost(usage).usd for quote in (before, within, after)] == [Decimal("2.5"), 3, 0]
        assert before.version.startswith("genai-prices/")
        assert within.version.startswith("table@2026-11-01/")
        assert after.version.startswith("table@2026-12-01/")

    on(database_url, work)
