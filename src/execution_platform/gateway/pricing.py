"""The prices of one gateway process that were set at run time: read at the start, and again whenever any replica changed them."""

import asyncio
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING

from execution_platform.catalog.prices import StoredPrices
from execution_platform.config.pricing import PriceOverride
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.gateway.bookkeeping import Bookkeeping
from execution_platform.ledger.price_table import Fingerprint, PriceTable, StoredPrice, by_model

if TYPE_CHECKING:
    from execution_platform.observability.logging import LineLog

_READ_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_FIRST_SECONDS = 3.0


class Pricing:
    """Keeps `StoredPrices` level with the database. Making one opens nothing; `start` does.

    A database that does not answer changes no price: those that were read last stay, and before the first reading those of the
    configuration and the lists count.
    """

    def __init__(self, stored: StoredPrices, bookkeeping: Bookkeeping, log: "LineLog") -> None:
        self.table = PriceTable(bookkeeping.storage, bookkeeping.store)
        self._stored = stored
        self._log = log
        self._seen: Fingerprint | None = None
        self._exists = bookkeeping.exists
        self._first = asyncio.Event()
        """The table was asked for once, whatever came of it."""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read, and then again and again. The books must be open. A database that answers is waited for, within limits."""
        self._task = asyncio.create_task(self._read_again_and_again())
        if await self._exists():
            with suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_SECONDS):
                    await self._first.wait()

    async def stop(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def read(self) -> bool:
        """Take over what the table says, if that has changed; whether it had. Raises `DatabaseUnavailable`."""
        found = await self.table.fingerprint()
        if found == self._seen:
            return False
        self._stored.current = by_model(await self.table.all()) if found[0] else {}
        self._seen = found
        return True

    async def put(self, provider: str, model: str, start: date, price: PriceOverride, by: str) -> StoredPrice:
        """Set a price; it holds here at once, and on other replicas when they read. Raises `DatabaseUnavailable`."""
        row = await self.table.put(provider, model, start, price, by=by)
        self._log.event("price_set", provider=provider, model=model, effective_date=start.isoformat(), by=by)
        await self.read()
        return row

    async def remove(self, provider: str, model: str, start: date | None, by: str) -> list[StoredPrice]:
        """Take prices away; those that were there. Raises `DatabaseUnavailable`."""
        rows = await self.table.remove(provider, model, start)
        for row in rows:
            day = row.start.isoformat()
            self._log.event("price_removed", provider=provider, model=model, effective_date=day, by=by)
        await self.read()
        return rows

    async def _read_again_and_again(self) -> None:
        told = False
        while True:
            pause = _READ_SECONDS
            try:
                if await self.read() and self._stored.current:
                    self._log.event("prices_read", models=len(self._stored.current))
                told = False
            except ExecutionPlatformError as error:
                pause = _RETRY_SECONDS
                if not told:
                    self._log.event("prices_not_read", "error", reason=error.message)
                told = True
            self._first.set()
            await asyncio.sleep(pause)
