"""The budgets of one gateway process, put together: rules, slices, admission, and what is told about them.

Budgets come from the configuration and from the database. Those of the database are read once at the start and again whenever
their revision has changed; until they could be read, requests are bound by those of the configuration, unless a replica of this
gateway is known to have stored some, which only the database can tell: so a database that is away at the start is asked again
every second, and the log says so.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from execution_platform.config.outages import Action, Concern, Lost, when
from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.values import AlertChannel
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.ledger.accounts import Refused
from execution_platform.ledger.budget_projection import BudgetProjection, Reached
from execution_platform.ledger.budget_store import SqlBudgetStore
from execution_platform.ledger.budget_table import BudgetTable
from execution_platform.ledger.budgets import NOTHING, Budget, Rules
from execution_platform.ledger.configured import configured_budgets
from execution_platform.ledger.keeper import Keeper
from execution_platform.ledger.notify.announce import Announcements
from execution_platform.ledger.notify.sender import Sender
from execution_platform.ledger.notify.shapes import Alert
from execution_platform.ledger.periods import Period, window
from execution_platform.runtime.admit import Reserver
from execution_platform.runtime.snapshot import Snapshot

if TYPE_CHECKING:
    from execution_platform.observability.logging import LineLog
    from execution_platform.observability.metrics import Metrics

_READ_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_SEND_SECONDS = 1.0
_LAST_SECONDS = 5.0
_RESOLVE_SECONDS = 10.0
_MOST_TELLING = 100
_MOST_REMEMBERED = 10_000


class Budgeting:
    """Owns the keeper of a process. Making one opens nothing; `start` does."""

    def __init__(
        self,
        bookkeeping: Bookkeeping,
        secret: Callable[[SecretRef], Secret],
        log: "LineLog",
        metrics: "Metrics",
        *,
        redis_down: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store = SqlBudgetStore(bookkeeping.storage, bookkeeping.store)
        self.table = BudgetTable(bookkeeping.storage, bookkeeping.store)
        self.keeper = Keeper(self.store)
        self.reserver = Reserver(self.keeper, self._refused)
        self._redis_down = redis_down
        self._bookkeeping = bookkeeping
        self._log = log
        self._metrics = metrics
        self._configured: tuple[Budget, ...] = ()
        self._stored: tuple[Budget, ...] = ()
        self._revision = -1
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        self._resolve_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: Mapping[str, AlertChannel] = {}
        self._exhausted: set[tuple[str, str, int]] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self.announcements = Announcements(lambda: tuple(self._channels.values()), self._alerted)
        self.sender = Sender(
            bookkeeping.storage,
            ready=bookkeeping.store,
            channels=lambda: self._channels,
            secret=secret,
            done=self._sent,
        )
        bookkeeping.projections.append(BudgetProjection(lambda: self.keeper.rules, self.keeper, self.announcements))
        bookkeeping.settled.append(self.keeper.settled)
        bookkeeping.recovering.append(self.read)
        bookkeeping.recovered.append(self._recovered)
        bookkeeping.leases = self.keeper

    def use(self, snapshot: Snapshot) -> None:
        """Obey the budgets of `snapshot` from now on."""
        self._configured = tuple(configured_budgets(snapshot.config.spending))
        self._channels = {channel.name: channel for channel in snapshot.config.spending.alerts}
        self._set_rules()

    def _set_rules(self) -> None:
        self.keeper.rules = Rules((*self._configured, *self._stored))

    def start(self) -> None:
        """Begin to reserve. The books must be open."""
        if self._bookkeeping.ledger is not None:
            self.keeper.worker = self._bookkeeping.ledger.worker
        self._bookkeeping.books.reserver = self.reserver
        self.keeper.start()
        loop = self._loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read_again_and_again()), loop.create_task(self._send_again_and_again())]

    async def stop(self) -> None:
        """Give back what is free."""
        # Not cancelled but asked to end: a connection that is just being made would be left open.
        self._ending.set()
        running = [*self._tasks, *self._telling]
        if running:
            _, late = await asyncio.wait(running, timeout=_LAST_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._tasks = []
        await self.keeper.stop()
        await self.sender.aclose()

    async def read(self) -> None:
        """Take over the stored budgets if they have changed. Raises `DatabaseUnavailable`."""
        if self._revision < 0 and (now := await self.store.now()) is not None:
            self.keeper.set_clock(now)
        revision = await self.table.revision()
        if revision != self._revision:
            self._stored = tuple(await self.table.all()) if revision else ()
            self._revision = revision
            self._set_rules()

    async def _read_again_and_again(self) -> None:
        told = False
        while not self._ending.is_set():
            pause = _READ_SECONDS
            try:
                await self.read()
                told = self.keeper.closed = False
            except ExecutionPlatformError as error:
                pause = _RETRY_SECONDS
                self.keeper.closed = self._redis_down() and when(Lost.BOTH, Concern.BUDGET).action is Action.DENY
                if not told:
                    self._log.event("budgets_not_read", "error", reason=error.message)
                told = True
            await self._pause(pause)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless the process ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    async def _recovered(self, worker: str) -> None:
        await self.store.close_worker(worker)

    def _refused(self, refused: Refused) -> None:
        bound = refused.bound
        self._metrics.budget_refused.labels(bound.scope.partition(":")[0], bound.period).inc()
        key = (bound.scope, bound.period, refused.window.start)
        if key in self._exhausted or len(self._telling) >= _MOST_TELLING:
            return
        if len(self._exhausted) >= _MOST_REMEMBERED:
            self._exhausted.clear()
        self._exhausted.add(key)
        task = asyncio.get_running_loop().create_task(self._tell_exhausted(refused))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell_exhausted(self, refused: Refused) -> None:
        standing = refused.standing
        spent, cap = (standing.spent, standing.cap) if standing is not None else (NOTHING, refused.bound.cap)
        about = Reached(refused.bound, refused.window.start, spent, cap)
        try:
            await self._bookkeeping.store()
            async with self._bookkeeping.storage.write() as connection:
                await connection.run_sync(self.announcements.tell, "budget_exhausted", about)
        except ExecutionPlatformError as error:
            self._log.event("alert_not_stored", "error", scope=refused.bound.scope, reason=error.message)

    def _alerted(self, alert: Alert) -> None:
        """Alerts are made in the thread of the database; the log and the metrics belong to the event loop."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell_alert, alert)

    def _tell_alert(self, alert: Alert) -> None:
        self._log.event(
            alert.kind, "warning", scope=alert.scope, period=alert.period, message=alert.summary, alert=alert.id
        )
        self._metrics.budget_alerts.labels(alert.kind, alert.scope.partition(":")[0], alert.period).inc()

    def _sent(self, endpoint: str, outcome: str) -> None:
        self._metrics.notices.labels(endpoint, outcome).inc()
        if outcome != "delivered":
            self._log.event("alert_not_delivered", "warning" if outcome == "failed" else "error", channel=endpoint)

    async def _resolve(self) -> None:
        """End alerts whose window is over, so that a pager does not ring for last month."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._resolve_at:
            return
        self._resolve_at = loop.time() + _RESOLVE_SECONDS
        await self._bookkeeping.store()
        async with self._bookkeeping.storage.write() as connection:
            await connection.run_sync(self.announcements.resolve, self._is_over)

    def _is_over(self, scope: str, period: str, start: int) -> bool:
        bound = self.keeper.rules.bound(scope, cast("Period", period))
        return bound is None or window(bound.period, start, bound.zone).end <= self.keeper.now()

    async def _send_again_and_again(self) -> None:
        while not self._ending.is_set():
            await self._pause(_SEND_SECONDS)
            if not self._channels or self._ending.is_set():
                continue
            try:
                await self._resolve()
                await self.sender.deliver()
            except ExecutionPlatformError as error:
                self._log.event("alerts_wait", "warning", reason=error.message)
                await self._pause(_READ_SECONDS)
