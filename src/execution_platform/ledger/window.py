"""A part of a file in memory: what is put there is in the file, without a system call.

The space behind a window is allocated before it is mapped. A page without space behind it would end the process with SIGBUS
when it is first written to, instead of raising. Linux writes pages that were changed through a mapping with `fdatasync` as
it writes those of `write` (they share the page cache), and readers of the file see them at once.

A window is small, because every page that was touched counts as memory of the process.
"""

import mmap
import os
import zlib

from execution_platform.ledger.frames import HEAD, HEAD_SIZE

WINDOW_BYTES = 256 * 1024
_PAGE = mmap.ALLOCATIONGRANULARITY


class Window:
    """Moves along one file, from its begin to its end."""

    __slots__ = ("_allocated", "_descriptor", "_expected", "_map", "_start", "end")

    def __init__(self, descriptor: int, expected: int) -> None:
        """Nothing is mapped yet. What the file has already is taken to be allocated; no more than `expected` is in advance."""
        self.end = 0
        """Up to where something can be put."""
        self._start = 0
        self._map: mmap.mmap | None = None
        self._descriptor = descriptor
        self._expected = expected
        self._allocated = os.fstat(descriptor).st_size

    def move(self, offset: int, end: int) -> bool:
        """Go to where `offset` to `end` can be put; False when there is no space for it."""
        start = offset - offset % _PAGE
        wanted = (min(start + WINDOW_BYTES, self._expected), end + -end % _PAGE)
        reach = next((each for each in wanted if each >= end and self._allocate(each)), None)
        if reach is None:
            if end > self._allocated:
                return False
            reach = self._allocated
        try:
            mapped = mmap.mmap(self._descriptor, reach - start, offset=start)
        except OSError:
            return False
        self.close()
        self._map, self._start, self.end = mapped, start, reach
        return True

    def _allocate(self, reach: int) -> bool:
        if reach > self._allocated:
            try:
                os.posix_fallocate(self._descriptor, self._allocated, reach - self._allocated)
            except OSError:
                return False
            self._allocated = reach
        return True

    def put(self, offset: int, payload: bytes) -> None:
        """Write a record at `offset`. It must fit before `end`."""
        mapped, size = self._map, len(payload)
        if mapped is None:
            raise ValueError("nothing is mapped")
        at = offset - self._start
        begin = at + HEAD_SIZE
        # The head comes last: until then the record is space that was never written.
        mapped[begin : begin + size] = payload
        HEAD.pack_into(mapped, at, size, zlib.crc32(payload, size))

    def close(self) -> None:
        """Map nothing any more."""
        if self._map is not None:
            self._map.close()
            self._map = None
        self.end = 0
