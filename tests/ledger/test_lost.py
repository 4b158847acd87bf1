"""A worker whose machine never comes back: what it had open is billed by estimate, what it held goes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select, text

from execution_platform.ledger.accounts import Refused
from execution_platform.ledger.books import JournalLedger
from execution_platform.ledger.budget_projection import BudgetProjection
from execution_platform.ledger.budget_store import SqlBudgetStore
from execution_platform.ledger.budgets import Amount, Bound, Rules
from execution_platform.ledger.interfaces import Account, Checkpoint, Counts, Dispatch, Settlement, now
from execution_platform.ledger.keeper import Keeper
from execution_platform.ledger.leases import Hold
from execution_platform.ledger.lost import LostWorkers, OpenTries, forget
from execution_platform.ledger.outbox import Outbox
from execution_platform.ledger.store import EventStore
from execution_platform.storage.engine import Storage
from execution_platform.storage.schema import budget_leases, budget_windows, cost_events, reservations
from ledger.budget_setting import ACME, CENT, monthly
from storage.opened import opened

SECOND = 1_000_000_000
RULES = Rules([monthly(100 * CENT)])
PERCENT = 10 * CENT
"""What a try holds."""
DOUBTED = 2 * CENT
"""At most so much stays reserved for what a dead worker may have spent unseen: 2 % of the limit."""


@dataclass
class Worker:
    """One worker of the shared database."""

    ledger: JournalLedger
    keeper: Keeper
    tries: OpenTries
    outbox: Outbox

    @property
    def bounds(self) -> tuple[Bound, ...]:
        return self.keeper.rules.binding(ACME)

    async def begin(self, request_id: str, *, seconds_ago: float = 2.0) -> Dispatch:
        """Hold for a try and send it."""
        hold = await self.keeper.hold(self.bounds, Amount(PERCENT))
        assert isinstance(hold, Hold)
        account = Account(request_id, ACME.tenant, ACME.key)
        made = Dispatch(
            self.ledger.new_id(),
            account,
            "openai",
            "gpt-4o",
            hold_nanos=PERCENT,
            input_tokens=1000,
            input_rate=SECOND,
            output_rate=2 * SECOND,
            at=now() - int(seconds_ago * SECOND),
        )
        self.ledger.dispatch(made)
        self.keeper.attach(made.id, hold)
        return made


@asynccontextmanager
async def worker(storage: Storage, folder: Path, *, lost_after: float = 600.0) -> AsyncIterator[Worker]:
    keeper = Keeper(SqlBudgetStore(storage, storage.engine))
    keeper.rules = RULES
    ledger = JournalLedger(folder, settled=keeper.settled)
    keeper.worker = ledger.worker
    tries = OpenTries(ledger, storage, storage.engine, keeper, lost_after=lost_after)
    store = EventStore(storage, [BudgetProjection(lambda: keeper.rules, keeper), tries])
    outbox = Outbox(ledger.tail, store, tell=lambda *_: None)
    try:
        yield Worker(ledger, keeper, tries, outbox)
    finally:
        await ledger.close()


def store_of(storage: Storage) -> EventStore:
    """The books of another replica."""
    keeper = Keeper(SqlBudgetStore(storage, storage.engine))
    return EventStore(storage, [BudgetProjection(lambda: RULES, keeper)])


async def rows(storage: Storage, table: Any) -> list[Any]:
    async with storage.read() as connection:
        return list((await connection.execute(select(table))).mappings())


async def run_out(storage: Storage) -> None:
    """Time goes by, and nobody renews anything."""
    async with storage.write() as connection:
        await connection.execute(text("UPDATE reservations SET lease_until = now() - interval '1 second'"))


def test_what_a_lost_machine_had_open_is_billed_and_what_it_held_goes_back(
    postgres_server: Any, tmp_path: Path
) -> None:
    """R1, R21, R37: one row for each try, flagged; no more stays held than nobody can tell."""

    async def run() -> None:
        async with opened(postgres_server.new_database()) as storage, worker(storage, tmp_path) as dead:
            made = [await dead.begin(f"r-{number}") for number in range(4)]
            dead.ledger.checkpoint(Checkpoint(made[0].id, 500))
            await dead.tries.copy()
            late = await dead.begin("too-late", seconds_ago=0)
            await dead.tries.copy()
            copies = await rows(storage, reservations)
            assert {str(row["id"]) for row in copies} == {each.id for each in made}

            lost = LostWorkers(storage, store_of(storage))
            assert (await lost.settle()).lost == 0, "a living worker's tries are its own"
            await run_out(storage)
            found = await lost.settle()
            assert found == (4, 4 * PERCENT)
            assert (await lost.settle()).lost == 0
            events = await rows(storage, cost_events)
            assert {(row["status"], row["confidence"], row["final"]) for row in events} == {("lost", "estimated", True)}
            told = {row["request_id"]: row["cost_nanos"] for row in events}
            # 1000 tokens of prompt at $1 a million, and for one 500 of its answer at $2.
            assert told == {"r-0": 2_000_000, "r-1": 1_000_000, "r-2": 1_000_000, "r-3": 1_000_000}
            (window,) = await rows(storage, budget_windows)
            leases = await rows(storage, budget_leases)
            assert window["spent_nanos"] == sum(told.values())
            assert window["reserved_nanos"] == sum(each["amount_nanos"] - each["spent_nanos"] for each in leases)
            # What was begun in the last second may have been spent; so may the slice's cushion, and what is in doubt.
            assert PERCENT <= window["reserved_nanos"] - DOUBTED <= PERCENT + 100 * CENT // 64
            assert late.id not in {str(row["id"]) for row in events}

    asyncio.run(run())


def test_an_event_takes_its_copy_along(postgres_server: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(postgres_server.new_database()) as storage, worker(storage, tmp_path) as alive:
            made = [await alive.begin(f"r-{number}") for number in range(3)]
            await alive.tries.copy()
            assert len(await rows(storage, reservations)) == 3
            for each in made[:2]:
                alive.ledger.settle(
                    Settlement(each.id, "ok", CENT, "metered", final=True, counts=Counts(1, 1), at=now())
                )
            assert await alive.outbox.deliver()
            assert [str(row["id"]) for row in await rows(storage, reservations)] == [made[2].id]
            await run_out(storage)
            # Renewed in time: nobody takes it for lost.
            alive.tries._copied = dict.fromkeys(alive.tries._copied, 0)
            await alive.tries.copy()
            assert (await LostWorkers(storage, store_of(storage)).settle()).lost == 0

    asyncio.run(run())


def test_a_worker_that_was_only_cut_off_changes_nothing_that_was_billed(postgres_server: Any, tmp_path: Path) -> None:
    """B4: the event has one id; what its own worker told first gives nothing back a second time."""

    async def run() -> None:
        async with opened(postgres_server.new_database()) as storage, worker(storage, tmp_path) as cut_off:
            made = await cut_off.begin("r")
            await cut_off.tries.copy()
            copies = await rows(storage, reservations)
            cut_off.ledger.settle(Settlement(made.id, "ok", 3 * CENT, "metered", final=True, at=now()))
            assert await cut_off.outbox.deliver()
            async with storage.write() as connection:  # as if the copy had arrived late
                await connection.execute(reservations.insert(), [dict(row) for row in copies])
            await run_out(storage)
            reserved = (await rows(storage, budget_windows))[0]["reserved_nanos"]
            assert await LostWorkers(storage, store_of(storage)).settle() == (0, 0)
            assert await rows(storage, reservations) == []
            (window,) = await rows(storage, budget_windows)
            assert (window["spent_nanos"], window["reserved_nanos"]) == (3 * CENT, reserved)

    asyncio.run(run())


def test_a_crash_between_the_bill_and_the_release_is_made_good(postgres_server: Any, tmp_path: Path) -> None:
    """R38: billed once, given back once."""

    async def run() -> None:
        async with opened(postgres_server.new_database()) as storage, worker(storage, tmp_path) as dead:
            await dead.begin("r")
            await dead.tries.copy()
            await run_out(storage)
            before = (await rows(storage, budget_windows))[0]["reserved_nanos"]
            store = store_of(storage)
            first = LostWorkers(storage, store)
            copies = await first._expired()
            await store.apply(await first._events(copies))
            assert await LostWorkers(storage, store).settle() == (0, PERCENT)
            (window,) = await rows(storage, budget_windows)
            assert window["reserved_nanos"] == before - PERCENT + DOUBTED
            assert window["spent_nanos"] == 1_000_000

    asyncio.run(run())


def test_a_journal_that_was_read_after_all_needs_no_copies(postgres_server: Any, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(postgres_server.new_database()) as storage, worker(storage, tmp_path) as dead:
            await dead.begin("r")
            await dead.tries.copy()
            await forget(storage, dead.ledger.worker)
            assert await rows(storage, reservations) == []
            hold = await dead.keeper.hold(dead.bounds, Amount(200 * CENT))
            assert isinstance(hold, Refused)

    asyncio.run(run())
