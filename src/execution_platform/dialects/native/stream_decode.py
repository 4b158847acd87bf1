"""The native stream → events, for the SDK.

Theory of operation. The first event opens the answer. Text and thinking run in one part each until the kind changes, a
signature closes the part, or a call comes; a call is a part of its own. `usage` is held and told before the end; `done` ends
the answer and must be the last event, `error` ends it as a failure. Bytes that stop before either are a `ProtocolError`: an answer
without `done` is never complete. Events nobody knows become `Raw`.
"""

from collections.abc import Mapping
from typing import cast

from execution_platform import _json
from execution_platform.dialects import envelope
from execution_platform.dialects.base import Upstream
from execution_platform.dialects.native.calls import decode_call, decode_result, protocol_error
from execution_platform.dialects.native.errors import decode_event
from execution_platform.dialects.native.parts import NAME
from execution_platform.dialects.native.usage import decode_usage
from execution_platform.dialects.sse import Frame, SseDecoder
from execution_platform.dialects.take import Object
from execution_platform.exceptions import ErrorKind, ProtocolError
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
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    UsageReported,
)
from execution_platform.spi.parts import Part, TextPart, ThinkingPart, ToolCallPart
from execution_platform.spi.response import Finish, FinishReason
from execution_platform.spi.usage import Usage

_REASONS: Mapping[str, FinishReason] = {reason.value: reason for reason in FinishReason}


def decode_finish(wire: Mapping[str, object]) -> Finish:
    """The finish reason of `done` or of a whole answer; an unknown word is kept in `raw`."""
    word, raw = wire.get("reason"), wire.get("raw_reason")
    stop, details = wire.get("stop_sequence"), wire.get("details")
    reason = _REASONS.get(word) if isinstance(word, str) else None
    if reason is None and raw is None:
        raw = word
    return Finish(
        reason or FinishReason.UNKNOWN,
        raw if isinstance(raw, str) else None,
        stop if isinstance(stop, str) else None,
        cast("Object", details) if isinstance(details, dict) else None,
    )


FINISH_MEMBERS = frozenset({"reason", "raw_reason", "stop_sequence", "details", "usage"})


def _load(data: bytes) -> Object:
    try:
        value = _json.loads(data)
    except _json.JsonError as error:
        raise protocol_error(f"the data of an event is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise protocol_error("the data of an event is not an object")
    return cast("Object", value)


class Decoder:
    """One stream's worth."""

    __slots__ = ("_ended", "_index", "_kind", "_last_call", "_names", "_sse", "_started", "_upstream", "_usage")

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._names = dict(upstream.tool_names)
        self._sse = SseDecoder()
        self._started = False
        self._index = -1
        self._kind: str | None = None
        self._usage: Usage | None = None
        self._last_call = ""
        self._ended = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        events: list[Event] = []
        for frame in self._sse.feed(data):
            self._frame(frame, events)
        return events

    def close(self) -> list[Event]:
        """Nothing more. Raises `ProtocolError` when neither `done` nor `error` has come."""
        if not self._ended:
            raise ProtocolError("the stream was cut before its `done` event", kind=ErrorKind.PROTOCOL)
        return []

    def _frame(self, frame: Frame, events: list[Event]) -> None:
        if self._ended:
            raise protocol_error("something follows the last event of the stream")
        if not self._started:
            self._started = True
            events.append(Started(origin=self._upstream.origin))
        name = frame.event
        if name == "tool_call":
            self._call(frame.data, events)
            return
        data = _load(frame.data)
        match name:
            case "token":
                self._token(data, events)
            case "thinking":
                self._thinking(data, events)
            case "tool_result":
                self._result(data, events)
            case "usage":
                self._usage = decode_usage(data)
            case "done":
                self._done(data, events)
            case "error":
                events.append(Failed(decode_event(data)))
                self._ended = True
            case _:
                events.append(Raw(NAME, {"event": name, "data": data}))

    def _open(self, kind: str, part: Part, events: list[Event]) -> None:
        self._close_part(events)
        self._index += 1
        self._kind = kind
        events.append(PartStarted(self._index, part))

    def _close_part(self, events: list[Event]) -> None:
        if self._kind is not None:
            events.append(PartFinished(self._index))
            self._kind = None

    def _token(self, data: Object, events: list[Event]) -> None:
        text = data.get("text")
        if not isinstance(text, str):
            raise protocol_error("a token event has no text")
        refusal = data.get("refusal") is True
        kind = "refusal" if refusal else "text"
        if self._kind != kind and (text or "signature" in data):
            self._open(kind, TextPart("", refusal=refusal), events)
        if text:
            events.append(PartDelta(self._index, RefusalDelta(text) if refusal else TextDelta(text)))
        self._sign(data, events)

    def _thinking(self, data: Object, events: list[Event]) -> None:
        text = data.get("text")
        if not isinstance(text, str):
            raise protocol_error("a thinking event has no text")
        redacted = data.get("redacted") is True
        if redacted or (self._kind != "thinking" and (text or "signature" in data)):
            self._open("thinking", ThinkingPart(redacted=redacted), events)
        if text:
            events.append(PartDelta(self._index, ThinkingDelta(text)))
        self._sign(data, events)
        if redacted:
            self._close_part(events)

    def _sign(self, data: Object, events: list[Event]) -> None:
        """A signature belongs to what came before it, and ends that part."""
        token = data.get("signature")
        if isinstance(token, str):
            events.append(PartDelta(self._index, SignatureDelta(envelope.read(token, NAME, "signature"))))
            self._close_part(events)

    def _call(self, data: bytes, events: list[Event]) -> None:
        try:
            inner = _json.members(data).get("data")
        except _json.JsonError as error:
            raise protocol_error("the data of a tool_call event is not an object") from error
        if inner is None:
            raise protocol_error("a tool_call event has no data")
        call = decode_call(bytes(inner), self._index + 1, self._names)
        self._last_call = call.call_id
        head = ToolCallPart(
            call.call_id, call.name, "", kind=call.kind, synthetic_id=call.synthetic_id, signature=call.signature
        )
        self._open("call", head, events)
        if call.arguments:
            events.append(PartDelta(self._index, ArgumentsDelta(call.arguments)))
        self._close_part(events)

    def _result(self, data: Object, events: list[Event]) -> None:
        self._open("result", decode_result(data.get("data"), self._last_call), events)
        self._close_part(events)

    def _done(self, data: Object, events: list[Event]) -> None:
        self._close_part(events)
        usage = data.get("usage")
        if self._usage is None and isinstance(usage, dict):
            self._usage = decode_usage(cast("Object", usage))
        if self._usage is not None:
            events.append(UsageReported(self._usage))
        extra = {name: value for name, value in data.items() if name not in FINISH_MEMBERS}
        events.append(Finished(decode_finish(data), extra=extra or None))
        self._ended = True
