"""How late the event loop is: the one number that tells that a process has more to do than it can."""

import asyncio
from collections.abc import Callable

TICK_SECONDS = 0.05


class LagSampler:
    """A timer that notes how long after its time it was called."""

    def __init__(self, note: Callable[[float], None], seconds: float = TICK_SECONDS) -> None:
        self._note = note
        self._seconds = seconds
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin sampling in the running loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._seconds
        self._timer = loop.call_at(self._due, self._tick, loop)

    def stop(self) -> None:
        """Stop sampling."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._note(max(0.0, now - self._due))
        self._due = now + self._seconds
        self._timer = loop.call_at(self._due, self._tick, loop)
