"""Counts what is under way, so that what it uses is closed when the last of it ends and not before."""

import asyncio
from types import TracebackType
from typing import Self


class Busy:
    """Calls that are under way. Used as a context by each of them."""

    def __init__(self) -> None:
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> Self:
        self._calls += 1
        self._idle.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    async def over(self) -> None:
        """Wait until nothing is under way."""
        await self._idle.wait()
