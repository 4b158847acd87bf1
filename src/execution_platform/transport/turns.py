"""Short turns of the event loop, however many answers come at once.

A turn lasts as long as all that goes on in it, and whatever else comes meanwhile waits for its end: a new request, a refusal, a
client that leaves. Here so many of those whose answers have come go on in a turn as fit into a slice of time; the others stand in
line in the order in which their answers came. What the first in line has waited tells how much more there is to do than one
process can.

uvloop's clock stands still during a turn, which tells one turn from another at no cost. Where it does not (the event loop of the
standard library) nobody stands in line.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

_SLICE: Final = 0.01
"""Seconds that a turn should last at most while somebody stands in line."""
_FEWEST: Final = 2
_USUAL: Final = 16
_MOST: Final = 128


class Turns:
    """Who goes on, and who is next. One for each event loop."""

    __slots__ = ("_begun", "_clock", "_gone", "_left", "_line", "_loop", "_measures", "_most", "_now")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` measures turns."""
        self._loop = loop
        self._clock = clock
        self._line: deque[tuple[asyncio.Future[None], float]] = deque()
        self._most = self._left = _USUAL
        self._now = self._begun = 0.0
        self._gone = 0
        self._measures = False

    @property
    def waited(self) -> float:
        """Seconds that the first in line has waited so far."""
        return self._loop.time() - self._line[0][1] if self._line else 0.0

    def wake(self, waiter: asyncio.Future[None]) -> None:
        """Let who awaits this go on, in this turn or when it is next."""
        now = self._loop.time()
        if not self._line:
            if now != self._now:
                self._now, self._left = now, self._most
            if self._left:
                self._left -= 1
                waiter.set_result(None)
                return
            if not self._measures:
                self._measures = True
                self._begun = math.nan  # nothing is known of this turn: it counts neither as long nor as short
                self._loop.call_soon(self._advance)
        self._line.append((waiter, now))

    def _advance(self) -> None:
        """Another turn: the first in line go on, fewer of them when the last turn was long."""
        now = self._clock()
        spent, self._begun = now - self._begun, now
        if spent > _SLICE:
            self._most = max(_FEWEST, int(self._gone * _SLICE / spent))
        elif spent < _SLICE / 2 and self._gone == self._most:
            self._most = min(_MOST, self._most + self._most // 2)
        line, left = self._line, self._most
        while line and left:
            waiter, _ = line.popleft()
            if not waiter.done():
                left -= 1
                waiter.set_result(None)
        self._gone = self._most - left
        # How long those take who go on now is known when it is called again, even if nobody stands in line by then.
        self._measures = self._gone > 0
        if self._measures:
            self._loop.call_soon(self._advance)
        if not line:
            self._now, self._left = self._loop.time(), left
