"""A call answered as canonical events, for who goes on working with them: the agent loop."""

import time
from collections.abc import AsyncGenerator, Sequence

from execution_platform.router.attempt import Attempt
from execution_platform.router.chain import Committed, aclose
from execution_platform.runtime.call import Call
from execution_platform.runtime.execute import enter_end, first_of, open_stream, opening
from execution_platform.runtime.guard import guarded
from execution_platform.runtime.observe import Watch
from execution_platform.spi.events import Event


async def answer_events(call: Call) -> AsyncGenerator[Sequence[Event]]:
    """Answer a planned chat call; the first batch is past the commit point.

    Raises what keeps it from beginning, what breaks it later, and `BudgetExceeded` when what is held for it runs out.
    """

    async def attempt(tried: Attempt) -> tuple[Attempt, Committed]:
        provider, exchange = await opening(call, tried)
        return tried, await open_stream(call, tried, provider, exchange)

    tried, committed = await first_of(call, attempt)
    stream = guarded(call, _watched(call, tried, committed))
    try:
        async for batch in stream:
            yield batch
    finally:
        await aclose(stream)


async def _watched(call: Call, tried: Attempt, committed: Committed) -> AsyncGenerator[Sequence[Event]]:
    """The answer, noted as it passes."""
    watch = Watch(call, tried)
    call.outcome.first_content = time.perf_counter()
    try:
        seen = watch.events(committed.take())
        if tried.metered.finished:
            enter_end(call)
        yield seen
        async for batch in committed.rest:
            seen = watch.events(batch)
            if tried.metered.finished:
                enter_end(call)
            yield seen
    finally:
        tried.leave()
        await committed.aclose()
