"""The books of a running gateway, for tests: what was stored, against what the upstream's meter counted."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from serving import Served


async def stored(gateway: Served, *, deadline: float = 10.0) -> list[Any]:
    """Every event in the order it was stored, once nothing is under way and all is delivered."""
    from sqlalchemy import select

    from execution_platform.storage.schema import cost_events

    keeping = gateway.gateway.state.bookkeeping
    async with asyncio.timeout(deadline):
        while keeping.ledger is not None and keeping.ledger.open:
            await asyncio.sleep(0.01)
        while keeping.outbox is not None and keeping.outbox.lag_bytes and not await keeping.outbox.deliver():
            await asyncio.sleep(0.05)
    await keeping.store()
    async with keeping.storage.read() as connection:
        return list((await connection.execute(select(cost_events).order_by(cost_events.c.seq))).mappings())


def usd(rows: Sequence[Any]) -> Decimal:
    """The sum of the rows, exactly."""
    return Decimal(sum(row["cost_nanos"] for row in rows)) / 10**9
