"""JSON lines on standard output, written off the event loop.

Lines are gathered and handed to one writer thread at most every 50 ms; when the reader of standard
output stops, lines are dropped and counted instead of stopping requests.
"""

import asyncio
import os
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from queue import Empty, Full, Queue
from typing import Protocol

from execution_platform import _json

_FLUSH_SECONDS = 0.05
_MOST_LINES = 10_000
_MOST_BATCHES = 64
_STOP = b""


class Tell(Protocol):
    """Writes an event into the log, as `LineLog.event` does."""

    def __call__(self, name: str, level: str = "info", **fields: object) -> None:
        """Write it."""
        ...


class LineLog:
    """A log of JSON objects, one per line. `dropped` counts the lines nobody could take."""

    def __init__(self, fd: int = 1, *, level: str = "info") -> None:
        self._fd = fd
        self._lines: list[bytes] = []
        self._batches: Queue[bytes] = Queue(_MOST_BATCHES)
        self._thread: threading.Thread | None = None
        self._scheduled = False
        self.dropped = 0
        self.debug = level == "debug"

    def write(self, fields: Mapping[str, object]) -> None:
        """Log one object. Never blocks, never raises."""
        if len(self._lines) >= _MOST_LINES:
            self.dropped += 1
            return
        self._lines.append(_json.dumps(fields))
        if not self._scheduled:
            self._scheduled = True
            try:
                asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)
            except RuntimeError:
                self.flush()

    def event(self, name: str, level: str = "info", **fields: object) -> None:
        """Log something that is not a request: start, stop, a provider that is found or lost."""
        self.write({"ts": now(), "level": level, "event": name, **fields})

    def flush(self) -> None:
        """Hand what has gathered to the writer thread."""
        self._scheduled = False
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ep-log", daemon=True)
            self._thread.start()
        try:
            self._batches.put_nowait(b"\n".join(lines) + b"\n")
        except Full:
            self.dropped += len(lines)

    def close(self, seconds: float = 1.0) -> None:
        """Write what is left, waiting `seconds` at most for a slow reader."""
        self.flush()
        thread = self._thread
        if thread is not None:
            self._thread = None
            try:
                self._batches.put_nowait(_STOP)
            except Full:
                return
            thread.join(seconds)

    def _run(self) -> None:
        while True:
            try:
                batch = self._batches.get(timeout=60)
            except Empty:
                continue
            if batch == _STOP:
                return
            self._write_all(batch)

    def _write_all(self, batch: bytes) -> None:
        view = memoryview(batch)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except OSError:
                self.dropped += bytes(view).count(b"\n")
                return


def now() -> str:
    """The time as RFC 3339 with milliseconds, UTC."""
    seconds = time.time()
    return f"{_second(int(seconds))}.{int(seconds % 1 * 1000):03d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
