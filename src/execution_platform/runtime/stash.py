"""The stash: signatures that clients of other dialects tend to throw away, refilled by call id.

A client of chat completions rarely returns members it does not know, so the thinking that preceded a
tool call, and the signature on the call, would be missing from the next turn; the provider that wants
them back would refuse. They are kept here by tenant and call id, bounded, and only ever put back into
an assistant message that holds that very call.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Part, Signature, ThinkingPart, ToolCallPart
from execution_platform.spi.request import ChatRequest

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class _Kept:
    """What belongs to one call: the thinking right before it and the call's own signature."""

    thinking: tuple[ThinkingPart, ...]
    signature: Signature | None


class Stash:
    """A bounded memory of provider-bound state, shared by all requests of one process."""

    def __init__(self, most: int = _MOST) -> None:
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._most = most

    def keep(self, tenant: str, parts: Sequence[Part]) -> None:
        """Remember what the calls among `parts` will need in the next turn."""
        thinking: list[ThinkingPart] = []
        for part in parts:
            if isinstance(part, ThinkingPart) and part.signature is not None:
                thinking.append(part)
            elif isinstance(part, ToolCallPart):
                if thinking or part.signature is not None:
                    self._store((tenant, part.call_id), _Kept(tuple(thinking), part.signature))
                thinking = []

    def _store(self, key: tuple[str, str], kept: _Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def refill(self, tenant: str, request: ChatRequest) -> ChatRequest:
        """`request` with kept state put back where the client dropped it."""
        if not self._kept:
            return request
        messages = [self._refilled(tenant, message) for message in request.messages]
        if all(new is old for new, old in zip(messages, request.messages, strict=True)):
            return request
        return replace(request, messages=messages)

    def _refilled(self, tenant: str, message: Message) -> Message:
        if message.role != "assistant" or isinstance(message.content, str) or not message.tool_calls:
            return message
        # Thinking that a client shows and sends back without its signature is worth nothing to the provider.
        unsigned = [part for part in message.parts if isinstance(part, ThinkingPart) and part.signature is None]
        has_thinking = any(isinstance(part, ThinkingPart) and part.signature is not None for part in message.parts)
        parts: list[Part] = []
        changed = False
        for part in message.parts:
            kept = self._kept.get((tenant, part.call_id)) if isinstance(part, ToolCallPart) else None
            if kept is None or not isinstance(part, ToolCallPart):
                parts.append(part)
                continue
            if kept.thinking and not has_thinking:
                # The turn began with this thinking; thinking between calls stood right before its call.
                at = len(parts) if any(isinstance(seen, ToolCallPart) for seen in parts) else 0
                parts = [each for each in parts if each not in unsigned]
                parts[min(at, len(parts)) : min(at, len(parts))] = kept.thinking
                changed = True
            if kept.signature is not None and part.signature is None:
                part = replace(part, signature=kept.signature)  # noqa: PLW2901 - the part as it goes out
                changed = True
            parts.append(part)
        return replace(message, content=tuple(parts)) if changed else message
