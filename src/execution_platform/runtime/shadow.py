"""Shadow traffic: copies of requests for another model, whose answers are read and thrown away.

A copy is sent after the real answer has begun, by a task of its own with a deadline of its own. It shares nothing with the
request it copies but immutable values, so whatever becomes of it, its caller sees nothing of it. There are bounds for how many
copies are under way and for the bytes they hold; a copy beyond them is not made, and counted as dropped. What a copy used is
kept like the usage of any request, marked by `Call.shadow_of`.
"""

import asyncio
import builtins
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

from execution_platform.exceptions import ExecutionPlatformError, TimeoutError  # noqa: A004 - the house's own
from execution_platform.router.chain import aclose
from execution_platform.router.table import Route
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call
from execution_platform.runtime.observe import settle
from execution_platform.runtime.throttle import settle_limits

Execute = Callable[[Call], Awaitable[Answer]]
Done = Callable[[Call, float], None]
"""Told of a copy that is over, and of its seconds."""
_MOST = 32
_MOST_BYTES = 64 * 1024 * 1024
_SECONDS = 300.0


def nobody(call: Call, seconds: float) -> None:
    """Nobody keeps books."""


def copied(call: Call, route: Route, deadline: float) -> Call:
    """A call that asks the same over another route. What the original holds, owes or has found is not part of it."""
    return Call(
        f"{call.id}-shadow",
        call.principal,
        call.dialect,
        call.body,
        call.peek,
        call.snapshot,
        path_model=call.path_model,
        persona=call.persona,
        sse=call.sse,
        trace=call.trace,
        forwarded=call.forwarded,
        deadline=deadline,
        loss_policy=call.loss_policy,
        repeats=False,
        headers=call.headers,
        shadow_of=call.id,
        route=route,
        decoded=call.decoded,
        request=call.request,
    )


class Shadows:
    """The copies of one process that are under way."""

    def __init__(
        self,
        execute: Execute,
        *,
        done: Done = nobody,
        dropped: Callable[[], None] = lambda: None,
        rng: Random | None = None,
        most: int = _MOST,
        seconds: float = _SECONDS,
    ) -> None:
        self._execute = execute
        self._done = done
        self._dropped = dropped
        self._rng = rng or Random()  # noqa: S311 - traffic is sampled, nothing is kept secret
        self._most = most
        self._seconds = seconds
        self._bytes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def follow(self, call: Call) -> None:
        """Copy `call`, whose answer has begun, if its route says so and chance agrees. Never waits, never raises."""
        if call.route is None or call.route.shadow is None:
            return
        shadow = call.route.shadow
        if call.operation != "chat" or self._rng.random() * 100 >= shadow.percent:
            return
        if len(self._tasks) >= self._most or self._bytes + len(call.body) > _MOST_BYTES:
            self._dropped()
            return
        loop = asyncio.get_running_loop()
        copy = copied(call, replace(call.route, targets=(shadow.target,), shadow=None), loop.time() + self._seconds)
        self._bytes += len(call.body)
        copy.snapshot.generation.enter()
        task = loop.create_task(self._run(copy))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, copy: Call) -> None:
        try:
            await self._read(copy)
        finally:
            self._bytes -= len(copy.body)
            settle(copy)
            settle_limits(copy)
            self._done(copy, time.perf_counter() - copy.started)
            copy.snapshot.generation.leave()

    async def _read(self, copy: Call) -> None:
        """The whole answer, thrown away; an error is noted as the copy's outcome."""
        try:
            async with asyncio.timeout_at(copy.deadline):
                answer = await self._execute(copy)
                if answer.stream is not None:
                    try:
                        async for _ in answer.stream:
                            pass
                    finally:
                        await aclose(answer.stream)
        except ExecutionPlatformError as error:
            copy.outcome.error = error
        except builtins.TimeoutError:
            copy.outcome.error = TimeoutError(f"the copy was not answered within {self._seconds:g} seconds")

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
