"""Events in the database: each once, and every sum equal to them. On SQLite and on PostgreSQL."""

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from execution_platform._json import loads
from execution_platform.ledger.interfaces import CostEvent, Counts
from execution_platform.ledger.requests import COLUMNS as REQUEST_COLUMNS
from execution_platform.ledger.rollups import KEYS, SUMS
from execution_platform.ledger.rows import COLUMNS, row
from execution_platform.ledger.store import EventStore
from execution_platform.storage.engine import Storage
from execution_platform.storage.schema import cost_events, cost_rollups, request_log
from ledger.entries import AT, dispatch, event, settlement
from storage.opened import opened

HOUR = 3600 * 10**9


async def totals(storage: Storage) -> dict[str, int]:
    """Sums over the events themselves."""
    columns = ("input_tokens", "output_tokens", "cost_nanos")
    async with storage.read() as connection:
        row = (
            await connection.execute(
                select(func.count(), *(func.coalesce(func.sum(cost_events.c[name]), 0) for name in columns))
            )
        ).one()
    return dict(zip(("events", *columns), map(int, row), strict=True))


async def rolled(storage: Storage, grain: str) -> dict[str, int]:
    """The same sums as the roll-ups have them."""
    async with storage.read() as connection:
        asked = select(*(func.coalesce(func.sum(cost_rollups.c[name]), 0) for name in SUMS))
        row = (await connection.execute(asked.where(cost_rollups.c.grain == grain))).one()
    return dict(zip(SUMS, map(int, row), strict=True))


def some_events(count: int) -> list[CostEvent]:
    chance = random.Random(7)
    return [
        event(
            number,
            at=AT + chance.randrange(100) * HOUR,
            nanos=chance.randrange(10**9),
            final=number % 4 != 0,
            tenant=chance.choice(("acme", "umbrella")),
            persona=chance.choice(("", "architect")),
        )
        for number in range(count)
    ]


def test_an_event_delivered_three_times_in_any_order_counts_once(database_url: str) -> None:
    """B4."""

    async def run() -> None:
        async with opened(database_url) as storage:
            events = some_events(200)
            deliveries = events * 3
            random.Random(3).shuffle(deliveries)
            store = EventStore(storage)
            new = [await store.apply(deliveries[start : start + 37]) for start in range(0, len(deliveries), 37)]
            assert sum(new) == 200
            found = await totals(storage)
            assert found["events"] == 200
            assert found["cost_nanos"] == sum(each.settlement.cost_nanos for each in events)
            for grain in "hdm":
                sums = await rolled(storage, grain)
                assert sums["attempts"] == 200
                assert sums["requests"] == 150
                assert {name: sums[name] for name in ("input_tokens", "output_tokens", "cost_nanos")} == {
                    name: found[name] for name in ("input_tokens", "output_tokens", "cost_nanos")
                }

    asyncio.run(run())


def test_concurrent_deliveries_of_the_same_events_count_once(database_url: str) -> None:
    """B4: two replicas settle the same orphan at the same time."""

    async def run() -> None:
        async with opened(database_url) as storage:
            events = some_events(100)
            stores = [EventStore(storage) for _ in range(4)]
            new = await asyncio.gather(*(store.apply(events) for store in stores))
            assert sum(new) == 100
            assert (await rolled(storage, "d"))["attempts"] == 100

    asyncio.run(run())


def test_a_projection_that_fails_undoes_the_whole_batch(database_url: str) -> None:
    """R37: no sum without its events, no events without their sum."""

    class Failing:
        def concerns(self, events: Sequence[CostEvent]) -> bool:
            return True

        def project(self, connection: object, events: Sequence[CostEvent]) -> None:
            raise ArithmeticError

        def stored(self, events: Sequence[CostEvent]) -> None:
            pass

    async def run() -> None:
        async with opened(database_url) as storage:
            with pytest.raises(ArithmeticError):
                await EventStore(storage, [Failing()]).apply(some_events(5))
            assert (await totals(storage))["events"] == 0
            assert (await rolled(storage, "h"))["attempts"] == 0

    asyncio.run(run())


def test_a_projection_sees_every_event_exactly_once(database_url: str) -> None:
    class Counting:
        def __init__(self) -> None:
            self.seen: list[str] = []
            self.kept = 0

        def concerns(self, events: Sequence[CostEvent]) -> bool:
            return True

        def project(self, connection: object, events: Sequence[CostEvent]) -> None:
            self.seen += [each.id for each in events]

        def stored(self, events: Sequence[CostEvent]) -> None:
            self.kept += len(events)

    async def run() -> None:
        async with opened(database_url) as storage:
            counting, events = Counting(), some_events(30)
            store = EventStore(storage, [counting])
            await store.apply(events[:20])
            await store.apply(events[10:])
            assert sorted(counting.seen) == sorted(each.id for each in events)
            assert counting.kept == 40

    asyncio.run(run())


def test_a_fraction_of_a_micro_dollar_is_kept(database_url: str) -> None:
    """B6: five tokens of an embedding model cost a tenth of a micro-dollar, and a million such calls ten cents."""

    async def run() -> None:
        async with opened(database_url) as storage:
            await EventStore(storage).apply([event(1, nanos=100)])
            async with storage.read() as connection:
                usd = (await connection.execute(select(cost_events.c.cost_usd))).scalar_one()
            assert round(Decimal(usd), 9) == Decimal("0.0000001")

    asyncio.run(run())


def test_no_event_is_too_strange_to_be_stored(database_url: str) -> None:
    """One event the database refuses would hold up all behind it."""
    strange = "x" * 500 + "\0\ud800é"
    given = dict.fromkeys(("request_id", "tenant", "key_id", "persona", "run_id", "provider", "model"), strange)

    async def run() -> None:
        async with opened(database_url) as storage:
            odd = CostEvent(dispatch(1, **given), settlement(1, nanos=2**70, tokens=(-5, 2**65), error=strange))
            assert await EventStore(storage).apply([odd]) == 1
            assert (await totals(storage))["input_tokens"] == 0

    asyncio.run(run())


def varied(number: int) -> CostEvent:
    """Events that have some columns in common, in many combinations."""
    given = {"tenant": f"tenant-{number % 3}", "persona": "é" * (number % 2), "arm": "canary" * (number % 5 == 0)}
    ended = settlement(number, nanos=number, final=number % 4 != 0, error="timeout" if number % 7 == 0 else None)
    counts = Counts(number, 3, 2, 1, units={"image": number}) if number % 6 == 0 else Counts(number, 3)
    return CostEvent(dispatch(number, at=AT + number, **given), replace(ended, counts=counts))


def test_every_column_of_a_row_is_that_of_its_event(database_url: str) -> None:
    """B4: whatever rows came with it, how much they have in common, and which of them were there already."""
    events = [varied(number) for number in range(120)]

    async def run() -> None:
        async with opened(database_url) as storage:
            store = EventStore(storage)
            assert await store.apply([each for each in events[:60] if each.settlement.counts.units is None]) == 50
            assert await store.apply(events) == 70
            asked = select(*(cost_events.c[name] for name in COLUMNS)).order_by(cost_events.c.id)
            async with storage.read() as connection:
                found = [dict(each) for each in (await connection.execute(asked)).mappings()]
        for each, wanted in zip(found, (dict(zip(COLUMNS, row(one), strict=True)) for one in events), strict=True):
            assert each == {**wanted, "units": wanted["units"] and loads(wanted["units"])}

    asyncio.run(run())


def test_columns_that_are_written_without_the_schema_are_those_of_the_schema() -> None:
    assert list(KEYS) == [column.name for column in cost_rollups.primary_key.columns]
    assert set(KEYS + SUMS) == {column.name for column in cost_rollups.columns}
    assert set(COLUMNS) == {column.name for column in cost_events.columns} - {"seq", "cost_usd"}
    assert set(REQUEST_COLUMNS) == {column.name for column in request_log.columns} - {"seq"}
