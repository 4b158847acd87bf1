"""How late the event loop is: the one number that tells that a process has more to do than it can.

A loop with hardly anything to do is late, too, where the machine runs something else; the processor time that the process has
used meanwhile tells that from overload.
"""

import asyncio
import time
from collections.abc import Callable

TICK_SECONDS = 0.025

Note = Callable[[float, float], None]
"""Told how late the loop is, and the processor time that was used since the last time; both in seconds."""


class LagSampler:
    """A timer that notes how long after its time it was called."""

    def __init__(
        self, note: Note, seconds: float = TICK_SECONDS, *, worked: Callable[[], float] = time.process_time
    ) -> None:
        """`worked` tells the processor time that was used so far."""
        self._note = note
        self._seconds = seconds
        self._worked = worked
        self._due = 0.0
        self._before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin sampling in the running loop."""
        loop = asyncio.get_running_loop()
        self._before = self._worked()
        self._due = loop.time() + self._seconds
        self._timer = loop.call_at(self._due, self._tick, loop)

    def stop(self) -> None:
        """Stop sampling."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now, worked = loop.time(), self._worked()
        self._note(max(0.0, now - self._due), worked - self._before)
        self._before, self._due = worked, now + self._seconds
        self._timer = loop.call_at(self._due, self._tick, loop)
