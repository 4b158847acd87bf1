"""What others left is charged to every budget, those in the database included."""

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import text

from execution_platform.config.settings import Settings
from execution_platform.gateway.state import State
from execution_platform.ledger.books import JournalLedger
from execution_platform.ledger.budget_store import SqlBudgetStore
from execution_platform.ledger.budgets import Budget
from execution_platform.ledger.interfaces import Account, Dispatch, Settlement, now
from execution_platform.ledger.keeper import Keeper
from execution_platform.ledger.lost import OpenTries
from storage.opened import opened

CENT = 10_000_000
SECOND = 1_000_000_000


async def _dies(folder: Path) -> None:
    """A worker that spends a cent and is gone before it is in the database."""
    ledger = JournalLedger(folder)
    made = Dispatch(ledger.new_id(), Account("r", "acme"), "p", "m", at=now())
    ledger.dispatch(made)
    ledger.settle(Settlement(made.id, "ok", CENT, "metered", final=True, at=now()))
    await ledger.close()


def test_budgets_in_the_database_are_charged_before_anybody_has_read_them(tmp_path: Path) -> None:
    """R21, B1: recovery begins with the start, and so does reading the budgets."""

    async def run() -> None:
        config = tmp_path / "platform.yaml"
        config.write_text("version: 1\n")
        await _dies(tmp_path / "journal")
        state = State(Settings(environ={"EP_CONFIG": str(config), "EP_WORKSPACE_ROOT": str(tmp_path)}))
        await state.budgeting.table.put(Budget(scope="tenant", subject="acme", period="total", nanos=100 * CENT))
        assert "acme" not in {each.subject for each in state.budgeting.keeper.rules.budgets}
        await state.bookkeeping.recover()
        (window,) = await state.budgeting.store.windows([("tenant:acme", "total", 0)])
        assert window.spent.nanos == CENT
        await state.bookkeeping.stop()

    asyncio.run(run())


async def _is_lost(address: str, folder: Path) -> None:
    """A worker that has sent a try, and whose machine is gone for good."""
    async with opened(address) as storage:
        ledger = JournalLedger(folder)
        sent = now() - 2 * SECOND
        made = Dispatch(
            ledger.new_id(), Account("r", "acme"), "p", "m", input_tokens=1000, input_rate=10 * SECOND, at=sent
        )
        ledger.dispatch(made)
        await OpenTries(
            ledger, storage, storage.engine, Keeper(SqlBudgetStore(storage, storage.engine)), lost_after=60
        ).copy()
        await ledger.close()
        async with storage.write() as connection:
            await connection.execute(text("UPDATE reservations SET lease_until = now() - interval '1 second'"))


def test_a_lost_machine_is_charged_to_budgets_nobody_has_read_yet(postgres_server: Any, tmp_path: Path) -> None:
    """R21, R37: a replica that has just started settles it before it has read the budgets."""

    async def run() -> None:
        address = postgres_server.new_database()
        config = tmp_path / "platform.yaml"
        config.write_text("version: 1\n")
        await _is_lost(address, tmp_path / "elsewhere")
        environ = {"EP_CONFIG": str(config), "EP_WORKSPACE_ROOT": str(tmp_path), "EP_DATABASE_URL": address}
        state = State(Settings(environ=environ))
        await state.budgeting.table.put(Budget(scope="tenant", subject="acme", period="total", nanos=100 * CENT))
        await state.bookkeeping.settle_lost()
        (window,) = await state.budgeting.store.windows([("tenant:acme", "total", 0)])
        assert window.spent.nanos == CENT
        await state.bookkeeping.stop()

    asyncio.run(run())
