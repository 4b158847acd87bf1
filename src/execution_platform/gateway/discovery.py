"""Local model servers that answer on their usual port, found once at start."""

import asyncio

from execution_platform.config.known import LocalCandidate
from execution_platform.dialects import dialect
from execution_platform.exceptions import ProviderError
from execution_platform.transport.http import HttpCall, HttpTransport
from execution_platform.transport.timeouts import Timeouts

_QUICK = Timeouts(connect=0.25, first_token=0.5, idle=0.5, total=1.0)
_MOST = 1024 * 1024


async def models_at(transport: HttpTransport, candidate: LocalCandidate) -> tuple[str, ...]:
    """The models of the server behind `candidate`; empty when nobody answers there or it is no such server."""
    call = HttpCall("GET", f"{candidate.base_url.rstrip('/')}/models", {"accept": "application/json"}, b"")
    try:
        reply = await transport.send(call, timeouts=_QUICK, deadline=None)
    except ProviderError:
        return ()
    try:
        if reply.status != 200:
            return ()
        return tuple(dialect("openai_chat").decode_models(await reply.read(_MOST)))
    except ProviderError:
        return ()
    finally:
        reply.close()


async def find_local(
    transport: HttpTransport, candidates: tuple[LocalCandidate, ...]
) -> tuple[tuple[LocalCandidate, tuple[str, ...]], ...]:
    """The candidates that answer, each with its models."""
    listings = await asyncio.gather(*(models_at(transport, candidate) for candidate in candidates))
    return tuple((found, models) for found, models in zip(candidates, listings, strict=True) if models)
