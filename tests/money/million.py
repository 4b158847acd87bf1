"""Summaries over a million rows of the books, on SQLite and on PostgreSQL."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from execution_platform.ledger.interfaces import Account, CostEvent, Counts, Dispatch, Settlement
from execution_platform.ledger.reports import By, Span, grouped
from execution_platform.ledger.store import EventStore
from execution_platform.storage.engine import Storage
from storage.opened import opened

_BATCH = 5000
_MINUTE = 60 * 1_000_000_000
_START = datetime(2026, 9, 1, tzinfo=UTC)
_DAYS = 60
_ASKED = 5


@dataclass(frozen=True)
class Summaries:
    """Milliseconds of one question each: the median of some tries."""

    rows: int
    milliseconds: dict[str, float]


def _batch(start: int, rows: int) -> Sequence[CostEvent]:
    begin, step = int(_START.timestamp()) * 1_000_000_000, _DAYS * 24 * 60 * _MINUTE // rows
    return [
        CostEvent(
            Dispatch(
                f"00000000-0000-8000-8000-{number:012x}",
                Account(f"r-{number}", f"tenant-{number % 20}", f"key-{number % 40}", f"persona-{number % 20 % 7}"),
                ("openai", "anthropic", "gemini")[number % 3],
                f"model-{number % 9}",
                at=begin + number * step,
            ),
            Settlement(
                f"00000000-0000-8000-8000-{number:012x}", "ok", 1000, "metered", final=True, counts=Counts(100, 50)
            ),
        )
        for number in range(start, min(start + _BATCH, rows))
    ]


async def fill(storage: Storage, rows: int) -> None:
    """So many events, evenly over two months, of 20 tenants."""
    store = EventStore(storage)
    for start in range(0, rows, _BATCH):
        await store.apply(_batch(start, rows))


async def summarise(url: str, rows: int) -> Summaries:
    """Fill a database and ask it."""
    async with opened(url) as storage:
        await fill(storage, rows)
        whole = Span.of(_START, _START + timedelta(days=_DAYS))
        odd = Span.of(_START + timedelta(days=3, hours=5), _START + timedelta(days=_DAYS - 2, hours=-7))
        questions: dict[str, tuple[Span, tuple[By, ...], dict[By, str]]] = {
            "all, by provider": (whole, ("provider",), {}),
            "odd hours, by model": (odd, ("model",), {}),
            "one tenant, by persona": (odd, ("persona",), {"tenant": "tenant-7"}),
            "all, by tenant, key and model": (whole, ("tenant", "key", "model"), {}),
        }
        found: dict[str, float] = {}
        for name, (span, by, only) in questions.items():
            took: list[float] = []
            for _ in range(_ASKED):
                begun = time.perf_counter()
                async with storage.read() as connection:
                    told = await grouped(connection, span, only, by)
                took.append((time.perf_counter() - begun) * 1000)
                assert told
            found[name] = statistics.median(took)
        return Summaries(rows, found)
