"""Reading a journal: dispatches and settlements put together into events, in the order they were written.

The same code feeds the database while a worker lives and recovers what it left when it is gone, so what is tested every
day is what a crash relies on. A settlement whose dispatch is not known any more was read before, and is passed over.
"""

import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from execution_platform.ledger.frames import HEADER, next_whole, records
from execution_platform.ledger.interfaces import Checkpoint, CostEvent, Dispatch, Settlement
from execution_platform.ledger.journal import SUFFIX, segment_name

POSITION = "position"
_POSITION = struct.Struct("<QQ")
_STEP = 256 * 1024
"""Bytes read at once: some thousand records, a few milliseconds."""

_decode = msgspec.msgpack.Decoder(Dispatch | Checkpoint | Settlement).decode


def segments(folder: Path) -> list[int]:
    """The numbers of the segments that exist, in order."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


class Place(NamedTuple):
    """Where in a journal: the segment, and the offset in it."""

    number: int
    offset: int


class Reader:
    """A place in a journal, and what is open there."""

    def __init__(self, folder: Path, place: Place | None = None, tries: Mapping[str, Dispatch] | None = None) -> None:
        """At the begin of what there is, or at `place`, where `tries` are open."""
        self.folder = folder
        begin = place or Place(next(iter(segments(folder)), 1), len(HEADER))
        self.number: int = begin.number
        self.offset: int = begin.offset
        self.open: dict[str, Dispatch] = dict(tries or ())
        self.progress: dict[str, Checkpoint] = {}
        self.damaged = 0
        """Records that could be read and not understood."""

    def read(self, last: int, size: int | None = None) -> list[CostEvent]:
        """The next events; empty when there are none. `last` is the newest segment, `size` how far it is written."""
        while True:
            limit = size if self.number == last else None
            data = self._data(limit)
            events: list[CostEvent] = []
            start = self.offset
            for record in records(data):
                self.offset = start + record.end
                event = self._take(record.payload)
                if event is not None:
                    events.append(event)
            if events:
                return events
            if self.offset == start:
                if self.number >= last and limit is not None:
                    return events
                found = next_whole(data, 1)
                if found is not None:
                    self.offset += found
                elif self.number >= last:
                    return events
                else:
                    self.number, self.offset = self.number + 1, len(HEADER)

    def _data(self, limit: int | None) -> bytes:
        path = self.folder / segment_name(self.number)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            most = _STEP if limit is None else min(_STEP, limit - self.offset)
            return os.pread(descriptor, most, self.offset) if most > 0 else b""
        finally:
            os.close(descriptor)

    def _take(self, payload: bytes) -> CostEvent | None:
        try:
            entry = _decode(payload)
        except msgspec.DecodeError:
            self.damaged += 1
            return None
        if isinstance(entry, Settlement):
            self.progress.pop(entry.id, None)
            dispatch = self.open.pop(entry.id, None)
            return None if dispatch is None else CostEvent(dispatch, entry)
        if isinstance(entry, Checkpoint):
            if entry.id in self.open:
                self.progress[entry.id] = entry
        else:
            self.open[entry.id] = entry
        return None

    @property
    def place(self) -> Place:
        """Up to where it was read."""
        return Place(self.number, self.offset)

    def skip_stored(self) -> None:
        """Read up to the place that was noted, for what is open there; its events are stored already."""
        try:
            place: tuple[int, int] = _POSITION.unpack((self.folder / POSITION).read_bytes())
        except (FileNotFoundError, struct.error):
            return
        number, offset = place
        if number < self.number:
            return
        while self.number < number or self.offset < offset:
            before = (self.number, self.offset)
            self.read(number, offset)
            if (self.number, self.offset) == before:
                return


def keep_place(folder: Path, place: Place) -> None:
    """Note on disk that everything before `place` is stored."""
    descriptor = os.open(folder / POSITION, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, _POSITION.pack(*place), 0)
    finally:
        os.close(descriptor)


def all_events(reader: Reader) -> Iterator[list[CostEvent]]:
    """Everything a finished journal still has, in steps."""
    numbers = segments(reader.folder)
    while numbers:
        events = reader.read(numbers[-1])
        if not events:
            return
        yield events
