"""One timer for all calls of an event loop.

A timer of the event loop costs a call several microseconds, and hardly any is ever needed: it is cancelled when the answer
comes. Here who waits only says until when. The one timer is set to the earliest of these times it has heard of; when it fires
everybody is asked, and it is set again. As those times lie far ahead and move with every read, it seldom fires.
"""

import asyncio
import math
from typing import Final, Protocol

_STEP: Final = 0.005
"""Seconds between two firings at least: nobody is told more than this too late."""


class Waiting(Protocol):
    """Somebody who must not wait for ever."""

    @property
    def due(self) -> float:
        """The time of the event loop when it is too late."""
        ...

    def ring(self) -> None:
        """It is too late."""
        ...


class Vigil:
    """Who waits, and the timer. One for each event loop."""

    __slots__ = ("_timer", "_waiting", "_when", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._when = math.inf

    def add(self, waiting: Waiting, due: float) -> None:
        """Watch over somebody who is due then at the earliest."""
        self._waiting.add(waiting)
        if due < self._when:
            self._arm(due)

    def expect(self, due: float) -> None:
        """Somebody who is watched over may be due earlier than was told."""
        if due < self._when:
            self._arm(due)

    def discard(self, waiting: Waiting) -> None:
        """It waits no more."""
        self._waiting.discard(waiting)

    def stop(self) -> None:
        """Watch over nobody."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._when = math.inf

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._when = when
        self._timer = self.loop.call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._when = soonest = math.inf
        now = self.loop.time()
        for waiting in tuple(self._waiting):
            due = waiting.due
            if due <= now:
                self._waiting.discard(waiting)
                waiting.ring()
            elif due < soonest:
                soonest = due
        soonest = max(soonest, now + _STEP)
        if soonest < self._when:
            self._arm(soonest)
