"""The journal: one worker's records on the local disk, in segments, written before anything leaves.

Theory of operation
-------------------
Every worker has a folder of its own below `<workspace>/journal`, and holds a lock on it as long as it lives; a folder whose
lock can be taken belongs to a dead worker and is recovered (`recovery.py`). A record is copied into a mapping of the file
(`window.py`), which costs no system call; from then on it is the kernel's and survives the end of the process, however it
ends. Surviving a power failure takes `fdatasync`, which runs in a thread for all records that have gathered (`sync`).

A segment that is full is followed by the next; the records that are still open are written again at the head of it, so that
a segment whose events are all stored can be deleted whatever is still running.

Space is allocated before it is mapped, so a disk that is full is noticed there. Then `append` fails and nothing billable may start. `append_always` is for calls that run already: it goes
on in `reserve`, a file whose space was allocated beforehand and which becomes the next segment. Once a new reserve can be
allocated the journal is healthy again. What even the reserve cannot take is kept in memory and written when there is space.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from execution_platform._failpoint import ARMED, hit
from execution_platform.ledger.frames import HEAD_SIZE, HEADER, frame
from execution_platform.ledger.window import Window

SEGMENT_BYTES = 8 * 1024 * 1024
RESERVE_BYTES = 16 * 1024 * 1024
CAP_BYTES = 256 * 1024 * 1024
LOCK = "lock"
RESERVE = "reserve"
SUFFIX = ".log"
_CREATE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class JournalFull(Exception):
    """The record was not written: no space, or the cap is reached."""


def segment_name(number: int) -> str:
    """The file name of a segment."""
    return f"{number:08d}{SUFFIX}"


def lock_folder(folder: Path) -> int | None:
    """Take the lock of a worker's folder; the descriptor that holds it, or None when its worker is alive."""
    descriptor = os.open(folder / LOCK, _CREATE, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


class Journal:
    """The segments of one living worker. All methods but `sync` belong to one thread."""

    def __init__(
        self,
        folder: Path,
        *,
        carry: Callable[[], Iterable[bytes]],
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        cap_bytes: int = CAP_BYTES,
    ) -> None:
        """Take `folder`, which is new. `carry` gives the records that are still open. Raises `OSError`."""
        self.folder = folder
        self.full = False
        """No space for new work; what runs can still be written."""
        self.unwritten: list[bytes] = []
        """Records that not even the reserve could take."""
        self.number = 1
        self.size = len(HEADER)
        self.stored = 0
        """Bytes in segments that are finished and not yet deleted."""
        self.appended = 0
        """Records written since the start; `sync` tells up to which of them a power failure is survived."""
        self._carry = carry
        self._segment_bytes = segment_bytes
        self._reserve_bytes = reserve_bytes
        self._cap_bytes = cap_bytes
        self._finished: dict[int, int] = {}
        self._unsynced: list[int] = []
        self._in_reserve = False
        folder.mkdir(mode=0o700, parents=True)
        lock = lock_folder(folder)
        if lock is None:
            raise BlockingIOError(f"{folder.name} is locked")
        self._lock = lock
        self._folder = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        self._fd = self._new_segment(1)
        self._window = Window(self._fd, segment_bytes)
        self._named = 0
        if os.pwrite(self._fd, HEADER, 0) != len(HEADER):
            raise OSError("the disk is full")
        with contextlib.suppress(OSError):
            self._allocate_reserve()
        self.full = not (folder / RESERVE).exists()

    @property
    def finished(self) -> list[int]:
        """The numbers of the segments that are full and not deleted."""
        return list(self._finished)

    @property
    def held(self) -> int:
        """What the journal holds on disk, the reserve aside."""
        return self.stored + self.size

    def append(self, payload: bytes) -> None:
        """Write a record of new work. Raises `JournalFull`."""
        if self.full or not self._write(payload):
            self.full = True
            raise JournalFull

    def append_always(self, payload: bytes) -> None:
        """Write a record of work that runs already; without any space it is kept in memory for later."""
        if not self._write(payload) and not self._write_in_reserve(payload):
            self.full = True
            self.unwritten.append(payload)

    def _write(self, payload: bytes) -> bool:
        end = self.size + HEAD_SIZE + len(payload)
        # The next segment begins before the record, never after it: what the record ends is still open here, and is carried.
        if end > self._segment_bytes and not self.full:
            self._rotate()
            end = self.size + HEAD_SIZE + len(payload)
        if (ARMED and _no_space()) or (end > self._window.end and not self._window.move(self.size, end)):
            return False
        self._window.put(self.size, payload)
        self.size = end
        self.appended += 1
        return True

    def _rotate(self) -> None:
        """Begin the next segment with what is still open. Without space for it this one grows on."""
        if self.held >= self._cap_bytes or not self._next_segment(self._new_segment):
            self.full = True

    def _write_in_reserve(self, payload: bytes) -> bool:
        """Go on in the reserve, if it is not in use already."""
        self.full = True
        if self._in_reserve or not self._next_segment(self._take_reserve):
            return False
        self._in_reserve = True
        return self._write(payload)

    def _next_segment(self, opened: Callable[[int], int]) -> bool:
        """Go on in a segment that `opened` makes; False, and everything as before, when there is no space for one."""
        number, carried = self.number + 1, HEADER + b"".join(frame(payload) for payload in self._carry())
        descriptor = -1
        try:
            descriptor = opened(number)
            if os.pwrite(descriptor, carried, 0) != len(carried):
                raise OSError("the disk is full")
        except OSError:
            if descriptor >= 0:
                os.close(descriptor)
                (self.folder / segment_name(number)).unlink(missing_ok=True)
            return False
        self._give_back()
        self._finished[self.number] = self.size
        self.stored += self.size
        self._unsynced.append(self._fd)
        self._fd, self.number, self.size = descriptor, number, len(carried)
        self._window = Window(descriptor, self._segment_bytes)
        return True

    def _give_back(self) -> None:
        """What was allocated for the current segment and not used. Nothing may be mapped beyond the end of a file."""
        self._window.close()
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self.size)

    def _new_segment(self, number: int) -> int:
        return os.open(self.folder / segment_name(number), _CREATE, 0o600)

    def _take_reserve(self, number: int) -> int:
        path = self.folder / segment_name(number)
        (self.folder / RESERVE).rename(path)
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def _allocate_reserve(self) -> None:
        """Set the reserve's space aside. Raises `OSError` without space, and leaves nothing behind."""
        path = self.folder / RESERVE
        if path.exists():
            return
        descriptor = os.open(path, _CREATE, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self._reserve_bytes)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(descriptor)

    def recover(self) -> bool:
        """After `full`: write what was kept back and make a new reserve; whether the journal is healthy again."""
        if self.held >= self._cap_bytes:
            return False
        try:
            self._allocate_reserve()
        except OSError:
            return False
        self._in_reserve = False
        while self.unwritten:
            if not self._write(self.unwritten[0]):
                return False
            self.unwritten.pop(0)
        self.full = False
        return True

    def sync(self) -> None:
        """Make what is written so far survive a power failure. May run in a thread, one at a time. Raises `OSError`."""
        current, finished = self._fd, len(self._unsynced)
        for _ in range(finished):
            os.fdatasync(self._unsynced[0])
            os.close(self._unsynced.pop(0))
        os.fdatasync(current)
        if self._named < self.number:
            named = self.number
            os.fsync(self._folder)
            self._named = named

    def delete(self, number: int) -> None:
        """Remove a finished segment whose events are stored."""
        (self.folder / segment_name(number)).unlink(missing_ok=True)
        self.stored -= self._finished.pop(number, 0)

    def close(self) -> None:
        """Close the files and give up the folder, which stays for recovery."""
        self._give_back()
        for descriptor in (*self._unsynced, self._fd, self._folder, self._lock):
            os.close(descriptor)
        self._unsynced = []


def _no_space() -> bool:
    """Whether a test lets the disk be full here."""
    try:
        hit("ledger.write")
    except OSError:
        return True
    return False
