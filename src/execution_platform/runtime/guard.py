"""A streamed answer is stopped when what is held for it runs out.

The check in the loop is one comparison of a counter that is kept anyway. Only when as many pieces have come as could hold what
was reserved are the tokens estimated; and only when these have reached it is more reserved, or the stream ended with the
dialect's error. What has come is billed, whatever happens.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple, TypeVar

from execution_platform.ledger.budgets import Amount
from execution_platform.ledger.estimate import MILLION
from execution_platform.ledger.keeper import Keeper
from execution_platform.ledger.leases import Hold
from execution_platform.router.chain import aclose
from execution_platform.runtime.admit import Breach, Reservation
from execution_platform.runtime.call import Call
from execution_platform.runtime.partial import tokens_so_far

T = TypeVar("T")
_TOKENS_A_PIECE = 32
"""Most tokens that vendors put into one piece of a stream, as far as the first look is concerned."""
_STEP = 256
"""Tokens reserved in addition at least, when a reservation runs out."""


async def guarded(call: Call, stream: AsyncIterator[T]) -> AsyncGenerator[T]:
    """The same stream, until its reservation runs out and cannot be extended. Raises `Breach` then."""
    held = reservation_of(call)
    if held is None:
        try:
            async for data in stream:
                yield data
        finally:
            await aclose(stream)
        return
    keeper, reservation, hold = held
    tokens_held = reservation.tokens.output
    look_at = tokens_held // _TOKENS_A_PIECE
    try:
        async for data in stream:
            yield data
            pieces = call.outcome.metered.deltas
            if pieces <= look_at:
                continue
            tokens = output_so_far(call)
            if tokens >= tokens_held:
                more = max(_STEP, tokens_held // 2)
                refused = await keeper.extend(hold, Amount(-(-reservation.card.output * more // MILLION), more))
                if refused is not None:
                    call.outcome.error = breach = Breach(refused, seconds_left=keeper.seconds_left(refused.window))
                    raise breach
                tokens_held += more
            look_at = pieces + (tokens_held - tokens) * pieces // max(tokens * 2, 1)
    finally:
        await aclose(stream)


async def guarded_frames(call: Call, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The same for an answer in the caller's dialect: it ends with the dialect's error then."""
    frames = guarded(call, stream)
    try:
        async for data in frames:
            yield data
    except Breach as breach:
        yield call.dialect.error_frame(breach, call.id)
    finally:
        await aclose(frames)


class Held(NamedTuple):
    """What is held for the try that answers, and who holds it."""

    keeper: Keeper
    reservation: Reservation
    hold: Hold


def reservation_of(call: Call) -> Held | None:
    """What is held for the call's answer; None where no budget binds it."""
    books, run = call.books, call.outcome.run
    if run is None or books is None or books.reserver is None:
        return None
    reservation = next((one.reservation for one in call.outcome.tries if one.attempt is run.winner), None)
    if reservation is None or reservation.hold is None:
        return None
    return Held(books.reserver.keeper, reservation, reservation.hold)


def output_so_far(call: Call) -> int:
    """Output tokens that have come: by the provider's own count where it tells one as it goes."""
    metered = call.outcome.metered
    told = 0 if metered.usage is None else metered.usage.completion_tokens
    return max(told, tokens_so_far(metered, call.dialect))
