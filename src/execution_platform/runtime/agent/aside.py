"""What the platform did in an answer whose caller has to run a call of its own, until the caller comes back with the result.

Theory of operation
-------------------
On the vendors' paths a caller does not see the calls that the platform runs. When the model then calls a tool that only the caller
declares, the answer ends, and the caller's next request holds that call and its result, but nothing of what the platform's tools
had found before. So the turns of the answer are kept here by tenant under a token, and the ids of the calls that the caller sees
hold that token. A request that brings such ids back gets the kept turns in the place of the answer as the caller saw it, with
what the run had seen (H4). An answer in which the platform ran nothing keeps the ids of its provider, and nothing is kept.

The memory is bounded and belongs to one process. A token that it does not know is refused: the model would go on without results
it had already seen, and nobody would notice.
"""

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Part, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from execution_platform.spi.request import ChatRequest
from execution_platform.tool_bridge.provenance import Provenance

MARK: Final = "epw_"
"""How the ids begin of calls behind which the platform has worked."""
_MOST: Final = 10_000
_LARGEST: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Work:
    """The turns of one answer."""

    messages: Sequence[Message]
    ids: Mapping[str, str]
    """The ids that the caller sees → those of the turns."""
    seen: Mapping[str, object]
    """What the run had seen at the end of the answer, as `Provenance` writes it."""

    @property
    def size(self) -> int:
        """About how many characters it holds."""
        return sum(_size(part) for message in self.messages for part in message.parts)


@dataclass(frozen=True, slots=True)
class Unfolded:
    """A request with the platform's turns in it."""

    request: ChatRequest
    seen: Provenance


def token() -> str:
    """A name for the work of one answer, which nobody guesses."""
    return secrets.token_hex(12)


def marked(of: str, number: int) -> str:
    """The id of a call that the caller sees: of letters, digits and `_`, and of at most 40 characters, as every vendor takes it."""
    return f"{MARK}{of}_{number}"


class Asides:
    """The memory of one process."""

    def __init__(self, most: int = _MOST, largest: int = _LARGEST) -> None:
        """`most` works of `largest` characters together; the oldest go first."""
        self._kept: OrderedDict[tuple[str, str], tuple[Work, int]] = OrderedDict()
        self._most = most
        self._largest = largest
        self._size = 0

    def keep(self, tenant: str, of: str, work: Work) -> None:
        """Remember the work of an answer."""
        size = work.size
        self._kept[tenant, of] = work, size
        self._size += size
        while len(self._kept) > self._most or (self._size > self._largest and len(self._kept) > 1):
            _, (_, gone) = self._kept.popitem(last=False)
            self._size -= gone

    def unfold(self, tenant: str, request: ChatRequest) -> Unfolded:
        """`request` with the platform's turns where its answers were. Raises `InvalidRequest` for work that is not kept."""
        out: list[Message] = []
        ids: dict[str, str] = {}
        seen = Provenance()
        for message in request.messages:
            of = _token_of(message)
            if of is None:
                out.append(_renamed(message, ids))
                continue
            work = self._find(tenant, of)
            # Dialects of items give the words before a call as a message of its own; the turns have them too.
            while out and out[-1].role == "assistant":
                out.pop()
            out.extend(work.messages)
            ids.update(work.ids)
            seen = Provenance.from_json(work.seen)
        return Unfolded(replace(request, messages=tuple(out)) if ids else request, seen)

    def _find(self, tenant: str, of: str) -> Work:
        found = self._kept.get((tenant, of))
        if found is None:
            raise InvalidRequest(
                f"messages: the platform ran tools of its own before the call {MARK}{of}_…, and their results are not kept here: "
                "the gateway was started again, another of its processes has them, or the conversation is too old. Send the "
                "conversation again up to the user's last message, or use /v1/chat or /v1/runs, which show every result",
                code="tool_results_not_kept",
                param="messages",
            )
        self._kept.move_to_end((tenant, of))
        return found[0]


def _token_of(message: Message) -> str | None:
    if message.role != "assistant" or isinstance(message.content, str):
        return None
    for part in message.parts:
        if isinstance(part, ToolCallPart) and part.call_id.startswith(MARK):
            return part.call_id.removeprefix(MARK).partition("_")[0]
    return None


def _renamed(message: Message, ids: Mapping[str, str]) -> Message:
    """`message` with its results under the ids that the turns know."""
    if not ids:
        return message
    if isinstance(message.content, str):
        known = ids.get(message.tool_call_id or "")
        return message if known is None else replace(message, tool_call_id=known)
    parts = tuple(_result(part, ids) for part in message.parts)
    return replace(message, content=parts, tool_call_id=ids.get(message.tool_call_id or "", message.tool_call_id))


def _result(part: Part, ids: Mapping[str, str]) -> Part:
    if not isinstance(part, ToolResultPart) or part.call_id not in ids:
        return part
    # Some dialects write the id once more as that of the item.
    return replace(part, call_id=ids[part.call_id], id=None if part.id in ids else part.id)


def _size(part: Part) -> int:
    match part:
        case TextPart() | ThinkingPart():
            return len(part.text)
        case ToolCallPart():
            return len(part.arguments)
        case ToolResultPart():
            return sum(map(_size, part.parts))
        case _:
            return 0
