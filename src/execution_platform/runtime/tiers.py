"""Where the three tiers of tool calling meet a provider: a model that has no calls of its own gets them by text."""

from collections.abc import AsyncIterator, Sequence

from execution_platform.providers.base import Exchange
from execution_platform.router.chain import aclose
from execution_platform.spi.events import Event
from execution_platform.spi.loss import Loss
from execution_platform.spi.parts import ToolCallPart, ToolResultPart
from execution_platform.spi.request import ChatRequest
from execution_platform.tool_bridge.adapters import Tier, adapter


def tier_for(request: ChatRequest, exchange: Exchange) -> Tier | None:
    """How the exchange's model calls the tools of `request`; None when it does so by itself, or there is nothing to call.

    What takes the place of real calls is told as a loss.
    """
    way = exchange.profile.tool_calling
    if way == "native" or not (request.tools or _tells_calls(request)):
        return None
    tier = adapter(request, exchange.profile)
    if tier is not None:
        exchange.losses.append(Loss("tools", f"called {tier.way}", "knob"))
    return tier


def _tells_calls(request: ChatRequest) -> bool:
    """Whether the conversation holds calls or their results."""
    return any(
        isinstance(part, ToolCallPart | ToolResultPart)
        for message in request.messages
        if message.role in {"assistant", "tool", "user"}
        for part in message.parts
    )


async def tiered(tier: Tier, stream: AsyncIterator[Sequence[Event]]) -> AsyncIterator[Sequence[Event]]:
    """The model's events with the calls it has written as calls."""
    try:
        async for batch in stream:
            events = tier.feed(batch)
            if events:
                yield events
    finally:
        await aclose(stream)
