"""A gate that a script waits at and a test opens: delays without sleeping.

States: *closed* (nobody passes), *stepping* (a number of passes is in stock), *open* (everybody passes, for good).
A gate may be waited for on one thread's event loop and opened from another thread: all state sits behind one lock and
waiters are woken through their own loop. It knows nothing of HTTP or of scripts.
"""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager


class Gate:
    """Something to wait at: `release()` opens it for good, `step(n)` lets n waiters pass.

    `arrived` and `reached()` tell the test that the other side stands at the gate, which is what a sleep would
    otherwise be used for.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._changed = threading.Condition()
        self._open = False
        self._stock = 0
        self._arrived = 0
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def __repr__(self) -> str:
        state = "open" if self._open else f"closed, {self._stock} passes, {self._arrived} arrived"
        return f"Gate({self.name!r}: {state})"

    @property
    def is_open(self) -> bool:
        """Whether the gate was opened for good."""
        return self._open

    @property
    def arrived(self) -> int:
        """How many have come to the gate so far, passed or not."""
        return self._arrived

    def release(self) -> None:
        """Open the gate for good. Any thread may call it."""
        with self._changed:
            self._open = True
            self._wake()

    def step(self, passes: int = 1) -> None:
        """Let `passes` waiters through, now or when they come."""
        with self._changed:
            self._stock += passes
            self._wake()

    async def wait(self) -> None:
        """Pass the gate, waiting for as long as it takes."""
        with self._changed:
            self._arrived += 1
            self._wake()
        with self._registered() as event:
            while not self._take_pass():
                await event.wait()
                event.clear()

    async def reached(self, count: int = 1, *, within: float = 5.0) -> None:
        """Wait until `count` have come to the gate.

        Raises:
            TimeoutError: nobody came in time.
        """
        async with asyncio.timeout(within):
            with self._registered() as event:
                while self._arrived < count:
                    await event.wait()
                    event.clear()

    def wait_blocking(self, within: float = 5.0) -> bool:
        """Pass the gate from a thread without an event loop; false when `within` seconds went by."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open or self._stock > 0, within) and self._take_locked()

    def reached_blocking(self, count: int = 1, *, within: float = 5.0) -> bool:
        """Wait from a thread without an event loop until `count` have come; false when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._arrived >= count, within)

    @contextmanager
    def _registered(self) -> Generator[asyncio.Event]:
        """Yield one event that is set on every change for as long as the loop body runs."""
        entry = (asyncio.get_running_loop(), asyncio.Event())
        with self._changed:
            self._waiters.add(entry)
        try:
            yield entry[1]
        finally:
            with self._changed:
                self._waiters.discard(entry)

    def _take_pass(self) -> bool:
        with self._changed:
            return self._take_locked()

    def _take_locked(self) -> bool:
        if self._open:
            return True
        if self._stock == 0:
            return False
        self._stock -= 1
        return True

    def _wake(self) -> None:
        self._changed.notify_all()
        for loop, event in self._waiters:
            loop.call_soon_threadsafe(event.set)
