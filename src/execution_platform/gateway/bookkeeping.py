"""The books of one gateway process, put together: journal, outbox, recovery, database.

The database and its libraries are opened by the first who needs them: the first event to store, the first report. What
depends on the database being there is background work; no request waits for it.
"""

import asyncio
import math
import shutil
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from execution_platform.config.settings import Settings
from execution_platform.config.values import LedgerConfig
from execution_platform.exceptions import ConfigError, ExecutionPlatformError
from execution_platform.gateway.requestlog import RequestLog
from execution_platform.ledger.audit import ALARM, drift
from execution_platform.ledger.books import JournalLedger
from execution_platform.ledger.interfaces import CostEvent, Dispatch, Projection, Settled, Settlement
from execution_platform.ledger.outbox import Outbox, happens
from execution_platform.ledger.rollups import DAY, HOUR
from execution_platform.runtime.books import Books
from execution_platform.storage.address import address
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from execution_platform.ledger.lost import Leases
    from execution_platform.ledger.store import EventStore
    from execution_platform.observability.logging import LineLog
    from execution_platform.observability.metrics import Metrics

JOURNAL = "journal"
_RECOVER_SECONDS = 15.0
_CHECK_SECONDS = 300.0
_RETRY_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
_CHECKED = 2 * DAY
_LAST_DELIVERY_SECONDS = 5.0
_FRESH_SECONDS = 1.0


class Bookkeeping:
    """Owns the ledger of a process. Making one opens nothing; `start` does."""

    def __init__(self, settings: Settings, config: LedgerConfig, log: "LineLog", metrics: "Metrics") -> None:
        self.storage = Storage(address(settings.database_url, settings.workspace_root))
        self.books = Books()
        self.projections: list[Projection] = []
        """Sums that are kept with the events; to be completed before `start`."""
        self.settled: list[Settled] = []
        """Who must know of every settlement at once; to be completed before `start`."""
        self.recovering: list[Callable[[], Awaitable[None]]] = []
        """Called before what others left is stored: its costs are charged by the rules that are known then."""
        self.recovered: list[Callable[[str], Awaitable[None]]] = []
        """Called with the worker whose journal has been read to its end."""
        self.leases: Leases | None = None
        """Who holds for the tries of this process; to be told before `start`."""
        self.requests = RequestLog(self, config)
        self.ledger: JournalLedger | None = None
        self.outbox: Outbox | None = None
        self._root = settings.workspace_root / JOURNAL
        self._config = config
        self._log = log
        self._metrics = metrics
        self._store: EventStore | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Open this worker's journal and begin to deliver it. Raises `ConfigError` when the workspace is not writable."""
        config = self._config
        try:
            self.ledger = JournalLedger(
                self._root, durability=config.durability, cap_bytes=config.journal_cap, settled=self._hooks()
            )
        except OSError as error:
            raise ConfigError(
                f"the journal cannot be written below the workspace: {error.strerror}; set EP_WORKSPACE_ROOT to a "
                "folder this process may write"
            ) from error
        self.outbox = Outbox(self.ledger.tail, self, tell=self._tell)
        self.books.ledger = self.ledger
        self.books.start()
        self._stopping.clear()
        self._keep_running("outbox", self.outbox.run)
        self._keep_running("recovery", self._recover_again_and_again)
        if self.storage.is_postgresql and self.leases is not None:
            self._copy_open_tries(self.ledger, self.leases)
        self._keep_running("request_log", self.requests.run)

    def _copy_open_tries(self, ledger: JournalLedger, leases: "Leases") -> None:
        """Let other machines know what is open, for the case that this one never comes back."""
        from execution_platform.ledger.lost import OpenTries

        tries = OpenTries(ledger, self.storage, self.store, leases, lost_after=self._config.lost_after)
        self.projections.append(tries)
        self._keep_running("open_tries", tries.run)

    async def stop(self) -> None:
        """Deliver what is left, within limits; what cannot be delivered is recovered by the next start."""
        await self.books.stop()
        self._stopping.set()
        if self._tasks:
            # Not cancelled at once: a transaction that is under way ends in order.
            _, slow = await asyncio.wait(self._tasks, timeout=_LAST_DELIVERY_SECONDS)
            for task in slow:
                task.cancel()
            await asyncio.gather(*slow, return_exceptions=True)
        if self.ledger is not None:
            await self._close(self.ledger)
        if self.storage.opened:
            with suppress(ExecutionPlatformError, TimeoutError):
                async with asyncio.timeout(_FRESH_SECONDS):
                    await self.requests.flush()
        await self.storage.close()

    async def _close(self, ledger: JournalLedger) -> None:
        outbox = self.outbox
        # SQLite that was never opened stays closed: the journal is on the same disk, and the next start reads it.
        if outbox is not None and outbox.lag_bytes and (self.storage.opened or self.storage.is_postgresql):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_DELIVERY_SECONDS):
                    await outbox.deliver()
        done = outbox is not None and outbox.is_level and not ledger.open
        folder = ledger.journal.folder
        await ledger.close()
        if done:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def fresh(self) -> None:
        """Before a report: deliver what this process has written, if that takes no longer than a second."""
        if self.outbox is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FRESH_SECONDS):
                    await self.outbox.deliver()

    async def store(self) -> "EventStore":
        """Where events are stored, ready for use. Raises `DatabaseUnavailable`."""
        if self._store is None:
            from execution_platform.ledger.store import EventStore

            self._store = EventStore(self.storage, self.projections)
        await self._store.prepare()
        return self._store

    async def exists(self) -> bool:
        """Whether there is a database already: asking makes none."""
        if self.storage.opened or self.storage.is_postgresql:
            return True
        path = self.storage.address.path
        return path is not None and await asyncio.to_thread(path.exists)

    async def apply(self, events: Sequence[CostEvent]) -> int:
        """Store events; the outbox's way to the database. Raises `DatabaseUnavailable`."""
        return await (await self.store()).apply(events)

    async def recover(self) -> None:
        """Store what dead workers left behind. Raises `DatabaseUnavailable`."""
        folders = await asyncio.to_thread(_others, self._root, self.ledger)
        if not folders:
            return
        store = await self.store()
        from execution_platform.ledger.recovery import recover

        await self._know_rules()
        begun = time.perf_counter()
        found = await recover(self._root, store, self._tell_recovered)
        if found.folders:
            self._log.event(
                "ledger_recovered",
                "warning" if found.lost or found.damaged else "info",
                workers=found.folders,
                events=found.events,
                lost=found.lost,
                damaged=found.damaged,
                seconds=round(time.perf_counter() - begun, 2),
            )

    async def settle_lost(self) -> None:
        """Bill what workers of machines that are gone had open. Raises `DatabaseUnavailable`."""
        if not self.storage.is_postgresql:
            return
        from execution_platform.ledger.lost import LostWorkers

        await self._know_rules()
        found = await LostWorkers(self.storage, await self.store()).settle()
        if found.lost or found.released_nanos:
            self._log.event("workers_lost", "error", lost=found.lost, released_nanos=found.released_nanos)

    async def _know_rules(self) -> None:
        for ready in self.recovering:
            await ready()

    def _keep_running(self, name: str, work: Callable[[asyncio.Event], Coroutine[None, None, None]]) -> None:
        """Run `work` until it is told to stop. If it fails, which is a mistake of ours, that is told and it begins again."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work(self._stopping))
        self._tasks.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            error = None if done.cancelled() else done.exception()
            if error is not None and not self._stopping.is_set():
                self._log.event("books_failed", "error", task=name, error=f"{type(error).__name__}: {error}")
                loop.call_later(_AGAIN_SECONDS, self._keep_running, name, work)

        task.add_done_callback(ended)

    async def check(self) -> None:
        """Compare the sums of the last two days with their events, and tell when they differ. Raises `DatabaseUnavailable`."""
        await self.store()
        end = int(time.time()) // HOUR * HOUR + HOUR
        found = await drift(self.storage, end - _CHECKED, end)
        self._metrics.ledger.drift.set(found.ratio)
        if found.ratio > ALARM:
            self._log.event(
                "ledger_drift",
                "error",
                events=found.events,
                attempts=found.attempts,
                event_nanos=found.event_nanos,
                rolled_nanos=found.rolled_nanos,
            )

    async def _recover_again_and_again(self, stopping: asyncio.Event) -> None:
        pause, checked_at = 0.0, -math.inf
        while not await happens(stopping, within=pause):
            pause = min(_RECOVER_SECONDS, self._config.lost_after / 2)
            try:
                await self.recover()
                await self.settle_lost()
                if self.storage.opened and time.monotonic() - checked_at >= _CHECK_SECONDS:
                    await self.check()
                    checked_at = time.monotonic()
            except ExecutionPlatformError as error:
                pause = _RETRY_SECONDS
                self._log.event("ledger_recovery_waits", "warning", reason=error.message)

    async def _tell_recovered(self, worker: str) -> None:
        if self.storage.is_postgresql:
            from execution_platform.ledger.lost import forget

            await forget(self.storage, worker)
        for hook in self.recovered:
            await hook(worker)

    def _hooks(self) -> Settled | None:
        """Everybody of `settled` as one."""
        hooks = tuple(self.settled)
        if len(hooks) < 2:
            return next(iter(hooks), None)

        def tell(dispatch: Dispatch, settlement: Settlement) -> None:
            for hook in hooks:
                hook(dispatch, settlement)

        return tell

    def _tell(self, name: str, reason: str) -> None:
        self._log.event(name, "info" if name in {"ledger_flowing", "journal_writable"} else "error", reason=reason)

    def gauge(self) -> None:
        """Bring the metrics up to date, before they are read."""
        metrics, ledger, outbox = self._metrics.ledger, self.ledger, self.outbox
        if ledger is None or outbox is None:
            return
        metrics.journal_bytes.set(ledger.journal.held)
        metrics.journal_full.set(ledger.journal.full)
        metrics.open_tries.set(len(ledger.open))
        metrics.lag_bytes.set(outbox.lag_bytes)
        metrics.delivered.set(outbox.progress.delivered)
        metrics.failures.set(outbox.progress.failures)
        metrics.refused.set(ledger.refused)
        metrics.requests_dropped.set(self.requests.dropped)
        since = outbox.progress.blocked_since
        metrics.blocked_seconds.set(0 if since is None else time.time() - since)


def _others(root: Path, own: JournalLedger | None) -> list[Path]:
    mine = None if own is None else own.journal.folder
    return [path for path in root.glob("*") if path.is_dir() and path != mine]
