"""Reserving and settling over a real database."""

import asyncio
import time
from pathlib import Path
from typing import Any

from sqlalchemy import select

from execution_platform.ledger.accounts import Clocks
from execution_platform.ledger.budgets import Amount
from execution_platform.storage.schema import budget_windows
from ledger.budget_setting import ACME, CENT, DOLLAR, monthly, opened, process, sqlite
from storage.opened import opened as database


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


def test_replicas_whose_clocks_differ_share_one_window(postgres_server: Any) -> None:
    """R13: five minutes off in both directions, and an hour back under load: a budget of an hour is one budget."""

    async def run() -> None:
        budget = monthly(DOLLAR, period="hourly")
        async with database(postgres_server.new_database()) as storage:
            wall = time.time
            offsets = [300.0, -300.0]
            clocks = [Clocks(lambda n=number: wall() + offsets[n]) for number in range(2)]
            here, there = (process(storage, [budget], each) for each in clocks)
            for each in (here, there):
                now = await each.store.now()
                assert now is not None
                each.keeper.set_clock(now)
            tries = []
            for number in range(200):
                if number == 50:
                    offsets[0] -= 3600  # somebody sets the clock back; the next answer of the database tells
                    now = await here.store.now()
                    assert now is not None
                    here.keeper.set_clock(now)
                made = await (here, there)[number % 2].begin(ACME, Amount(CENT))
                if made is not None:
                    made.end(Amount(CENT))
                    tries.append(made)
            for each in (here, there):
                await each.deliver()
            async with storage.read() as connection:
                rows = list((await connection.execute(select(budget_windows))).mappings())
            assert 97 <= len(tries) <= 100  # the last cents may lie in the other one's slice
            assert sum(row["spent_nanos"] for row in rows) == len(tries) * CENT
            assert len(rows) == 1

    asyncio.run(run())
