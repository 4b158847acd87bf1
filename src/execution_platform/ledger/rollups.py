"""Sums of events by hour, day and month (UTC), kept as events are stored, so that a report reads hundreds of rows and not millions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from sqlalchemy.dialects import postgresql, sqlite

from execution_platform.ledger.interfaces import CostEvent, Dispatch, Settlement
from execution_platform.ledger.rows import name, whole
from execution_platform.storage.schema import cost_rollups

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

Grain = Literal["h", "d", "m"]
GRAINS: tuple[Grain, ...] = get_args(Grain)
HOUR, DAY = 3600, 86400
KEYS = tuple(column.name for column in cost_rollups.primary_key.columns)
SUMS = tuple(column.name for column in cost_rollups.columns if column.name not in KEYS)
_NANOSECONDS = 1_000_000_000
_FAILED = frozenset({"failed", "retried", "cut", "lost"})


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


class Rollups:
    """The projection that keeps `cost_rollups`."""

    async def project(self, connection: "AsyncConnection", events: Sequence[CostEvent]) -> None:
        """Add `events` to their hour, their day and their month."""
        sums: dict[tuple[Any, ...], list[int]] = {}
        for event in events:
            amounts = _amounts(event.settlement)
            seconds = event.dispatch.at // _NANOSECONDS
            names = _names(event.dispatch)
            for grain in GRAINS:
                key = (grain, start_of(grain, seconds), *names)
                total = sums.get(key)
                sums[key] = amounts if total is None else [a + b for a, b in zip(total, amounts, strict=True)]
        # In one order everywhere, so that two replicas never wait for each other.
        rows = [dict(zip((*KEYS, *SUMS), (*key, *sums[key]), strict=True)) for key in sorted(sums)]
        await connection.execute(_adding(connection.dialect.name), rows)


def _names(dispatch: Dispatch) -> tuple[str, ...]:
    """In the order of `KEYS`, after grain and bucket."""
    account = dispatch.account
    return (
        name(account.tenant),
        name(account.team),
        name(account.key_id),
        name(account.persona),
        name(dispatch.provider),
        name(dispatch.model),
    )


def _amounts(settlement: Settlement) -> list[int]:
    """In the order of `SUMS`."""
    counts, cost, confidence = settlement.counts, whole(settlement.cost_nanos), settlement.confidence
    return [
        int(settlement.final),
        1,
        int(settlement.status in _FAILED),
        whole(counts.input_tokens),
        whole(counts.output_tokens),
        whole(counts.cache_read_tokens),
        whole(counts.cache_write_tokens),
        whole(counts.reasoning_tokens),
        cost,
        cost if confidence == "estimated" else 0,
        int(confidence == "unpriced"),
    ]


def _adding(dialect: str) -> Any:
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(cost_rollups)
    columns = cost_rollups.c
    return insert.on_conflict_do_update(
        index_elements=list(KEYS), set_={name: columns[name] + insert.excluded[name] for name in SUMS}
    )
