"""The ledger of a worker: a journal on disk in front, the database behind it."""

import asyncio
import secrets
from collections.abc import Iterable
from pathlib import Path

import msgspec

from execution_platform._failpoint import ARMED, hit
from execution_platform.config.outages import Concern, Lost, when
from execution_platform.config.values import Durability
from execution_platform.ledger.interfaces import Checkpoint, Dispatch, Settled, Settlement, StorageUnavailable
from execution_platform.ledger.journal import CAP_BYTES, Journal, JournalFull
from execution_platform.ledger.tail import Tail

_SYNC_SECONDS = 0.05
"""Under `process` durability a power failure loses at most what was written in this time."""

_COUNTER_BITS = 48


def worker_id() -> str:
    """A name for a worker's folder and for the rows it owns: a UUID (RFC 9562 version 8: 74 random bits, no counter)."""
    return _uuid_prefix() + "0" * 12


def _uuid_prefix() -> str:
    bits = secrets.randbits(74)
    high, middle, low = bits >> 26, bits >> 14 & 0xFFF, bits & 0x3FFF
    return f"{high >> 16:08x}-{high & 0xFFFF:04x}-8{middle:03x}-{0x8000 | low:04x}-"


class JournalLedger:
    """Implements `Ledger`. Belongs to the event loop it was made on."""

    def __init__(
        self,
        folder: Path,
        *,
        durability: Durability = "process",
        cap_bytes: int = CAP_BYTES,
        settled: Settled | None = None,
    ) -> None:
        """Open a journal below `folder`, the place of all workers. Raises `OSError` when it is not writable."""
        self.worker = worker_id()
        self.waits = durability == "disk"
        self.journal = Journal(folder / self.worker, carry=self._carried, cap_bytes=cap_bytes)
        self.open: dict[str, Dispatch] = {}
        """Tries that have not ended, by id."""
        self.tail = Tail(self.journal, self.open)
        """What the outbox delivers."""
        self.refused = 0
        """Dispatches that the journal could not take."""
        self._progress: dict[str, Checkpoint] = {}
        self._settled = settled
        self._encode = msgspec.msgpack.Encoder().encode
        self._prefix = self.worker[:24]
        self._made = 0
        self._synced = 0
        self._syncing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def new_id(self) -> str:
        """A UUID that no other process makes."""
        self._made += 1
        return f"{self._prefix}{self._made:012x}"

    def dispatch(self, dispatch: Dispatch) -> None:
        """Record a try before it leaves. Raises `StorageUnavailable`."""
        try:
            self.journal.append(self._encode(dispatch))
        except JournalFull:
            self.refused += 1
            raise StorageUnavailable(
                "the ledger cannot be written: its disk is full, or the database was away for too long",
                code=when(Lost.DISK, Concern.LEDGER).code,
                retry_after=5,
            ) from None
        if ARMED:
            hit("ledger.after_dispatch")
        self.open[dispatch.id] = dispatch
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SYNC_SECONDS, self._sync_later)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Record how far a try has come, if there is space."""
        if checkpoint.id not in self.open:
            return
        self._progress[checkpoint.id] = checkpoint
        try:
            self.journal.append(self._encode(checkpoint))
        except JournalFull:
            self.journal.full = True

    def progress_of(self, dispatch_id: str) -> Checkpoint | None:
        """How far an open try had come when that was last recorded."""
        return self._progress.get(dispatch_id)

    def settle(self, settlement: Settlement) -> None:
        """Record the end of a try. The second end of the same try changes nothing."""
        dispatch = self.open.get(settlement.id)
        if dispatch is None:
            return
        if ARMED:
            hit("ledger.before_settlement")
        self.tail.add(dispatch, settlement)
        self.journal.append_always(self._encode(settlement))
        if ARMED:
            hit("ledger.after_settlement")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SYNC_SECONDS, self._sync_later)
        del self.open[settlement.id]
        if self._progress:
            self._progress.pop(settlement.id, None)
        if self._settled is not None:
            self._settled(dispatch, settlement)

    def _carried(self) -> Iterable[bytes]:
        """What a new segment begins with: everything that is open."""
        for dispatch in self.open.values():
            yield self._encode(dispatch)
        for checkpoint in self._progress.values():
            yield self._encode(checkpoint)

    async def durable(self) -> None:
        """Wait until everything recorded so far survives a power failure; who waits together shares one write."""
        target = self.journal.appended
        while self._synced < target:
            if self._syncing is None:
                self._syncing = asyncio.get_running_loop().create_task(self._sync())
            try:
                await asyncio.shield(self._syncing)
            except OSError as error:
                self.journal.full = True
                raise StorageUnavailable("the ledger's disk does not take what is written", retry_after=5) from error

    def _sync_later(self) -> None:
        self._timer = None
        if self._syncing is None:
            self._syncing = asyncio.get_running_loop().create_task(self._sync())
            self._syncing.add_done_callback(self._note_failure)

    def _note_failure(self, done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            self.journal.full = True

    async def _sync(self) -> None:
        reached = self.journal.appended
        try:
            await asyncio.to_thread(self.journal.sync)
            self._synced = reached
        finally:
            self._syncing = None

    async def close(self) -> None:
        """Make everything durable and give up the folder."""
        if self._timer is not None:
            self._timer.cancel()
        if self._syncing is not None:
            await asyncio.wait([self._syncing])
        await asyncio.to_thread(self.journal.sync)
        self.journal.close()
