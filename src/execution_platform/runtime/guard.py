"""A streamed answer is stopped when what is held for it runs out.

The check in the loop is one comparison of a counter that is kept anyway. Only when as many pieces have come as could hold what
was reserved are the tokens estimated; and only when these have reached it is more reserved, or the stream ended with the
dialect's error. What has come is billed, whatever happens.
"""

from collections.abc import AsyncIterator

from execution_platform.ledger.budgets import Amount
from execution_platform.ledger.estimate import MILLION
from execution_platform.ledger.keeper import Keeper
from execution_platform.ledger.leases import Hold
from execution_platform.router.chain import aclose
from execution_platform.runtime.admit import Breach, Reservation
from execution_platform.runtime.call import Call
from execution_platform.runtime.partial import tokens_so_far

_TOKENS_A_PIECE = 32
"""Most tokens that vendors put into one piece of a stream, as far as the first look is concerned."""
_STEP = 256
"""Tokens reserved in addition at least, when a reservation runs out."""


async def guarded(
    call: Call, keeper: Keeper, reservation: Reservation, hold: Hold, stream: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """The same stream, until its reservation runs out and cannot be extended."""
    held = reservation.tokens.output
    look_at = held // _TOKENS_A_PIECE
    try:
        async for data in stream:
            yield data
            pieces = call.outcome.metered.deltas
            if pieces <= look_at:
                continue
            tokens = output_so_far(call)
            if tokens >= held:
                more = max(_STEP, held // 2)
                refused = await keeper.extend(hold, Amount(-(-reservation.card.output * more // MILLION), more))
                if refused is not None:
                    call.outcome.error = breach = Breach(refused, seconds_left=keeper.seconds_left(refused.window))
                    yield call.dialect.error_frame(breach, call.id)
                    return
                held += more
            look_at = pieces + (held - tokens) * pieces // max(tokens * 2, 1)
    finally:
        await aclose(stream)


def output_so_far(call: Call) -> int:
    """Output tokens that have come: by the provider's own count where it tells one as it goes."""
    metered = call.outcome.metered
    told = 0 if metered.usage is None else metered.usage.completion_tokens
    return max(told, tokens_so_far(metered, call.dialect))
