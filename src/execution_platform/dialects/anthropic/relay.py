"""Passthrough: what routing reads of a request, and metering of answers that leave as they came.

The relay looks only at reads that can hold something for the books: once content has begun, those are the frames whose
bytes contain `message_` or `error`. Everything is metered with the merge function of the decoder.
"""

from typing import cast

from execution_platform import _json
from execution_platform.dialects.anthropic.errors import stream_error
from execution_platform.dialects.anthropic.response import decode_finish, read_message
from execution_platform.dialects.anthropic.stream_decode import Sniffer, read_error_body
from execution_platform.dialects.anthropic.usage import decode_usage, merge
from execution_platform.dialects.base import Metered, Peek
from execution_platform.dialects.sse import FrameSplitter, SseDecoder
from execution_platform.dialects.take import Object, Taker, body_object
from execution_platform.exceptions import ErrorKind, ProtocolError

_PEEKED = ("model", "stream", "max_tokens")
_NONE: tuple[object, ...] = (None, [])
_EMPTY_AT_FIRST = ("text", "thinking")


def peek(body: bytes) -> Peek:
    """What routing needs of a body. Raises `InvalidRequest` on wrong types of those members."""
    members = body_object(body)
    take = Taker({name: members[name] for name in _PEEKED if name in members})
    return Peek(
        model=take.str("model"),
        stream=bool(take.bool("stream")),
        max_tokens=take.int("max_tokens"),
        has_tools=members.get("tools") not in _NONE or members.get("mcp_servers") not in _NONE,
    )


def patch(body: bytes, peek: Peek, model: str, *, usage: bool = True) -> bytes:
    """The caller's bytes with the target's model; usage is always reported."""
    del usage
    return body if peek.model == model else _json.patch(body, {"model": model})


def meter(body: bytes) -> Metered:
    """What the books need of a whole answer. Raises `ProtocolError` if it is none."""
    message = read_message(body)
    usage = message.get("usage")
    model, name = message.get("model"), message.get("id")
    return Metered(
        usage=decode_usage(merge({}, cast("Object", usage))) if isinstance(usage, dict) else None,
        finish=decode_finish(message),
        model=model if isinstance(model, str) else None,
        id=name if isinstance(name, str) else None,
        committed=True,
        finished=True,
    )


def _is_content(data: bytes) -> bool:
    """Whether a frame about a block holds some of the answer: the start of a text or of thinking is still empty."""
    try:
        payload = _json.loads(data)
    except _json.JsonError:
        return False
    event = cast("Object", payload) if isinstance(payload, dict) else {}
    if event.get("type") != "content_block_start":
        return event.get("type") == "content_block_delta"
    block = event.get("content_block")
    members = cast("Object", block) if isinstance(block, dict) else {}
    return members.get("type") not in _EMPTY_AT_FIRST or bool(members.get("text") or members.get("thinking"))


def _is_json(data: bytes) -> bool:
    try:
        _json.loads(data)
    except _json.JsonError:
        return False
    return True


class StreamRelay:
    """One streamed answer on its way from provider to caller."""

    __slots__ = ("_frames", "_sniffer", "_splitter", "_usage", "metered")

    def __init__(self, peek: Peek) -> None:
        del peek  # nothing of the request changes what is relayed
        self.metered = Metered()
        self._sniffer = Sniffer()
        self._splitter = FrameSplitter()
        self._frames = SseDecoder()
        self._usage: Object = {}

    def feed(self, data: bytes) -> bytes:
        """The complete frames so far."""
        whole = self._splitter.feed(self._sniffer.stream_bytes(data))
        if whole and (not self.metered.committed or b"message_" in whole or b"error" in whole):
            self._look(whole)
        return whole

    def close(self) -> bytes:
        """What is left, if the answer is complete; half a frame is dropped otherwise, so that an error can follow."""
        metered = self.metered
        if self._sniffer.plain is not None:
            body = bytes(self._sniffer.plain)
            metered.error = metered.error or read_error_body(body)
            return b""
        if metered.finish is not None and metered.error is None:
            metered.finished = True
        return self._splitter.pending if metered.finished else b""

    def _look(self, whole: bytes) -> None:
        for name, data in self._frames.feed(whole):
            if b"content_block" in data and not self.metered.committed:
                self.metered.committed = _is_content(data)
            if b"message_" in data or b"error" in data:
                self._read(data, named_error=name == "error")
            elif not self.metered.committed and not _is_json(data):
                # Before any content another target can still answer; later the caller gets these bytes and reads them.
                self.metered.error = ProtocolError(
                    "an event of the provider's stream is not JSON", kind=ErrorKind.PROTOCOL
                )

    def _read(self, data: bytes, *, named_error: bool) -> None:
        try:
            payload = _json.loads(data)
        except _json.JsonError:
            # Not for the relay to judge: the caller gets these bytes and reads them itself.
            return
        if not isinstance(payload, dict) or self.metered.finished:
            return
        event = cast("Object", payload)
        match event.get("type"):
            case "message_start":
                self._start(event.get("message"))
            case "message_delta":
                self._delta(event)
            case "message_stop":
                self.metered.finished = self.metered.finish is not None
            case "error":
                self.metered.error = stream_error(event)
            case _ if named_error:
                self.metered.error = stream_error(event)
            case _:
                pass

    def _start(self, value: object) -> None:
        if not isinstance(value, dict):
            return
        message = cast("Object", value)
        model, name = message.get("model"), message.get("id")
        self.metered.model = model if isinstance(model, str) else None
        self.metered.id = name if isinstance(name, str) else None
        self._merge(message.get("usage"))

    def _delta(self, event: Object) -> None:
        delta = event.get("delta")
        if isinstance(delta, dict) and isinstance(cast("Object", delta).get("stop_reason"), str):
            self.metered.finish = decode_finish(cast("Object", delta))
        self._merge(event.get("usage"))

    def _merge(self, usage: object) -> None:
        if isinstance(usage, dict):
            merge(self._usage, cast("Object", usage))
            self.metered.usage = decode_usage(dict(self._usage))
