"""Reserving and settling over a real database."""

import asyncio
from pathlib import Path

from execution_platform.ledger.budgets import Amount
from ledger.budget_setting import ACME, CENT, monthly, opened, process, sqlite


def test_a_budget_is_used_up_and_not_one_request_more(tmp_path: Path) -> None:
    """B1."""

    async def scenario() -> None:
        async with opened(sqlite(tmp_path)) as storage:
            one = process(storage, [monthly()])
            tries = await asyncio.gather(*(one.begin(ACME, Amount(CENT, 10)) for _ in range(400)))
            admitted = [each for each in tries if each is not None]
            assert len(admitted) == 100
            for each in admitted:
                each.end(Amount(CENT, 10))
            await one.deliver()
            assert await one.begin(ACME, Amount(CENT, 10)) is None
            await one.keeper.stop()

    asyncio.run(scenario())
