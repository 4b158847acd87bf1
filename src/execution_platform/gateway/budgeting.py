"""The budgets of one gateway process, put together: rules, slices, admission, and what is told about them.

Budgets come from the configuration and from the database. Those of the database are read once at the start and again whenever
their revision has changed; until they could be read, requests are bound by those of the configuration, unless a replica of this
gateway is known to have stored some, which only the database can tell: so a database that is away at the start is asked again
every second, and the log says so.
"""

import asyncio
from typing import TYPE_CHECKING

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.ledger.accounts import Refused
from execution_platform.ledger.budget_projection import BudgetProjection
from execution_platform.ledger.budget_store import SqlBudgetStore
from execution_platform.ledger.budget_table import BudgetTable
from execution_platform.ledger.budgets import Budget, Rules
from execution_platform.ledger.configured import configured_budgets
from execution_platform.ledger.keeper import Keeper
from execution_platform.runtime.admit import Reserver
from execution_platform.runtime.snapshot import Snapshot

if TYPE_CHECKING:
    from execution_platform.observability.logging import LineLog
    from execution_platform.observability.metrics import Metrics

_READ_SECONDS = 2.0
_RETRY_SECONDS = 1.0


class Budgeting:
    """Owns the keeper of a process. Making one opens nothing; `start` does."""

    def __init__(self, bookkeeping: Bookkeeping, log: "LineLog", metrics: "Metrics") -> None:
        self.store = SqlBudgetStore(bookkeeping.storage, bookkeeping.store)
        self.table = BudgetTable(bookkeeping.storage, bookkeeping.store)
        self.keeper = Keeper(self.store)
        self.reserver = Reserver(self.keeper, self._refused)
        self._bookkeeping = bookkeeping
        self._log = log
        self._metrics = metrics
        self._configured: tuple[Budget, ...] = ()
        self._stored: tuple[Budget, ...] = ()
        self._revision = -1
        self._task: asyncio.Task[None] | None = None
        bookkeeping.projections.append(BudgetProjection(lambda: self.keeper.rules, self.keeper))
        bookkeeping.settled.append(self.keeper.settled)
        bookkeeping.recovered.append(self._recovered)

    def use(self, snapshot: Snapshot) -> None:
        """Obey the budgets of `snapshot` from now on."""
        self._configured = tuple(configured_budgets(snapshot.config.spending))
        self._set_rules()

    def _set_rules(self) -> None:
        self.keeper.rules = Rules((*self._configured, *self._stored))

    def start(self) -> None:
        """Begin to reserve. The books must be open."""
        if self._bookkeeping.ledger is not None:
            self.keeper.worker = self._bookkeeping.ledger.worker
        self._bookkeeping.books.reserver = self.reserver
        self.keeper.start()
        self._task = asyncio.create_task(self._read_again_and_again())

    async def stop(self) -> None:
        """Give back what is free."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self.keeper.stop()

    async def read(self) -> None:
        """Take over the stored budgets if they have changed. Raises `DatabaseUnavailable`."""
        revision = await self.table.revision()
        if revision != self._revision:
            self._stored = tuple(await self.table.all())
            self._revision = revision
            self._set_rules()

    async def _read_again_and_again(self) -> None:
        told = False
        while True:
            pause = _READ_SECONDS
            try:
                await self.read()
                told = False
            except ExecutionPlatformError as error:
                pause = _RETRY_SECONDS
                if not told:
                    self._log.event("budgets_not_read", "error", reason=error.message)
                told = True
            await asyncio.sleep(pause)

    async def _recovered(self, worker: str) -> None:
        await self.store.close_worker(worker)

    def _refused(self, refused: Refused) -> None:
        self._metrics.budget_refused.labels(refused.bound.scope.partition(":")[0], refused.bound.period).inc()
