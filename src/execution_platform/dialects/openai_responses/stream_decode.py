"""Streamed answers → events.

The wire opens an item, then parts of its content, says their pieces, closes both, and repeats the whole answer at the end; only
`response.completed` and `response.incomplete` mean that it is complete. Items that nobody here understands become parts when they
close. A body that is no stream is what it is: an error, or a whole answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects import openai_errors
from execution_platform.dialects.base import Upstream
from execution_platform.dialects.openai_responses.content import decode_annotation, decode_part
from execution_platform.dialects.openai_responses.items import decode_answer_item
from execution_platform.dialects.openai_responses.response import declared, decode_finish, said
from execution_platform.dialects.openai_responses.usage import decode_usage
from execution_platform.dialects.openai_responses.wire import NAME
from execution_platform.dialects.sse import SseDecoder
from execution_platform.dialects.take import Object, Taker
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError
from execution_platform.spi.events import (
    ArgumentsDelta,
    CitationDelta,
    Event,
    Failed,
    Finished,
    LogprobsDelta,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    RefusalDelta,
    SignatureDelta,
    Started,
    SummaryDelta,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from execution_platform.spi.parts import Part, TextPart, ThinkingPart, ToolCallPart

_TEXT = {"response.output_text.delta": TextDelta, "response.refusal.delta": RefusalDelta}
_PIECES = {
    "response.function_call_arguments.delta": ArgumentsDelta,
    "response.custom_tool_call_input.delta": ArgumentsDelta,
    "response.reasoning_text.delta": ThinkingDelta,
}
_SILENT = frozenset(
    {
        "response.queued",
        "response.in_progress",
        "response.output_text.done",
        "response.refusal.done",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
        "response.reasoning_text.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
    }
)
"""Events that repeat what the pieces said, or say nothing."""


@dataclass(slots=True)
class _Place:
    """A part that is open, by its number in the answer."""

    index: int
    part: Part
    has_content: bool = False


class Decoder:
    """One streamed answer."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._frames = SseDecoder()
        self._started = False
        self._ended = False
        self._count = 0
        self._has_calls = False
        self._items: dict[int, _Place] = {}
        self._texts: dict[tuple[int, int], _Place] = {}
        self._messages: dict[int, Object] = {}
        """Message items that are open, as they were announced."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises `ProtocolError` on bytes that are not the dialect."""
        out: list[Event] = []
        for _, payload in self._frames.feed(data):
            if self._ended or payload == b"[DONE]":
                continue
            try:
                value = _json.loads(payload)
            except _json.JsonError as error:
                raise _broken(f"an event is not JSON ({error.reason})", payload) from error
            if not isinstance(value, dict):
                raise _broken("an event is no object", payload)
            try:
                self._event(cast("Object", value), out)
            except InvalidRequest as error:
                raise _broken(error.message, payload) from error
        return out

    def close(self) -> list[Event]:
        """Nothing more. Raises `ProtocolError` if the stream stopped before its end."""
        if not self._ended:
            raise ProtocolError("the provider's stream stopped before its end", kind=ErrorKind.CONNECTION)
        return []

    def _event(self, wire: Object, out: list[Event]) -> None:
        kind = str(wire.get("type"))
        if wire.get("error") and not kind.startswith("response."):
            kind = "error"
        if kind in _TEXT:
            self._text(wire, _TEXT[kind](_string(wire, "delta")), out)
        elif kind in _PIECES:
            self._piece(wire, _PIECES[kind](_string(wire, "delta")), out)
        elif kind in _HANDLERS:
            _HANDLERS[kind](self, wire, out)
        elif kind not in _SILENT:
            out.append(Raw(NAME, wire))

    def created(self, wire: Object, out: list[Event]) -> None:
        """`response.created`."""
        self._start(_object(wire, "response"), out)

    def summarised(self, wire: Object, out: list[Event]) -> None:
        """`response.reasoning_summary_text.delta`."""
        self._piece(wire, SummaryDelta(_string(wire, "delta"), _number(wire, "summary_index")), out)

    def annotated(self, wire: Object, out: list[Event]) -> None:
        """`response.output_text.annotation.added`."""
        self._text(wire, CitationDelta(decode_annotation(wire.get("annotation"))), out)

    def ended(self, wire: Object, out: list[Event]) -> None:
        """The last event, with the whole answer."""
        self._end(_object(wire, "response"), out)

    def _start(self, response: Object, out: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        answer_id, model, created = response.get("id"), response.get("model"), response.get("created_at")
        tier = response.get("service_tier")
        out.append(
            Started(
                id=answer_id if isinstance(answer_id, str) else None,
                model=model if isinstance(model, str) else None,
                origin=self._upstream.origin,
                created=int(created) if isinstance(created, int | float) else None,
                service_tier=tier if isinstance(tier, str) else None,
                extra=said(response) or None,
            )
        )

    def _open(self, part: Part, out: list[Event]) -> _Place:
        if not self._started:
            self._start({}, out)
        place = _Place(self._count, part)
        self._count += 1
        out.append(PartStarted(place.index, part))
        return place

    def item_added(self, wire: Object, out: list[Event]) -> None:
        """`response.output_item.added`."""
        item, number = _object(wire, "item"), _number(wire, "output_index")
        match item.get("type"):
            case "message":
                self._messages[number] = item
            case "reasoning" | "function_call" | "custom_tool_call":
                part = declared(decode_answer_item(item, "item", self._upstream.origin), self._upstream)
                self._has_calls = self._has_calls or isinstance(part, ToolCallPart)
                if isinstance(part, ThinkingPart):
                    part = replace(part, signature=None, redacted=False)
                self._items[number] = self._open(part, out)
            case _:
                pass  # told as a whole when it closes

    def part_added(self, wire: Object, out: list[Event]) -> None:
        """`response.content_part.added`."""
        number, place = _number(wire, "output_index"), _number(wire, "content_index")
        item = self._messages.get(number)
        if item is None:
            return  # of a thought, whose pieces say the same
        told = _object(wire, "part")
        item_id, phase = item.get("id"), item.get("phase")
        part = TextPart(
            "",
            refusal=told.get("type") == "refusal",
            id=item_id if isinstance(item_id, str) else None,
            group=item_id if isinstance(item_id, str) else f"message {number}",
            phase=phase if isinstance(phase, str) else None,
        )
        self._texts[(number, place)] = self._open(part, out)

    def _text(self, wire: Object, delta: TextDelta | RefusalDelta | CitationDelta, out: list[Event]) -> None:
        key = (_number(wire, "output_index"), _number(wire, "content_index"))
        if key not in self._texts:
            self._messages.setdefault(key[0], {"id": wire.get("item_id")})
            self.part_added({**wire, "part": {"type": "output_text"}}, out)
        place = self._texts[key]
        place.has_content = True
        out.append(PartDelta(place.index, delta))
        logprobs = wire.get("logprobs")
        if isinstance(logprobs, list) and logprobs:
            out.append(PartDelta(place.index, LogprobsDelta(cast("list[object]", logprobs))))

    def part_done(self, wire: Object, out: list[Event]) -> None:
        """`response.content_part.done`."""
        place = self._texts.pop((_number(wire, "output_index"), _number(wire, "content_index")), None)
        if place is None:
            return
        final = decode_part(wire.get("part"), "part")
        same = replace(final, id=place.part.id, group=place.part.group, phase=place.part.phase)
        out.append(PartFinished(place.index, same))

    def _piece(self, wire: Object, delta: ArgumentsDelta | ThinkingDelta | SummaryDelta, out: list[Event]) -> None:
        place = self._items.get(_number(wire, "output_index"))
        if place is None:
            raise _broken("a piece of an item that was not opened", _json.dumps(wire))
        place.has_content = True
        out.append(PartDelta(place.index, delta))

    def item_done(self, wire: Object, out: list[Event]) -> None:
        """`response.output_item.done`."""
        item, number = _object(wire, "item"), _number(wire, "output_index")
        if item.get("type") == "message":
            self._end_message(item, number, out)
            return
        part = declared(decode_answer_item(item, "item", self._upstream.origin), self._upstream)
        place = self._items.pop(number, None)
        if place is None:
            place = self._open(part, out)
        elif isinstance(part, ThinkingPart) and part.signature is not None and not part.redacted:
            out.append(PartDelta(place.index, SignatureDelta(part.signature)))
        self._has_calls = self._has_calls or isinstance(part, ToolCallPart)
        out.append(PartFinished(place.index, part))

    def _end_message(self, item: Object, number: int, out: list[Event]) -> None:
        """A message closes; what it says that no piece said is told now."""
        known = self._messages.pop(number, None)
        keys = [key for key in self._texts if key[0] == number]
        out += [PartFinished(self._texts.pop(key).index) for key in keys]
        if known is None:
            content = item.get("content")
            self._messages[number] = item
            for place, each in enumerate(cast("list[object]", content) if isinstance(content, list) else []):
                told: Object = {"output_index": number, "content_index": place, "part": each}
                self.part_added(told, out)
                self.part_done(told, out)
            del self._messages[number]

    def _end(self, response: Object, out: list[Event]) -> None:
        if response.get("status") == "failed" or response.get("error"):
            self.failed(response, out)
            return
        self._start(response, out)
        out += [PartFinished(place.index) for place in (*self._items.values(), *self._texts.values())]
        usage, tier = response.get("usage"), response.get("service_tier")
        if isinstance(usage, dict):
            read = decode_usage(cast("Object", usage), tier if isinstance(tier, str) else None)
            if read is not None:
                out.append(UsageReported(read))
        self._ended = True
        out.append(Finished(decode_finish(response, has_calls=self._has_calls)))

    def failed(self, wire: Object, out: list[Event]) -> None:
        """An error; nothing follows."""
        self._ended = True
        out.append(Failed(openai_errors.stream_error(wire)))


_HANDLERS: Mapping[str, Callable[[Decoder, Object, list[Event]], None]] = {
    "response.created": Decoder.created,
    "response.output_item.added": Decoder.item_added,
    "response.content_part.added": Decoder.part_added,
    "response.content_part.done": Decoder.part_done,
    "response.output_item.done": Decoder.item_done,
    "response.reasoning_summary_text.delta": Decoder.summarised,
    "response.output_text.annotation.added": Decoder.annotated,
    "response.completed": Decoder.ended,
    "response.incomplete": Decoder.ended,
    "response.failed": Decoder.ended,
    "error": Decoder.failed,
}


def _broken(why: str, payload: bytes) -> ProtocolError:
    message = f"the provider's stream is not one of responses: {why}"
    return ProtocolError(message, kind=ErrorKind.PROTOCOL, raw=payload[: openai_errors.MAX_RAW])


def _object(wire: Object, name: str) -> Object:
    return dict(Taker(wire.get(name), name).rest)


def _string(wire: Object, name: str) -> str:
    return Taker(wire).str(name) or ""


def _number(wire: Object, name: str) -> int:
    value = wire.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
