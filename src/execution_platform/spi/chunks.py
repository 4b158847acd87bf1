"""`ChatChunk`: the flat public view of a stream, for callers who want text, calls and an end."""

from collections.abc import Iterable, Sequence
from dataclasses import field

from execution_platform.spi.events import (
    ArgumentsDelta,
    Event,
    Failed,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from execution_platform.spi.parts import TextPart, ThinkingPart, ToolCallPart
from execution_platform.spi.response import Finish, FinishReason
from execution_platform.spi.tools import ToolCall
from execution_platform.spi.usage import Usage
from execution_platform.spi.value import value


@value()
class ToolCallDelta:
    """A piece of a call's arguments, while the call is being written."""

    call_id: str
    name: str
    arguments: str


@value()
class ChatChunk:
    """One step of an answer; every field that is None has nothing to say.

    `tool_call` comes once per call, complete; `tool_call_delta` shows it growing. `finish_reason` and
    `usage` come with the last chunks. `provider_events` holds what no field expresses.
    """

    delta_text: str | None = None
    tool_call: ToolCall | None = None
    tool_call_delta: ToolCallDelta | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    provider_events: Sequence[Event] = ()
    thinking: str | None = field(default=None, kw_only=True)


class Chunker:
    """Events → chunks, one stream's worth."""

    def __init__(self) -> None:
        self._calls: dict[tuple[int, int], ToolCallPart] = {}
        self._arguments: dict[tuple[int, int], list[str]] = {}

    def feed(self, event: Event) -> ChatChunk | None:
        """The chunk that tells `event`, if it has anything to tell. Raises what `Failed` carries."""
        match event:
            case PartDelta():
                return self._delta(event)
            case PartStarted():
                return self._start(event)
            case PartFinished():
                return self._finish(event)
            case UsageReported():
                return ChatChunk(usage=event.usage)
            case Finished():
                return ChatChunk(finish_reason=event.finish.reason)
            case Failed():
                raise event.error
            case Raw():
                return ChatChunk(provider_events=(event,))
            case Started():
                return None

    def _start(self, event: PartStarted) -> ChatChunk | None:
        part = event.part
        if isinstance(part, ToolCallPart):
            self._calls[(event.choice, event.index)] = part
            self._arguments[(event.choice, event.index)] = []
            return None
        return ChatChunk(delta_text=part.text) if isinstance(part, TextPart) and part.text else None

    def _delta(self, event: PartDelta) -> ChatChunk | None:
        delta = event.delta
        match delta:
            case TextDelta() | RefusalDelta():
                return ChatChunk(delta.text)
            case ThinkingDelta():
                return ChatChunk(thinking=delta.text)
            case ArgumentsDelta():
                key = (event.choice, event.index)
                self._arguments[key].append(delta.text)
                call = self._calls[key]
                return ChatChunk(tool_call_delta=ToolCallDelta(call.call_id, call.name, delta.text))
            case _:
                return ChatChunk(provider_events=(event,))

    def _finish(self, event: PartFinished) -> ChatChunk | None:
        key = (event.choice, event.index)
        call = self._calls.pop(key, None)
        if call is None:
            return None
        arguments = call.arguments + "".join(self._arguments.pop(key))
        if isinstance(event.part, ToolCallPart):
            call, arguments = event.part, event.part.arguments
        return ChatChunk(tool_call=ToolCall(call.call_id, call.name, arguments))


def to_chunks(events: Iterable[Event]) -> list[ChatChunk]:
    """The chunks of a whole stream."""
    chunker = Chunker()
    return [chunk for event in events if (chunk := chunker.feed(event)) is not None]


def to_events(chunks: Iterable[ChatChunk]) -> list[Event]:
    """The events of a whole flat stream: one text part, one thinking part, and the complete calls, in order."""
    events: list[Event] = [Started()]
    parts = _PartWriter(events)
    finish: FinishReason | None = None
    for chunk in chunks:
        if chunk.thinking:
            parts.thinking(chunk.thinking)
        if chunk.delta_text:
            parts.text(chunk.delta_text)
        if chunk.tool_call is not None:
            parts.call(chunk.tool_call)
        if chunk.usage is not None:
            parts.close()
            events.append(UsageReported(chunk.usage))
        finish = chunk.finish_reason or finish
    parts.close()
    if finish is not None:
        events.append(Finished(Finish(finish)))
    return events


class _PartWriter:
    """Opens and closes parts as the kind of content changes."""

    def __init__(self, events: list[Event]) -> None:
        self._events = events
        self._index = -1
        self._kind: str | None = None

    def _open(self, kind: str, event: PartStarted) -> None:
        self._events.append(event)
        self._kind = kind

    def text(self, text: str) -> None:
        if self._kind != "text":
            self.close()
            self._index += 1
            self._open("text", PartStarted(self._index, TextPart("")))
        self._events.append(PartDelta(self._index, TextDelta(text)))

    def thinking(self, text: str) -> None:
        if self._kind != "thinking":
            self.close()
            self._index += 1
            self._open("thinking", PartStarted(self._index, ThinkingPart("")))
        self._events.append(PartDelta(self._index, ThinkingDelta(text)))

    def call(self, call: ToolCall) -> None:
        self.close()
        self._index += 1
        self._open("call", PartStarted(self._index, ToolCallPart(call.id, call.name, "")))
        if call.arguments:
            self._events.append(PartDelta(self._index, ArgumentsDelta(call.arguments)))
        self.close()

    def close(self) -> None:
        if self._kind is not None:
            self._events.append(PartFinished(self._index))
            self._kind = None
