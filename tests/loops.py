"""Tests that are coroutines, each in an event loop of its own."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """`test` as a plain function that runs it to its end."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def until(condition: Callable[[], object], within: float = 10) -> None:
    """Return when `condition` holds, a function or a coroutine function. Raises `TimeoutError` when it does not in time."""
    async with asyncio.timeout(within):
        while True:
            met = condition()
            if await met if inspect.isawaitable(met) else met:
                return
            # What is waited for may be another process, which needs the processor.
            await asyncio.sleep(0.005)
