"""Streamed answers → events.

The wire says `message_start`, then per block start, deltas and stop, then `message_delta` with the stop reason
and cumulative usage, then `message_stop`; pings and unknown events may come at any time, an `error` event ends it.
Kept rules: the finish is held until the end, so that usage comes before it; a stop reason followed by a clean end
counts as complete, no stop reason means that the stream was cut; a body that is no event stream at all is read as what
it is, an error object or a whole message. Source: platform.claude.com/docs/en/build-with-claude/streaming (read 2026-11).
"""

from dataclasses import replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects.anthropic.errors import decode_error, stream_error
from execution_platform.dialects.anthropic.parts import Blocks, decode_block, decode_citation
from execution_platform.dialects.anthropic.response import (
    OUTPUT_MEMBERS,
    CallIds,
    decode_finish,
    decode_response,
    protocol_error,
)
from execution_platform.dialects.anthropic.usage import decode_usage, merge
from execution_platform.dialects.anthropic.wire import NAME
from execution_platform.dialects.base import Upstream
from execution_platform.dialects.sse import MAX_FRAME, SseDecoder
from execution_platform.dialects.take import Object
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProviderError
from execution_platform.spi.assemble import explode, split_part
from execution_platform.spi.events import (
    ArgumentsDelta,
    CitationDelta,
    Event,
    Failed,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from execution_platform.spi.parts import CompactionPart, Part, Signature, ToolCallPart
from execution_platform.spi.response import Finish

_START_MEMBERS = frozenset(
    {"id", "type", "role", "model", "content", "usage", "stop_reason", "stop_sequence", "stop_details", *OUTPUT_MEMBERS}
)


class _Open:
    """A block between its start and its stop."""

    __slots__ = ("arguments", "index", "part", "sealed", "text")

    def __init__(self, index: int, part: Part, arguments: str | None) -> None:
        self.index = index
        self.part = part
        self.arguments = arguments
        """What the start of a call gave as input; said at the stop unless deltas said it."""
        self.text = ""
        self.sealed = ""


class Sniffer:
    """Tells from the first bytes whether a body is an event stream, and collects it if it is not."""

    __slots__ = ("_head", "plain")

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self.plain: bytearray | None = None

    def stream_bytes(self, data: bytes) -> bytes:
        """The bytes of `data` that belong to an event stream."""
        if self.plain is not None:
            self.plain += data[: max(0, MAX_FRAME - len(self.plain))]
            return b""
        if self._head is None:
            return data
        data = self._head + data
        first = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if not first:
            self._head = data
            return b""
        self._head = None
        if first in b"{<[":
            self.plain = bytearray(data)
            return b""
        return data


class Decoder:
    """One streamed answer."""

    __slots__ = (
        "_ending",
        "_finish",
        "_how",
        "_ids",
        "_next",
        "_open",
        "_over",
        "_sniffer",
        "_sse",
        "_started",
        "_upstream",
        "_usage",
    )

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._how = Blocks(upstream.origin, upstream.tool_names, answer=True)
        self._sniffer = Sniffer()
        self._sse = SseDecoder()
        self._ids = CallIds()
        self._open: dict[object, _Open] = {}
        self._next = 0
        self._usage: Object = {}
        self._finish: Finish | None = None
        self._ending: Object = {}
        self._started = False
        self._over = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises `ProtocolError` on bytes that are not the dialect."""
        events: list[Event] = []
        if not self._over:
            for _, payload in self._sse.feed(self._sniffer.stream_bytes(data)):
                self._read(payload, events)
        return events

    def close(self) -> list[Event]:
        """The last events. Raises `ProtocolError` when the stream stopped before its end."""
        if self._over:
            return []
        if self._sniffer.plain is not None:
            return self._whole(bytes(self._sniffer.plain))
        if self._finish is None:
            raise protocol_error("the stream was cut: it ended without a stop reason", self._sse.pending)
        events: list[Event] = []
        self._end(events)
        return events

    def _whole(self, body: bytes) -> list[Event]:
        self._over = True
        try:
            return explode(decode_response(body, self._upstream))
        except ProviderError as error:
            if error.kind is ErrorKind.PROTOCOL:
                raise
            return [Failed(error)]

    def _read(self, data: bytes, events: list[Event]) -> None:
        if self._over:
            return
        try:
            payload = cast("Object", _json.loads(data))
            if payload["type"] == "content_block_delta":
                delta = cast("Object", payload["delta"])
                opened = self._open[payload["index"]]
                text = delta["text"] if delta["type"] == "text_delta" else None
                if text.__class__ is str:
                    events.append(PartDelta(opened.index, TextDelta(cast("str", text))))
                else:
                    self._delta(opened, delta, payload, events)
            else:
                self._event(payload, events)
        except _json.JsonError as error:
            raise protocol_error(f"the stream has an event that is not JSON: {error.message}", data) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise protocol_error("the stream has an event that is not of this dialect", data) from error
        except InvalidRequest as error:
            raise protocol_error(
                f"the stream has a block that is not of this dialect: {error.message}", data
            ) from error

    def _delta(self, opened: _Open, delta: Object, payload: Object, events: list[Event]) -> None:
        index = opened.index
        match delta["type"]:
            case "input_json_delta":
                text = _string(delta["partial_json"])
                if text:
                    opened.arguments = None
                    events.append(PartDelta(index, ArgumentsDelta(text)))
            case "thinking_delta":
                events.append(PartDelta(index, ThinkingDelta(_string(delta["thinking"]))))
            case "signature_delta":
                token = _string(delta["signature"])
                if token:
                    events.append(PartDelta(index, SignatureDelta(Signature(token, self._upstream.origin))))
            case "citations_delta":
                events.append(PartDelta(index, CitationDelta(decode_citation(delta["citation"], "citation"))))
            case "compaction_delta":
                opened.text += _string(delta.get("content") or "")
                opened.sealed = _string(delta.get("encrypted_content") or "") or opened.sealed
            case "text_delta":
                raise TypeError
            case _:
                events.append(Raw(NAME, payload))

    def _event(self, payload: Object, events: list[Event]) -> None:
        match payload["type"]:
            case "content_block_start":
                self._block(payload, events)
            case "content_block_stop":
                self._close_block(self._open.pop(payload["index"]), events)
            case "message_start":
                self._start(cast("Object", payload["message"]), events)
            case "message_delta":
                self._message_delta(payload)
            case "message_stop":
                if self._finish is None:
                    raise protocol_error("the stream ended without a stop reason")
                self._end(events)
            case "error":
                self._over = True
                events.append(Failed(stream_error(payload)))
            case word:
                _string(word)
                events.append(Raw(NAME, payload))

    def _start(self, message: Object, events: list[Event]) -> None:
        if self._started:
            raise TypeError
        self._started = True
        given = message.get("usage")
        if isinstance(given, dict):
            merge(self._usage, cast("Object", given))
        name, model = message.get("id"), message.get("model")
        usage = decode_usage(dict(self._usage)) if self._usage else None
        self._ids.message_id = name if isinstance(name, str) else None
        self._note(message)
        extra = {name: value for name, value in message.items() if name not in _START_MEMBERS and value is not None}
        events.append(
            Started(
                id=self._ids.message_id,
                model=model if isinstance(model, str) else None,
                origin=self._upstream.origin,
                usage=usage,
                service_tier=usage.tier if usage is not None else None,
                extra=extra or None,
            )
        )

    def _note(self, members: Object) -> None:
        for name in OUTPUT_MEMBERS:
            if members.get(name) is not None:
                self._ending[name] = members[name]

    def _block(self, payload: Object, events: list[Event]) -> None:
        if not self._started:
            self._start({}, events)
        if payload["index"] in self._open or self._finish is not None:
            raise TypeError
        index = self._next
        self._next += 1
        part = self._ids.settle(decode_block(payload["content_block"], "content_block", self._how), index)
        if isinstance(part, ToolCallPart):
            self._open[payload["index"]] = _Open(index, part, part.arguments)
            events.append(PartStarted(index, replace(part, arguments="")))
            return
        self._open[payload["index"]] = _Open(index, part, None)
        head, deltas = split_part(part)
        events.append(PartStarted(index, head))
        events.extend(PartDelta(index, delta) for delta in deltas)

    def _close_block(self, opened: _Open, events: list[Event]) -> None:
        part = opened.part
        if opened.arguments is not None:
            events.append(PartDelta(opened.index, ArgumentsDelta(opened.arguments)))
        if isinstance(part, CompactionPart) and (opened.text or opened.sealed):
            signature = (
                Signature(opened.sealed, self._upstream.origin, "encrypted") if opened.sealed else part.signature
            )
            part = replace(
                part, text=part.text + opened.text, signature=signature, form="string" if opened.text else part.form
            )
            events.append(PartFinished(opened.index, part))
            return
        events.append(PartFinished(opened.index))

    def _message_delta(self, payload: Object) -> None:
        delta = payload.get("delta")
        members = cast("Object", delta) if isinstance(delta, dict) else {}
        if isinstance(members.get("stop_reason"), str):
            self._finish = decode_finish(members)
        self._note(members)
        self._note(payload)
        usage = payload.get("usage")
        if isinstance(usage, dict):
            merge(self._usage, cast("Object", usage))

    def _end(self, events: list[Event]) -> None:
        self._over = True
        if not self._started:
            self._start({}, events)
        for opened in self._open.values():
            self._close_block(opened, events)
        self._open.clear()
        if self._usage:
            events.append(UsageReported(decode_usage(self._usage)))
        if self._finish is not None:
            events.append(Finished(self._finish, 0, self._ending or None))


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def read_error_body(body: bytes) -> ProviderError | None:
    """The error in a body that should have been a stream; None if it is something else."""
    try:
        value = _json.loads(body)
    except _json.JsonError:
        return None
    if isinstance(value, dict) and cast("Object", value).get("type") == "error":
        return decode_error(200, {}, body)
    return None
