"""The way from the journal to the database, in the background, for as long as the database takes.

One task per worker takes what the journal has gained (`tail.py`) and stores it in batches, the larger the busier. While the database is away nothing is lost
and nothing waits: the journal grows, up to its cap. The task never ends by itself; what fails is told once when it begins
and once when it is over, and counted in between.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from execution_platform._failpoint import ARMED, hit
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.ledger.interfaces import CostEvent
from execution_platform.ledger.reading import Place, keep_place
from execution_platform.ledger.tail import Gained, Tail

_BATCH = 5000
"""Events of one transaction."""
_PAUSE = 0.5
"""Seconds between two: what gathers costs one commit, and one round of the roll-ups."""
_LONGEST_PAUSE = 2.0
"""Seconds between tries while the database is away: the books are level again soon after it is back."""

Tell = Callable[[str, str], None]
"""Told an event's name and its reason: `ledger_blocked`, `ledger_flowing`."""


class Store(Protocol):
    """Where events go."""

    async def apply(self, events: Sequence[CostEvent]) -> int:
        """Store those that are not there yet. Raises `ExecutionPlatformError`."""
        ...


@dataclass(slots=True)
class Progress:
    """What a metric and `ep db status` tell of an outbox."""

    delivered: int = 0
    failures: int = 0
    """Batches the database did not take."""
    blocked_since: float | None = None
    """`time.time()` of the first failure since the last success."""
    reason: str = ""


async def happens(event: asyncio.Event, *, within: float) -> bool:
    """Whether `event` is set in so many seconds. Returns as soon as it is."""
    try:
        async with asyncio.timeout(within):
            return await event.wait()
    except TimeoutError:
        return event.is_set()


class Outbox:
    """Delivers one worker's journal."""

    def __init__(
        self,
        tail: Tail,
        store: Store,
        *,
        tell: Tell,
        clock: Callable[[], float] = time.time,
        pause: float = _PAUSE,
    ) -> None:
        self.progress = Progress()
        self._tail = tail
        self._journal = tail.journal
        self._store = store
        self._tell = tell
        self._clock = clock
        self._pause = pause
        self._waiting: Gained | None = None
        """Taken and not stored yet."""
        self._stored = tail.here
        self._noted = self._stored
        self._delivering = asyncio.Lock()

    @property
    def lag_bytes(self) -> int:
        """Bytes of the journal that were not looked at yet, or whose events are not stored."""
        journal, stored = self._journal, self._stored
        if stored.number == journal.number:
            return journal.size - stored.offset
        return max(0, journal.held - stored.offset)

    @property
    def is_level(self) -> bool:
        """Whether everything that was written is stored."""
        return self._waiting is None and not self._journal.unwritten and self.lag_bytes == 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping` is set."""
        pause = self._pause
        while not await happens(stopping, within=pause):
            self.mend()
            pause = self._pause if await self.deliver() else min(_LONGEST_PAUSE, pause * 2)

    async def deliver(self) -> bool:
        """Store everything that is written by now; False when the database does not take it.

        What is written meanwhile is for the next time: a batch for each few requests would cost more than they do.
        """
        async with self._delivering:
            end = self._tail.here
            while True:
                gained = self._waiting or await self._tail.take()
                if not gained.events:
                    self._tidy(gained.place)
                    return True
                self._waiting = gained
                batch, rest = gained.events[:_BATCH], gained.events[_BATCH:]
                try:
                    self.progress.delivered += await self._store.apply(batch)
                except ExecutionPlatformError as error:
                    self._failed(error)
                    return False
                self._succeeded()
                self._waiting = Gained(rest, gained.place) if rest else None
                if not rest:
                    self._tidy(gained.place)
                    if gained.place >= end:
                        return True

    def _tidy(self, stored: Place) -> None:
        """Everything before `stored` is: note it, and delete the segments before it."""
        self._stored = stored
        if stored == self._noted:
            return
        if ARMED:
            hit("ledger.before_place")
        keep_place(self._journal.folder, stored)
        self._noted = stored
        for number in [number for number in self._journal.finished if number < stored.number]:
            self._journal.delete(number)

    def mend(self) -> None:
        """Let a full journal take new work again, if there is space."""
        journal = self._journal
        if journal.full and journal.recover():
            self._tell("journal_writable", "there is space again")

    def _failed(self, error: ExecutionPlatformError) -> None:
        progress = self.progress
        progress.failures += 1
        progress.reason = error.message
        if progress.blocked_since is None:
            progress.blocked_since = self._clock()
            self._tell("ledger_blocked", error.message)

    def _succeeded(self) -> None:
        if self.progress.blocked_since is not None:
            self.progress.blocked_since = None
            self.progress.reason = ""
            self._tell("ledger_flowing", "the database takes events again")
