"""Passthrough: bytes in, the same bytes out, metered on the way by what the decoder uses, too."""

import re
from typing import Final

from execution_platform import _json
from execution_platform.dialects.base import Metered, Peek
from execution_platform.dialects.gemini.errors import error_in_answer
from execution_platform.dialects.gemini.finish import blocked, decode_finish
from execution_platform.dialects.gemini.frames import ArraySplitter, Events, texts_of
from execution_platform.dialects.gemini.response import text_member
from execution_platform.dialects.gemini.usage import REPORT_EVERY, Meter, grounding_of
from execution_platform.dialects.gemini.wire import (
    answer_object,
    bad_answer,
    camel,
    mapping,
    member,
    objects,
    resource,
    whole,
)
from execution_platform.dialects.sse import Seams, count_pieces, split_frames
from execution_platform.dialects.take import Object, Taker, body_object
from execution_platform.exceptions import ProtocolError
from execution_platform.spi.response import Finish

_PEEKED: Final = frozenset({"model", "generationConfig", "generation_config", "tools"})
_MANY: Final = 4
"""Frames in one read."""
_USAGE: Final = b'"usageMetadata"'
_SEAMS: Final = Seams()
_SEAMS_CRLF: Final = Seams(end=b"\r\n\r\n")
_SEPARATORS: Final = b" \t\r\n[],\xef\xbb\xbf"


def _tells(whole: bytes) -> bool:
    """Whether a read must be looked at frame by frame. One plain search after the other is the fastest way to know; `in` first takes the piece for a number."""
    return (
        whole.find(b'"finishReason"') >= 0
        or whole.find(b'"functionCall"') >= 0
        or whole.find(b'"error"') >= 0
        or whole.find(b'"promptFeedback"') >= 0
        or whole.find(b'"webSearchQueries"') >= 0
    )


_COUNT: Final = re.compile(rb'"candidatesTokenCount":\s*(\d{1,9})\b')
"""A report with this replaces those before it."""


def peek(body: bytes) -> Peek:
    """What routing needs of a request. Raises `InvalidRequest` on wrong types of those members."""
    wanted = {name: value for name, value in body_object(body).items() if name in _PEEKED}
    take = Taker(camel(wanted))
    model, tools, config = take.str("model"), take.any("tools"), take.object("generationConfig")
    inner = Taker(camel(config or {}), "generationConfig")
    return Peek(
        model=None if model is None else model.removeprefix("models/"),
        max_tokens=inner.int("maxOutputTokens"),
        n=inner.int("candidateCount") or 1,
        has_tools=bool(tools),
    )


def patch(body: bytes, peek: Peek, model: str, *, usage: bool = True, thinks: bool = False) -> bytes:
    """The caller's bytes: the path names the model, and usage is always reported. A model in the body is replaced."""
    del usage, thinks
    return body if peek.model is None else _json.patch(body, {"model": resource(model)})


def _before(whole: bytes, texts: int) -> bytes:
    """The frames of `whole` before the one that holds text number `texts`."""
    shown = 0
    for block in split_frames(whole):
        texts -= len(texts_of(block))
        if texts < 0:
            break
        shown += len(block)
    return whole[:shown]


class _Seen:
    """What the chunks of one answer said so far."""

    __slots__ = ("_called", "_ended", "_words", "meter", "metered")

    def __init__(self) -> None:
        self.metered = Metered()
        self.meter = Meter()
        self._words: dict[int, tuple[str | None, object]] = {}
        self._called: set[int] = set()
        self._ended: Finish | None = None

    def chunk(self, wire: Object) -> None:
        """One chunk, or a whole answer."""
        metered = self.metered
        if "error" in wire:
            metered.error = error_in_answer(wire)
            return
        metered.model = metered.model or text_member(wire, "modelVersion")
        metered.id = metered.id or text_member(wire, "responseId")
        usage = mapping(wire.get("usageMetadata"))
        if usage is not None:
            self.meter.report(usage)
        candidates = objects(wire.get("candidates"))
        for candidate in candidates:
            self._candidate(candidate)
        if not candidates:
            self._ended = blocked(member(wire, "promptFeedback")) or self._ended
        metered.usage = self.meter.usage()
        self._finish()

    def _candidate(self, candidate: Object) -> None:
        number = whole(candidate.get("index")) or 0
        word = text_member(candidate, "finishReason")
        message = candidate.get("finishMessage")
        have = self._words.get(number, (None, None))
        self._words[number] = (word if word is not None else have[0], message if message is not None else have[1])
        for part in objects(member(candidate, "content").get("parts")):
            if part.get("functionCall") is not None:
                self._called.add(number)
            if any(value for name, value in part.items() if name not in ("thought", "thoughtSignature")):
                self.metered.committed = True
        self.meter.searched(number, grounding_of(candidate))

    def _finish(self) -> None:
        words = [word for word, _ in self._words.values()]
        self.metered.finished = self._ended is not None or (bool(words) and None not in words)
        if self._words:
            first = min(self._words)
            word, message = self._words[first]
            if word is not None:
                self.metered.finish = decode_finish(word, called=first in self._called, message=message)
                return
        self.metered.finish = self._ended


class StreamRelay:
    """`dialects.base.Relay` for this dialect, in either form of the stream."""

    __slots__ = ("_array", "_events", "_head", "_is_array", "_report_at", "_seen", "_shape", "_waiting", "metered")

    def __init__(self, peek: Peek) -> None:
        del peek  # nothing of the request changes what is relayed
        self._seen = _Seen()
        self.metered: Metered = self._seen.metered
        self._events = Events()
        self._array = ArraySplitter()
        self._head: bytes | None = b""
        self._is_array = False
        self._shape = _SEAMS
        self._waiting = b""
        """The last read with a usage that has not been looked at: only the last report counts."""
        self._report_at = REPORT_EVERY

    def feed(self, data: bytes) -> bytes:
        """The whole frames, or array elements, so far."""
        head = self._head
        if head is not None:
            data = head + data
            start = data.removeprefix(b"\xef\xbb\xbf").lstrip()
            if not start or b"\xef\xbb\xbf".startswith(data):
                self._head = data
                return b""
            self._head = None
            self._is_array = start.startswith(b"[")
        if self._is_array:
            return self._elements(self._array.feed(data))
        whole = self._events.feed(data)
        if whole:
            whole = self._scan(whole)
        bare = self._events.bare()
        if bare is not None:
            # It is held back with the open frame, so that the gateway may tell the error in its own words.
            self._look(bare)
        return whole

    def _elements(self, texts: list[bytes]) -> bytes:
        """The objects of the array and what separates them, before the first that is neither."""
        for number, text in enumerate(texts):
            if (text.startswith(b"{") or text.strip(_SEPARATORS)) and not self._look(text):
                return b"".join(texts[:number])
        return b"".join(texts)

    def _scan(self, whole: bytes) -> bytes:
        """The frames of one read before the first that is none; of many the first and the last tell most."""
        if self._passes(whole):
            return whole
        blocks = split_frames(whole)
        if len(blocks) < _MANY:
            return self._look_at(whole)
        middle = b"".join(blocks[1:-1])
        shown = self._look_at(blocks[0])
        if self.metered.broken is None:
            shown += middle if self._passes(middle) else self._look_at(middle)
        return shown if self.metered.broken is not None else shown + self._look_at(blocks[-1])

    def _passes(self, whole: bytes) -> bool:
        """Whether these frames say nothing but more text and a newer usage."""
        if not self.metered.committed or not self._shape.frames(whole) or _tells(whole):
            return False
        at = whole.rfind(_USAGE)
        if at < 0:
            return True
        count = _COUNT.search(whole, at)
        if count is None:
            return False
        self._waiting = whole
        if int(count[1]) >= self._report_at:
            self._report_at = int(count[1]) + REPORT_EVERY
            self._report()
        return True

    def _look_at(self, whole: bytes) -> bytes:
        """Read the frames one by one; those before the first that is none."""
        self._report()
        self._shape = _SEAMS_CRLF if whole.endswith(b"\r\n\r\n") else _SEAMS
        for number, text in enumerate(texts_of(whole)):
            if not self._look(text):
                return _before(whole, number)
        return whole

    def _report(self) -> None:
        """Look at the read that waits."""
        waiting, self._waiting = self._waiting, b""
        if waiting:
            for text in texts_of(waiting[max(0, waiting.rfind(b"data:", 0, waiting.rfind(_USAGE))) :]):
                self._look(text)

    def _look(self, text: bytes) -> bool:
        """Read a chunk; whether it is one."""
        try:
            wire = answer_object(text)
        except ProtocolError:
            self.metered.break_off("a chunk that is no JSON object")
            return False
        self._seen.chunk(wire)
        return True

    def pieces(self, shown: bytes) -> int:
        """How many pieces of the answer are in what was shown last."""
        return count_pieces(shown)

    def close(self) -> bytes:
        """A last frame that nothing closed but that is whole; half a frame is dropped."""
        if self._is_array:
            return b""
        self._report()
        rest = self._head or self._events.pending
        texts = texts_of(rest)
        try:
            wires = [answer_object(text) for text in texts]
        except ProtocolError:
            return b""
        for wire in wires:
            self._seen.chunk(wire)
        return rest if wires else b""


def meter(body: bytes) -> Metered:
    """What the books need of a whole answer. Raises `ProtocolError` if it is none."""
    wire = camel(answer_object(body))
    if not wire.keys() & {"candidates", "promptFeedback", "usageMetadata", "error", "modelVersion", "responseId"}:
        raise bad_answer("it has none of candidates, promptFeedback, usageMetadata")
    seen = _Seen()
    seen.chunk(wire)
    metered = seen.metered
    metered.finished = metered.committed = metered.error is None
    return metered
