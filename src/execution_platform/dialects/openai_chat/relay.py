"""Passthrough: peek into a body, patch it, relay and meter its answer. The caller's and the provider's bytes stay as they are.

Theory of operation of the relay. Whole frames go on, the tail of a read waits for its end. Until the first real content every frame is
read; after it reads that consist of the stream's own text frames go by (see `shape`), and of others only those frames are read with a
usage or finish reason other than null, an error, a named event, or the first call, and those that do not look like an object: from the
first one on that is none nothing is passed on.
The usage frame that the patch has asked for is kept from callers who had not: it is the one with usage and no choices.
"""

import re
from collections.abc import Mapping
from typing import cast

from execution_platform import _json
from execution_platform.dialects import openai_errors
from execution_platform.dialects.base import Metered, Peek
from execution_platform.dialects.openai_chat.finish import decode_finish
from execution_platform.dialects.openai_chat.reasoning import DETAILS, FIELDS
from execution_platform.dialects.openai_chat.response import parse_answer
from execution_platform.dialects.openai_chat.usage import Tally, usage_of
from execution_platform.dialects.shape import Shape, count_frames, end_of_texts, shape_of
from execution_platform.dialects.sse import FrameSplitter, Seams, count_pieces, read_frame, split_frames
from execution_platform.dialects.take import Object, body_object, wrong
from execution_platform.exceptions import ProtocolError, ProviderError
from execution_platform.spi.response import Finish

_CONTENT = ("content", "refusal", "tool_calls", "function_call", "audio", "images", *FIELDS, DETAILS)
_PEEKED: Mapping[str, type] = {
    "model": str,
    "stream": bool,
    "max_tokens": int,
    "max_completion_tokens": int,
    "n": int,
    "stream_options": dict,
}
_NONE: tuple[object, ...] = (None, [])
_OPEN_END = re.compile(rb'"finish_reason"\s*:\s*null(?:\s*\}\s*\]\s*,\s*("usage"\s*:\s*null))?')
"""What a chunk says that ends nothing, in its server's spelling."""
_TEXT = re.compile(rb'data:[^\n]*?"delta"\s*:\s*\{\s*"content"\s*:\s*"([^"\\]*)"')
"""A frame of text."""
_EXPECTED: Mapping[type, str] = {str: "a string", bool: "true or false", int: "an integer", dict: "an object"}


def peek(body: bytes) -> Peek:
    """What routing needs. Raises `InvalidRequest` on wrong types of those members, or when the body is no object."""
    members = body_object(body)
    for name, kind in _PEEKED.items():
        value = members.get(name)
        if value is not None and type(value) is not kind:
            raise wrong(name, _EXPECTED[kind], value)
    options = cast("Object", members.get("stream_options") or {})
    limit = members.get("max_completion_tokens")
    if limit is None:
        limit = members.get("max_tokens")
    return Peek(
        cast("str | None", members.get("model")),
        members.get("stream") is True,
        cast("int | None", limit),
        cast("int", members.get("n") or 1),
        has_tools=members.get("tools") not in _NONE or members.get("functions") not in _NONE,
        include_usage=options.get("include_usage") is True,
    )


def patch(body: bytes, peek: Peek, model: str, *, usage: bool = True, thinks: bool = False) -> bytes:
    """The caller's bytes with the target's model, and with usage reporting switched on unless the target refuses that."""
    del thinks
    changes: Object = {"model": model}
    if peek.stream and usage and not peek.include_usage:
        given = body_object(body).get("stream_options")
        options = cast("Object", given) if isinstance(given, dict) else {}
        changes["stream_options"] = {**options, "include_usage": True}
    return _json.patch(body, changes)


def _nulls_only(data: bytes, name: bytes, compact: bytes, spaced: bytes) -> bool:
    """Whether a member is null wherever it occurs, as far as counting bytes tells."""
    count, nulls = data.count(name), data.count(compact)
    return count == nulls or count == nulls + data.count(spaced)


_LAST_FRAMES = 4
"""Finish reason, usage and terminator come last; one more frame may carry a filter's verdict."""


def _last_frames(whole: bytes, start: int) -> int:
    """Where the last few frames after `start` begin."""
    place = len(whole) - 2
    for _ in range(_LAST_FRAMES):
        place = whole.rfind(b"\n\n", start, place)
        if place < 0:
            return start
    return place + 2


_DONE = b"data: [DONE]\n\n"
_SHAPES = 4
"""Of how many reads the shape of text frames is looked for."""
_SEAMS = Seams()


def _object(data: bytes) -> Object | None:
    """The object that `data` is, if it is one."""
    try:
        chunk = _json.loads(data)
    except _json.JsonError:
        return None
    return cast("Object", chunk) if isinstance(chunk, dict) else None


def _says_no_usage(data: bytes) -> bool:
    return b'"usage"' not in data or _nulls_only(data, b'"usage"', b'"usage":null', b'"usage": null')


def _says_no_end(data: bytes) -> bool:
    return (
        b"[DONE]" not in data
        and b"event:" not in data
        and _nulls_only(data, b'"finish_reason"', b'"finish_reason":null', b'"finish_reason": null')
    )


class Reader:
    """What the books need of the chunks of one stream; the same rules as the decoder's."""

    __slots__ = (
        "_finished",
        "_has_calls",
        "_mark",
        "_marks_usage",
        "_open",
        "_shape",
        "_shapes_left",
        "_tally",
        "frames",
        "metered",
    )

    def __init__(self, metered: Metered) -> None:
        self.metered = metered
        self._tally = Tally()
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._has_calls = False
        self._mark = b'"finish_reason":null'
        self._marks_usage = False
        self._shape: Shape | None = None
        self._shapes_left = _SHAPES
        self.frames = 0
        """How many frames the last look has counted; 0 if it counted none."""

    def learn(self, frame: bytes) -> None:
        """Take the spelling of the server from a frame that ends nothing."""
        found = _OPEN_END.search(frame)
        if found is not None:
            self._mark = found[0]
            self._marks_usage = found[1] is not None

    def _learn_shape(self, quiet: bytes) -> None:
        """Take the shape of text frames from the first of some frames that concern nobody."""
        self._shapes_left -= 1
        self._shape = shape_of(quiet[: quiet.find(b"\n\n") + 2], _TEXT)

    def skips(self, data: bytes) -> bool:
        """Whether nothing in these frames concerns the books.

        Where every frame has a finish reason that is null, none is an end, an error or usage alone; writers that change their
        spelling and servers that send more than chunks cost a few looks more.
        """
        self.frames = 0
        if not self.metered.committed or data.endswith(_DONE):
            return False
        if self._shape is not None:
            self.frames = count_frames(self._shape, data)
            if self.frames:
                return True
        quiet = self._is_quiet(data)
        if quiet and self._shape is None and self._shapes_left:
            self._learn_shape(data)
        return quiet

    def past_texts(self, whole: bytes, start: int) -> int:
        """Where the frames of text end that begin at `start`; `start` as far as that is not known."""
        return start if self._shape is None else end_of_texts(self._shape, whole, start)

    def _is_quiet(self, data: bytes) -> bool:
        frames = _SEAMS.frames(data)
        if not frames:
            return False
        if data.count(self._mark) != frames:
            quiet = _says_no_end(data) and _says_no_usage(data)
        elif self._marks_usage:
            quiet = data.count(b'"usage"') == frames or _says_no_usage(data)
        else:
            quiet = _says_no_usage(data)
        return quiet and (self._has_calls or b'"tool_calls"' not in data) and b'"error"' not in data

    def is_complete(self) -> bool:
        """Whether every choice that began has named its finish reason."""
        return bool(self._finished) and self._open <= self._finished

    def chunk(self, chunk: Object, event: str | None) -> None:
        """Take one chunk."""
        metered = self.metered
        if event == "error" or chunk.get("error"):
            metered.error = openai_errors.stream_error(chunk)
            return
        choices = chunk.get("choices")
        wires = (
            [cast("Object", each) for each in cast("list[object]", choices) if isinstance(each, dict)]
            if isinstance(choices, list)
            else []
        )
        if not self._open or chunk.get("usage") is not None or "x_groq" in chunk:
            self._tally.see(chunk)
            metered.usage = self._tally.result()
        if wires and not self._open:
            answer_id, model = chunk.get("id"), chunk.get("model")
            metered.id = answer_id if isinstance(answer_id, str) and answer_id else None
            metered.model = model if isinstance(model, str) and model else None
        for wire in wires:
            self._choice(wire)

    def _choice(self, wire: Object) -> None:
        index, delta, reason = wire.get("index"), wire.get("delta"), wire.get("finish_reason")
        number = index if isinstance(index, int) and not isinstance(index, bool) and index >= 0 else 0
        self._open.add(number)
        if isinstance(delta, dict):
            told = cast("Object", delta)
            self._has_calls = self._has_calls or bool(told.get("tool_calls") or told.get("function_call"))
            if not self.metered.committed:
                self.metered.committed = any(told.get(name) for name in _CONTENT)
        if isinstance(reason, str) and reason:
            self._finished.add(number)
            finish = decode_finish(reason, has_calls=self._has_calls, stop_reason=wire.get("stop_reason"))
            if number == min(self._open):
                self.metered.finish = finish


class StreamRelay:
    """One passed-through stream."""

    __slots__ = ("_body", "_ended", "_has_begun", "_hides", "_peek", "_reader", "_splitter", "metered")

    def __init__(self, peek: Peek) -> None:
        self.metered = Metered()
        self._peek = peek
        self._hides = not peek.include_usage
        self._splitter = FrameSplitter()
        self._reader = Reader(self.metered)
        self._body: bytearray | None = None
        self._has_begun = False
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        """The whole frames so far, without the usage frame the caller has not asked for."""
        if self._body is None and not self._has_begun and self._is_body(data):
            self._body = bytearray(self._splitter.pending)
        if self._body is not None:
            self._body += data
            return b""
        whole = self._splitter.feed(data)
        if not whole or (self._peek.n == 1 and self._reader.skips(whole)):
            return whole
        return self._read(whole) if self._peek.n == 1 else self._read_all(whole)

    def pieces(self, shown: bytes) -> int:
        """How many pieces of the answer are in what was shown last."""
        return self._reader.frames or count_pieces(shown)

    def _read_all(self, whole: bytes) -> bytes:
        """Read every frame."""
        self._reader.frames = 0
        shown: list[bytes] = []
        for frame in split_frames(whole):
            if self._shows(frame):
                shown.append(frame)
            elif self.metered.broken is not None:
                break
        return b"".join(shown)

    def _read(self, whole: bytes) -> bytes:
        """Read the frames up to the first content, pass those by that concern nobody, and read the last ones."""
        at, shown, frame = 0, b"", b""
        reader = self._reader
        while not self.metered.committed and (end := whole.find(b"\n\n", at) + 2) > 1:
            frame = whole[at:end]
            if self._shows(frame):
                shown += frame
            elif self.metered.broken is not None:
                return shown
            at = end
        if at:
            reader.learn(whole[:at])
            reader.skips(frame)
            if reader.skips(rest := whole[at:]):
                reader.frames = 0
                return shown + rest
        cut = reader.past_texts(whole, at)
        if cut == at:
            cut = _last_frames(whole, at)
            if cut > at and not reader.skips(whole[at:cut]):
                cut = at
        return shown + whole[at:cut] + self._read_all(whole[cut:])

    def _is_body(self, data: bytes) -> bool:
        head = (self._splitter.pending + data).lstrip()
        self._has_begun = bool(head)
        return head.startswith(b"{")

    def _shows(self, block: bytes) -> bool:
        """Read one frame; whether the caller is to see it."""
        frame = read_frame(block)
        if frame is None or not frame.data or self._ended:
            return True
        if frame.data == b"[DONE]":
            # A broken answer must not look like one that ended.
            self._ended = True
            self.metered.finished = self._reader.is_complete()
            return self.metered.finished
        told = _object(frame.data)
        if told is None:
            self.metered.break_off("a chunk that is no JSON object")
            return False
        self._reader.chunk(told, frame.event)
        return not (self._hides and told.get("choices") == [] and usage_of(told) is not None)

    def close(self) -> bytes:
        """What is left; an answer that was no stream is metered as a whole."""
        if self._body is not None:
            self._meter_body(bytes(self._body))
            return bytes(self._body)
        tail = self._splitter.pending
        frame = read_frame(tail) if tail else None
        if frame is not None and (frame.data == b"[DONE]" or _object(frame.data) is not None):
            tail = tail if self._shows(tail) else b""
        elif not self._ended:
            tail = b""
        if not self._ended and self.metered.error is None:
            self.metered.finished = self._reader.is_complete()
        return tail

    def _meter_body(self, body: bytes) -> None:
        try:
            found = meter(body)
        except ProtocolError:
            return
        except ProviderError as error:
            self.metered.error = error
            return
        told = self.metered
        told.usage, told.finish, told.model, told.id = found.usage, found.finish, found.model, found.id
        told.committed = told.finished = True


def meter(body: bytes) -> Metered:
    """What the books need of a whole answer. Raises `ProtocolError` if it is none, `ProviderError` for an error in it."""
    answer = parse_answer(body)
    tally = Tally()
    tally.see(answer)
    answer_id, model = answer.get("id"), answer.get("model")
    return Metered(
        usage=tally.result(),
        finish=_first_finish(cast("list[object]", answer["choices"])),
        model=model if isinstance(model, str) and model else None,
        id=answer_id if isinstance(answer_id, str) and answer_id else None,
        committed=True,
        finished=True,
    )


def _first_finish(choices: list[object]) -> Finish | None:
    first = choices[0] if choices else None
    wire = cast("Object", first) if isinstance(first, dict) else {}
    reason, message = wire.get("finish_reason"), wire.get("message")
    if not isinstance(reason, str):
        return None
    told = cast("Object", message) if isinstance(message, dict) else {}
    has_calls = bool(told.get("tool_calls") or told.get("function_call"))
    return decode_finish(reason, has_calls=has_calls, stop_reason=wire.get("stop_reason"))
