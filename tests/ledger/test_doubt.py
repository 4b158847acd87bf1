"""What a process that died may have spent unseen stays reserved, within bounds."""

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from execution_platform.ledger.budgets import NOTHING, Amount, Budget
from execution_platform.ledger.interfaces import Account, CostEvent, Counts, Dispatch, EventStatus, Settlement
from execution_platform.ledger.store import EventStore
from execution_platform.storage.engine import Storage
from execution_platform.storage.schema import budget_leases, budget_windows
from ledger.budget_setting import ACME, CENT, DOLLAR, Process, monthly, process
from storage.opened import opened

SHARE = 2 * CENT
"""2 % of a dollar."""


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Both kinds of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ep.db"
    return request.getfixturevalue("postgres_server").new_database()


def event(one: Process, hold: Amount, cost: Amount = NOTHING, status: EventStatus = "lost") -> CostEvent:
    """A try of a process that is gone, as its journal tells of it."""
    account = Account("r", ACME.tenant, ACME.key)
    at = int(one.keeper.now() * 1e9)
    made = Dispatch(str(uuid.uuid4()), account, "p", "m", hold_nanos=hold.nanos, hold_tokens=hold.tokens, at=at)
    counts = Counts(output_tokens=cost.tokens)
    return CostEvent(made, Settlement(made.id, status, cost.nanos, "estimated", final=True, counts=counts))


async def store(one: Process, *events: CostEvent) -> None:
    """Store `events` in one batch."""
    await EventStore(one.storage, [one.projection]).apply(events)


async def window(storage: Storage) -> tuple[Amount, Amount]:
    """What is spent and reserved; the leases must tell the same."""
    async with storage.read() as connection:
        (row,) = (await connection.execute(select(budget_windows))).mappings().all()
        leases = (await connection.execute(select(budget_leases))).mappings().all()
    reserved = Amount(row["reserved_nanos"], row["reserved_tokens"])
    assert reserved.nanos == sum(each["amount_nanos"] - each["spent_nanos"] for each in leases)
    assert reserved.tokens == sum(each["amount_tokens"] - each["spent_tokens"] for each in leases)
    return Amount(row["spent_nanos"], row["spent_tokens"]), reserved


def play(address: Any, budgets: Sequence[Budget], crashes: Sequence[Sequence[tuple[Amount, Amount]]]) -> Any:
    """Spent and reserved after so many crashes, each with tries of so much hold and so much bill; told twice each."""

    async def run() -> tuple[Amount, Amount]:
        async with opened(address) as storage:
            one = process(storage, budgets)
            for crash in crashes:
                lost = [event(one, hold, cost) for hold, cost in crash]
                await store(one, *lost)
                await store(one, *lost)
            return await window(storage)

    return asyncio.run(run())


def test_what_a_lost_try_may_have_cost_beyond_its_bill_stays_reserved(address: Any) -> None:
    """R21: whatever it was, the budget is not passed by it."""
    assert play(address, [monthly()], [[(Amount(CENT, 10), Amount(CENT // 4, 3))]]) == (
        Amount(CENT // 4, 3),
        Amount(CENT * 3 // 4, 0),
    )


def test_crashes_take_no_more_of_a_budget_than_its_share(address: Any) -> None:
    """R21: 97 % can be used, however often a process dies."""
    tries = [(Amount(CENT, 10), NOTHING)] * 30
    assert play(address, [monthly()], [tries]) == (NOTHING, Amount(SHARE))
    assert play(address, [monthly()], [tries[:1]] * 5)[1] == Amount(SHARE)


def test_a_limit_of_tokens_has_its_own_share(address: Any) -> None:
    found = play(address, [monthly(nanos=None, tokens=1000)], [[(Amount(CENT, 100), Amount(0, 10))]])
    assert found == (Amount(0, 10), Amount(0, 20))


def test_a_try_that_came_to_its_end_leaves_no_doubt(address: Any) -> None:
    async def run() -> None:
        async with opened(address) as storage:
            one = process(storage, [monthly()])
            await store(one, event(one, Amount(CENT, 10), Amount(CENT // 2, 5), "ok"))
            assert await window(storage) == (Amount(CENT // 2, 5), NOTHING)

    asyncio.run(run())


def test_what_is_in_doubt_cannot_be_spent_again(address: Any) -> None:
    """R21: 99 of 100 requests of a cent are left after one that was lost."""

    async def run() -> None:
        async with opened(address) as storage:
            one = process(storage, [monthly(DOLLAR)])
            await store(one, event(one, Amount(CENT)))
            tries = [await one.begin(ACME, Amount(CENT)) for _ in range(100)]
            assert len([each for each in tries if each is not None]) == 99
            for each in tries:
                if each is not None:
                    each.end(Amount(CENT))
            await one.deliver()
            await one.keeper.stop()

    asyncio.run(run())
