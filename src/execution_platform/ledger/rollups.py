"""Sums of events by hour, day and month (UTC), kept as events are stored, so that a report reads hundreds of rows and not millions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import add
from typing import TYPE_CHECKING, Any, Literal, get_args

from execution_platform.ledger.interfaces import CostEvent, Settlement
from execution_platform.ledger.rows import name, whole
from execution_platform.storage.given import Given

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from execution_platform.storage.local import Session

Grain = Literal["h", "d", "m"]
GRAINS: tuple[Grain, ...] = get_args(Grain)
HOUR, DAY = 3600, 86400
TABLE = "cost_rollups"
KEYS = ("grain", "bucket", "tenant", "team", "key_id", "persona", "provider", "model")
SUMS = (
    "requests", "attempts", "failures", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "cost_nanos", "estimated_nanos", "unpriced",
)  # fmt: skip
_NANOSECONDS = 1_000_000_000
_FAILED = frozenset({"failed", "retried", "cut", "lost"})

Row = tuple[Any, ...]


def start_of(grain: Grain, seconds: int) -> int:
    """The start of the hour, day or month that a time is in, in seconds since 1970."""
    if grain == "h":
        return seconds - seconds % HOUR
    day = seconds - seconds % DAY
    return day if grain == "d" else _month(day)


@lru_cache(512)
def _month(day: int) -> int:
    moment = datetime.fromtimestamp(day, UTC)
    return day - (moment.day - 1) * DAY


def rows_of(events: Sequence[CostEvent]) -> list[Row]:
    """What `events` add: a row for each hour, day and month, in the order of `KEYS` and `SUMS`."""
    hours: dict[Row, list[int]] = {}
    for event in events:
        dispatch = event.dispatch
        account, seconds = dispatch.account, dispatch.at // _NANOSECONDS
        key = (
            seconds - seconds % HOUR,
            account.tenant,
            account.team,
            account.key_id,
            account.persona,
            dispatch.provider,
            dispatch.model,
        )
        total = hours.get(key)
        if total is None:
            total = hours[key] = [0] * len(SUMS)
        _add(total, event.settlement)
    sums: dict[Row, list[int]] = {}
    for (hour, *given), amounts in hours.items():
        names = tuple(map(name, given))
        for grain in GRAINS:
            key = (grain, start_of(grain, hour), *names)
            total = sums.get(key)
            sums[key] = amounts if total is None else list(map(add, total, amounts))
    # In one order everywhere, so that two replicas never wait for each other.
    return [(*key, *sums[key]) for key in sorted(sums)]


def _add(total: list[int], settlement: Settlement) -> None:
    """Add one event, in the order of `SUMS`; most have nothing for most of them."""
    counts, cost, confidence = settlement.counts, whole(settlement.cost_nanos), settlement.confidence
    if settlement.final:
        total[0] += 1
    total[1] += 1
    if settlement.status in _FAILED:
        total[2] += 1
    total[3] += whole(counts.input_tokens)
    total[4] += whole(counts.output_tokens)
    if counts.cache_read_tokens or counts.cache_write_tokens or counts.reasoning_tokens:
        total[5] += whole(counts.cache_read_tokens)
        total[6] += whole(counts.cache_write_tokens)
        total[7] += whole(counts.reasoning_tokens)
    total[8] += cost
    if confidence == "estimated":
        total[9] += cost
    elif confidence == "unpriced":
        total[10] += 1


def add_locally(session: "Session", rows: Sequence[Row]) -> None:
    """Add `rows` on SQLite, in the transaction that is open."""
    session.insert(TABLE, Given((*KEYS, *SUMS), rows), _local_clause())


@cache
def _local_clause() -> str:
    added = ",".join(f"{each}={each}+excluded.{each}" for each in SUMS)
    return f"ON CONFLICT ({','.join(KEYS)}) DO UPDATE SET {added}"


async def add_remotely(connection: "AsyncConnection", rows: Sequence[Row]) -> None:
    """Add `rows` on PostgreSQL, in the transaction that is open."""
    from sqlalchemy.dialects import postgresql

    from execution_platform.storage.schema import cost_rollups

    insert, columns = postgresql.insert(cost_rollups), cost_rollups.c
    adding = insert.on_conflict_do_update(
        index_elements=list(KEYS), set_={each: columns[each] + insert.excluded[each] for each in SUMS}
    )
    names = (*KEYS, *SUMS)
    await connection.execute(adding, [dict(zip(names, row, strict=True)) for row in rows])
