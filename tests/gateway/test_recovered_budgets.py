"""What a dead worker left is charged to every budget, those in the database included."""

import asyncio
from pathlib import Path

from execution_platform.config.settings import Settings
from execution_platform.gateway.state import State
from execution_platform.ledger.books import JournalLedger
from execution_platform.ledger.budgets import Budget
from execution_platform.ledger.interfaces import Account, Dispatch, Settlement, now

CENT = 10_000_000


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
