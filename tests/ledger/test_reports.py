"""Ranges of reports, against sums over the events themselves."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

from execution_platform.ledger.reports import Span, forecast, grouped, period_of, series, total
from execution_platform.ledger.rollups import start_of
from execution_platform.ledger.store import EventStore
from ledger.entries import event
from storage.opened import opened

BEGIN = datetime(2026, 1, 17, 5, tzinfo=UTC)


def test_every_range_is_the_sum_of_its_events(database_url: str) -> None:
    """R37: whole months, whole days and hours never overlap and never miss anything."""

    async def run() -> None:
        chance = random.Random(11)
        times = [int(BEGIN.timestamp()) + chance.randrange(100 * 86400) for _ in range(600)]
        events = [event(n, at=at * 10**9, nanos=n + 1, persona=chance.choice("ab")) for n, at in enumerate(times)]
        async with opened(database_url) as storage:
            await EventStore(storage).apply(events)
            async with storage.read() as connection:
                for _ in range(60):
                    start = BEGIN + timedelta(hours=chance.randrange(-50, 2400), minutes=chance.randrange(60))
                    span = Span.of(start, start + timedelta(hours=chance.randrange(1, 1800)))
                    inside = [each for each in events if span.start <= each.dispatch.at // 10**9 < span.end]
                    expected = sum(each.settlement.cost_nanos for each in inside)
                    assert (await total(connection, span, {})).nanos == expected
                    lines = await grouped(connection, span, {}, ("persona", "model"))
                    assert sum(line.nanos for line in lines) == expected
                    assert [line.names for line in lines] == sorted(line.names for line in lines)
                    for grain in ("h", "d", "m"):
                        points = await series(connection, span, {}, grain)  # type: ignore[arg-type]
                        assert sum(line.nanos for _, line in points) == expected
                        starts = {start_of(grain, each.dispatch.at // 10**9) for each in inside}  # type: ignore[arg-type]
                        assert [at for at, _ in points] == sorted(starts)

    asyncio.run(run())


def test_a_calendar_period_has_its_own_length() -> None:
    """R13: periods begin by the calendar, whatever the clock's zone."""
    for now, month in ((datetime(2026, 2, 28, 23, 59, tzinfo=UTC), 28), (datetime(2024, 2, 1, tzinfo=UTC), 29)):
        start, end = period_of("monthly", now)
        assert (start.day, (end - start).days) == (1, month)
    start, end = period_of("daily", datetime.fromisoformat("2026-03-01T01:30:00+09:00"))
    assert (start.isoformat(), end - start) == ("2026-02-28T00:00:00+00:00", timedelta(days=1))


def test_a_forecast_without_days_goes_on_at_the_pace_of_the_period() -> None:
    start, end = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    assert forecast(100, [], start, end, start + timedelta(days=15)) == 200
    assert forecast(100, [], start, end, start) == 100
    assert forecast(100, [10, 20], start, end, end - timedelta(days=2)) == 130
    assert forecast(100, [10], start, end, end + timedelta(days=1)) == 100
