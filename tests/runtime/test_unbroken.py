"""An iterator that outlives whoever waits for it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from execution_platform.exceptions import ErrorKind, ProtocolError
from execution_platform.runtime.unbroken import Unbroken, read_on


async def numbers(gate: asyncio.Event, most: int = 5) -> AsyncIterator[int]:
    for number in range(most):
        await gate.wait()
        yield number


def test_the_value_that_was_waited_for_by_one_who_left_goes_to_the_next() -> None:
    async def run() -> None:
        gate = asyncio.Event()
        values = Unbroken(numbers(gate))
        waiting = asyncio.ensure_future(anext(values))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        gate.set()
        assert [value async for value in values] == [0, 1, 2, 3, 4]
        await values.aclose()

    asyncio.run(run())


def test_reading_on_ends_with_its_time_and_leaves_nothing_behind() -> None:
    async def run() -> None:
        values, seen = Unbroken(numbers(asyncio.Event())), list[int]()
        await read_on(values, seen.append, 0.01)
        await values.aclose()
        assert seen == []
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_what_breaks_is_not_waited_for() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        raise ProtocolError("cut", kind=ErrorKind.PROTOCOL)

    async def run() -> None:
        values, seen = Unbroken(broken()), list[int]()
        await read_on(values, seen.append)
        assert seen == [1]
        with pytest.raises(StopAsyncIteration):
            await anext(Unbroken(broken_off()))

    async def broken_off() -> AsyncIterator[int]:
        return
        yield 0

    asyncio.run(run())
