"""What a worker's journal has gained, on its way to the database: from memory as long as it fits, else read back from disk.

A worker knows the events it writes, so reading them again would be work for nothing. When the database is away for long
they are more than memory should hold; from then on the journal itself is the queue, and it is read from the place where
memory ended. Once it is read to its end, memory is enough again.
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from execution_platform.ledger.interfaces import CostEvent, Dispatch, Settlement
from execution_platform.ledger.journal import Journal
from execution_platform.ledger.reading import Place, Reader

KEPT = 8192
"""Events in memory, some 10 MB at most; two seconds of a busy worker."""
_NEAR = 64 * 1024
"""Bytes that are read at once, in less than a millisecond: while a thread reads, a busy worker writes on."""


class Gained(NamedTuple):
    """Events in the order they were settled, and the place of the journal that is stored once they are."""

    events: list[CostEvent]
    place: Place


class Tail:
    """The end of one living worker's journal. Belongs to the event loop."""

    def __init__(self, journal: Journal, tries: Mapping[str, Dispatch], *, kept: int = KEPT) -> None:
        """`tries` are those that have not ended, and change as they do."""
        self.journal = journal
        self._tries = tries
        self._kept = kept
        self._events: list[CostEvent] = []
        self._reader: Reader | None = None

    @property
    def here(self) -> Place:
        """The end of what is written."""
        return Place(self.journal.number, self.journal.size)

    def add(self, dispatch: Dispatch, settlement: Settlement) -> None:
        """A try ends. To be told before that is written, and before the try is taken out of those that have not ended."""
        if self._reader is not None:
            return
        if len(self._events) < self._kept:
            self._events.append(CostEvent(dispatch, settlement))
        else:
            self._reader = Reader(self.journal.folder, self.here, self._tries)

    async def take(self) -> Gained:
        """The next events; none when there are no more now."""
        reader = self._reader
        if self._events:
            # What memory holds comes before what is to be read.
            events, self._events = self._events, []
            return Gained(events, self.here if reader is None else reader.place)
        if reader is None:
            return Gained([], self.here)
        events: list[CostEvent] = []
        while not events:
            end = self.here
            if reader.number == end.number and end.offset - reader.offset <= _NEAR:
                events = reader.read(*end)
                if reader.place == end and not self.journal.unwritten:
                    self._reader = None
                break
            events = await asyncio.to_thread(reader.read, *end)
            if not events and end == self.here:
                break
        return Gained(events, reader.place)
