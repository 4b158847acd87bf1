"""Keys, tenants and their trail in one gateway process, put together."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from execution_platform.config.settings import Settings
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.gateway.budgeting import Budgeting
from execution_platform.identity.audit import Entry
from execution_platform.identity.directory import KeyDirectory
from execution_platform.identity.pending import PendingNotes
from execution_platform.identity.people import People
from execution_platform.identity.pepper import Pepper
from execution_platform.identity.principal import Principal
from execution_platform.identity.records import KeyRecord
from execution_platform.identity.store import KeyStore
from execution_platform.identity.tenants import TenantStore
from execution_platform.identity.trail import Details, Trail
from execution_platform.ledger.budgets import Budget
from execution_platform.ledger.outbox import happens
from execution_platform.ledger.periods import Period

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from execution_platform.observability.logging import LineLog

NANOS_OF_MICRO = 1000
_DELIVER_SECONDS = 2.0
_PERIODS: tuple[Period, ...] = ("minute", "hourly", "daily", "monthly")


class Access:
    """Owns the directory of a process. Making one opens nothing; `start` does."""

    def __init__(
        self,
        settings: Settings,
        bookkeeping: Bookkeeping,
        budgeting: Budgeting,
        log: "LineLog",
        tenants: Callable[[], Collection[str]],
        *,
        redis_down: Callable[[], bool] = lambda: False,
    ) -> None:
        self._budgeting = budgeting
        self._log = log
        pepper = Pepper(settings.key_pepper, settings.master_key, settings.workspace_root)
        self._pending = PendingNotes(settings.workspace_root / "audit")
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.trail = Trail(bookkeeping.storage, bookkeeping.store, self._witness)
        self.keys = KeyStore(bookkeeping.storage, self.trail, pepper, budgeted=self._set_budgets, tenants=tenants)
        self.tenants = TenantStore(bookkeeping.storage, self.trail, self.keys)
        self.people = People(bookkeeping.storage, self.trail)
        self.directory = KeyDirectory(
            self.keys, pepper, taken=self._taken, foreign=self._tell_foreign, redis_down=redis_down
        )

    def start(self) -> None:
        """Follow the changes of keys. The books must be open."""
        self.directory.start()
        self._task = asyncio.get_running_loop().create_task(self._deliver_again_and_again())

    async def stop(self) -> None:
        """Follow no more."""
        self._ending.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        await self.directory.stop()

    async def _deliver_again_and_again(self) -> None:
        """Enter what the database could not take when it happened."""
        while not await happens(self._ending, within=_DELIVER_SECONDS):
            with suppress(ExecutionPlatformError):
                delivered = await self._pending.deliver(self.trail)
                if delivered:
                    self._log.event("audit_delivered", entries=delivered)

    async def changed(self) -> None:
        """A key was changed here: take it over at once, with its budgets."""
        await self._budgeting.read()
        await self.directory.refresh()

    async def note(
        self, actor: Principal, action: str, kind: str, identity: str, details: Details, request_id: str
    ) -> None:
        """Enter a change that has happened. Without the database it is kept on disk: an operator in need must not wait."""
        try:
            await self.trail.note(actor, action, kind, identity, details=details, request_id=request_id)
        except ExecutionPlatformError as error:
            await asyncio.to_thread(
                self._pending.keep, actor.subject, action, kind, identity, details=details, request_id=request_id
            )
            self._log.event(
                "audit_waits",
                "warning",
                actor=actor.subject,
                action=action,
                object=identity,
                request_id=request_id,
                reason=error.message,
            )

    async def _taken(self, record: KeyRecord) -> None:
        """A key that comes with budgets is used only once they bind."""
        if record.scope.budgets:
            await self._budgeting.read()

    async def _set_budgets(self, connection: "AsyncConnection", record: KeyRecord) -> None:
        wanted = record.scope.budgets or {}
        for period in _PERIODS:
            if period in wanted:
                budget = Budget(
                    scope="key", subject=record.id, period=period, nanos=wanted[period] * NANOS_OF_MICRO, source="api"
                )
                await self._budgeting.table.put_in(connection, budget, tenant=record.tenant)
            else:
                await self._budgeting.table.remove_in(connection, f"key:{record.id}", period)

    def _witness(self, entry: Entry) -> None:
        self._log.event(
            "audit",
            position=entry.position,
            actor=entry.actor,
            action=entry.action,
            object=entry.object_id,
            tenant=entry.tenant,
            hash=entry.hash.hex(),
        )

    def _tell_foreign(self, identity: str) -> None:
        self._log.event(
            "foreign_pepper",
            "error",
            key=identity,
            remedy="give every replica the same EP_KEY_PEPPER; keys issued under another one are not taken here",
        )
