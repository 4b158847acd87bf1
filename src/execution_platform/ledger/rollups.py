"""Sums of events by hour and by day, kept as events are stored, so that a report reads hundreds of rows and not millions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

from execution_platform.ledger.interfaces import CostEvent
from execution_platform.ledger.rows import row
from execution_platform.storage.schema import cost_rollups

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

HOUR, DAY = 3600, 86400
KEYS = tuple(column.name for column in cost_rollups.primary_key.columns)
SUMS = tuple(column.name for column in cost_rollups.columns if column.name not in KEYS)
_NANOSECONDS = 1_000_000_000
_FAILED = frozenset({"failed", "retried", "cut", "lost"})


class Rollups:
    """The projection that keeps `cost_rollups`."""

    async def project(self, connection: "AsyncConnection", events: Sequence[CostEvent]) -> None:
        """Add `events` to their hour and their day."""
        sums: dict[tuple[Any, ...], list[int]] = {}
        for event in events:
            values = row(event)
            amounts = _amounts(values)
            seconds = event.dispatch.at // _NANOSECONDS
            names = (values["tenant"], values["team"], values["key_id"], values["persona"], values["provider"])
            for grain, length in (("h", HOUR), ("d", DAY)):
                key = (grain, seconds - seconds % length, *names, values["model"])
                total = sums.get(key)
                sums[key] = amounts if total is None else [a + b for a, b in zip(total, amounts, strict=True)]
        # In one order everywhere, so that two replicas never wait for each other.
        rows = [dict(zip((*KEYS, *SUMS), (*key, *sums[key]), strict=True)) for key in sorted(sums)]
        await connection.execute(_adding(connection.dialect.name), rows)


def _amounts(values: dict[str, Any]) -> list[int]:
    """In the order of `SUMS`."""
    cost, confidence = values["cost_nanos"], values["confidence"]
    return [
        int(values["final"]),
        1,
        int(values["status"] in _FAILED),
        values["input_tokens"],
        values["output_tokens"],
        values["cache_read_tokens"],
        values["cache_write_tokens"],
        values["reasoning_tokens"],
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
