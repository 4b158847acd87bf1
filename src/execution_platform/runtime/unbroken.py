"""What is read to its end although its reader has left: an answer of a provider that charges for all of it either way.

Most providers stop, and stop charging, when the connection closes. Where they do not (`cancel_stops_billing` of the profile),
closing it would save nothing and lose the numbers: the answer is read on for a while, for the books alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.router.chain import aclose

T = TypeVar("T")

READ_ON_SECONDS = 30.0
"""An answer that takes longer is left, and estimated."""


class Unbroken(Generic[T]):
    """An iterator that outlives the cancellation of whoever waits for its next value: that value is not lost."""

    __slots__ = ("_next", "_source")

    def __init__(self, source: AsyncIterator[T]) -> None:
        self._source = source
        self._next: asyncio.Future[T] | None = None

    def __aiter__(self) -> "Unbroken[T]":
        """Itself."""
        return self

    async def __anext__(self) -> T:
        """The next value, which is asked for once, however often it is waited for."""
        awaited = self._next
        if awaited is None:
            awaited = self._next = asyncio.ensure_future(anext(self._source))
        value = await asyncio.shield(awaited)
        self._next = None
        return value

    async def aclose(self) -> None:
        """Ask for nothing more."""
        awaited, self._next = self._next, None
        if awaited is not None:
            awaited.cancel()
            await asyncio.gather(awaited, return_exceptions=True)
        await aclose(self._source)


async def read_on(source: AsyncIterator[T], note: Callable[[T], object], seconds: float = READ_ON_SECONDS) -> None:
    """Note what is left of `source`; what comes later, or breaks, is not waited for."""
    with suppress(TimeoutError, ExecutionPlatformError):
        async with asyncio.timeout(seconds):
            async for value in source:
                note(value)
