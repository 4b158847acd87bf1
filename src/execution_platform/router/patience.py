"""How long a try may take to its first content."""

import asyncio
import builtins
from collections.abc import Awaitable
from typing import TypeVar

from execution_platform.exceptions import (
    ErrorKind,
    ProviderError,
    TimeoutError,  # noqa: A004 - the house's own, which is also the builtin one
)
from execution_platform.providers.base import Exchange, Provider, WireProvider
from execution_platform.router.attempt import Attempt

T = TypeVar("T")


def first_content(attempt: Attempt, provider: Provider, exchange: Exchange, work: Awaitable[T]) -> Awaitable[T]:
    """The result of `work`, which ends at the first content of a stream.

    While another target is left the provider has `timeouts.first_token`; the last one has until the call's own deadline,
    and its breaker counts it as failed at `first_token` unless the model may be silent while it reasons.

    Raises `TimeoutError` when it takes longer, and the provider's own errors with its name.
    """
    if not isinstance(provider, WireProvider):
        return _until(exchange.deadline, provider, exchange, work)
    seconds = provider.timeouts.first_token
    if not attempt.last:
        until = asyncio.get_running_loop().time() + seconds
        limit = until if exchange.deadline is None else min(exchange.deadline, until)
        return _until(limit, provider, exchange, work)
    if not exchange.profile.reasoning:
        attempt.slow_after(seconds, provider.vigil)
    return _named(provider, exchange, work)


def whole_answer(provider: Provider, exchange: Exchange, work: Awaitable[T]) -> Awaitable[T]:
    """The result of `work`, which ends with a whole answer: the model thinks before its head is sent.

    Raises `TimeoutError` after the call's deadline, and the provider's own errors with its name.
    """
    if isinstance(provider, WireProvider):
        return _named(provider, exchange, work)
    return _until(exchange.deadline, provider, exchange, work)


async def _until(limit: float | None, provider: Provider, exchange: Exchange, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout_at(limit):
            return await _named(provider, exchange, work)
    except ProviderError:
        raise
    except builtins.TimeoutError as error:
        message = f"{provider.name} sent no content in time"
        raise TimeoutError(message, kind=ErrorKind.TIMEOUT, provider=provider.name, model=exchange.model) from error


async def _named(provider: Provider, exchange: Exchange, work: Awaitable[T]) -> T:
    """The result of `work`, which ends by the call's deadline because the transport sees to it."""
    try:
        return await work
    except ProviderError as error:
        error.provider, error.model = error.provider or provider.name, error.model or exchange.model
        raise
