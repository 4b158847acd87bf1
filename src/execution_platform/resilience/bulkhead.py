"""A bound on what is under way at one upstream, so that a slow one cannot take everything."""

import asyncio
from collections import deque


class Bulkhead:
    """At most `limit` holders at a time; those who wait are served in order."""

    __slots__ = ("_waiting", "inside", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def try_enter(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self.inside >= self.limit or self._waiting:
            return False
        self.inside += 1
        return True

    async def enter(self, seconds: float) -> bool:
        """Take a place, waiting up to `seconds` for it; whether there is one. Leaves nothing behind when cancelled."""
        if self.try_enter():
            return True
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await asyncio.wait((place,), timeout=seconds)
        except asyncio.CancelledError:
            self._withdraw(place)
            raise
        if place.done():
            return True
        self._withdraw(place)
        return False

    def leave(self) -> None:
        """Give the place to who waits longest, or back."""
        self.inside -= 1
        self._admit()

    def resize(self, limit: int) -> None:
        """Use another limit from now on; nobody inside is put out."""
        self.limit = limit
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.inside < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self.inside += 1
                place.set_result(None)

    def _withdraw(self, place: asyncio.Future[None]) -> None:
        if place.done():  # Given in the moment of leaving.
            self.leave()
        else:
            place.cancel()
            self._waiting.remove(place)
