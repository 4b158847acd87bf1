"""Passthrough: what routing reads of a request, and metering of answers that leave as they came.

The relay looks only at reads that can hold something for the books: once content has begun, those are the frames whose
bytes contain `message_` or `error`, and those that do not look like deltas: from the first one on that is no JSON object nothing is
passed on. Everything is metered with the merge function of the decoder.
"""

import re
from typing import cast

from execution_platform import _json
from execution_platform.dialects.anthropic.errors import stream_error
from execution_platform.dialects.anthropic.response import decode_finish, read_message
from execution_platform.dialects.anthropic.stream_decode import Sniffer, read_error_body
from execution_platform.dialects.anthropic.usage import decode_usage, merge
from execution_platform.dialects.base import Metered, Peek
from execution_platform.dialects.shape import Shape, count_frames, end_of_texts, shape_of
from execution_platform.dialects.sse import Frame, FrameSplitter, Seams, count_pieces, read_frame, split_frames
from execution_platform.dialects.take import Object, Taker, body_object

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


def patch(body: bytes, peek: Peek, model: str, *, usage: bool = True, thinks: bool = False) -> bytes:
    """The caller's bytes with the target's model; usage is always reported."""
    del usage, thinks
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


def _is_content(event: Object) -> bool:
    """Whether an event holds some of the answer: the start of a text or of thinking is still empty."""
    if event.get("type") != "content_block_start":
        return event.get("type") == "content_block_delta"
    block = event.get("content_block")
    members = cast("Object", block) if isinstance(block, dict) else {}
    return members.get("type") not in _EMPTY_AT_FIRST or bool(members.get("text") or members.get("thinking"))


_SEAMS = Seams(b'event: content_block_delta\ndata: {"')


_TEXT = re.compile(
    rb'event: content_block_delta\ndata: [^\n]*?"delta"\s*:\s*\{\s*"type"\s*:\s*"(?:text|thinking)_delta"\s*,'
    rb'\s*"(?:text|thinking)"\s*:\s*"((?:[^"\\]|\\.)*)"'
)
"""A frame of text or of thinking."""
_SHAPES = 16
"""Of how many reads the shape of text frames is looked for: every block of an answer has another."""


def _is_plain(data: bytes) -> bool:
    """Whether an event that came after the first content has nothing for the books, and the shape of an object."""
    return data.startswith(b'{"') and data.endswith(b"}") and b"message_" not in data and b"error" not in data


class StreamRelay:
    """One streamed answer on its way from provider to caller."""

    __slots__ = ("_shape", "_shapes_left", "_sniffer", "_splitter", "_usage", "metered")

    def __init__(self, peek: Peek) -> None:
        del peek  # nothing of the request changes what is relayed
        self.metered = Metered()
        self._sniffer = Sniffer()
        self._splitter = FrameSplitter()
        self._usage: Object = {}
        self._shape: Shape | None = None
        self._shapes_left = _SHAPES

    def feed(self, data: bytes) -> bytes:
        """The complete frames so far."""
        whole = self._splitter.feed(self._sniffer.stream_bytes(data))
        return whole if not whole or self._passes(whole) else self._look(whole)

    def _passes(self, whole: bytes) -> bool:
        """Whether these frames are more of what has begun, and have nothing for the books."""
        if not self.metered.committed:
            return False
        if self._shape is not None and count_frames(self._shape, whole):
            return True
        if not _SEAMS.frames(whole) or whole.find(b"message_") >= 0 or whole.find(b"error") >= 0:
            return False
        self._learn(whole[: whole.find(b"\n\n") + 2])
        return True

    def _learn(self, frame: bytes) -> None:
        """Take the shape of text frames from one that was read, or is known to be no other."""
        if self._shapes_left:
            self._shapes_left -= 1
            self._shape = shape_of(frame, _TEXT)

    def pieces(self, shown: bytes) -> int:
        """How many pieces of the answer are in what was shown last."""
        return count_pieces(shown)

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

    def _look(self, whole: bytes) -> bytes:
        """Read the frames one by one, of texts that follow one another the first; those before the first that is none."""
        shown = passed = 0
        for block in split_frames(whole):
            begin, shown = shown, shown + len(block)
            frame = read_frame(block) if begin >= passed else None
            if frame is None or not frame.data:
                continue
            if not self._reads(frame):
                return whole[:begin]
            if self._shape is None and self.metered.committed:
                self._learn(block)
                passed = shown if self._shape is None else end_of_texts(self._shape, whole, shown)
        return whole

    def _reads(self, frame: Frame) -> bool:
        """Whether a frame is an event; one that can tell something is read."""
        metered = self.metered
        if metered.committed and _is_plain(frame.data):
            return True
        try:
            payload = _json.loads(frame.data)
        except _json.JsonError:
            payload = None
        if not isinstance(payload, dict):
            metered.break_off("an event that is no JSON object")
            return False
        event = cast("Object", payload)
        metered.committed = metered.committed or _is_content(event)
        if not metered.finished:
            self._read(event, named_error=frame.event == "error")
        return True

    def _read(self, event: Object, *, named_error: bool) -> None:
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
