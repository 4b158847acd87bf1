"""Stream bytes → whole JSON texts, whichever form the stream has.

Theory of operation: the API streams server-sent events (`alt=sse`) or, without that, one JSON array; an
error in the middle of events comes bare, as JSON without `data:` and over several lines. The first byte
that is not blank tells events from an array. Neither form has a terminator of its own: an array closes,
events just end. Nothing here reads the JSON, it only finds where a text ends.
"""

import re
from typing import Final

from execution_platform import _json
from execution_platform.dialects.sse import MAX_FRAME, FrameSplitter
from execution_platform.exceptions import ErrorKind, ProtocolError

_MARK: Final = re.compile(rb'["\\{}]')
_QUOTE, _ESCAPE, _OPEN = b'"\\{'
_CR, _LF = b"\r\n"
_BLANK: Final = b" \t\r\n"
_ENDS: Final = (b"\r\n\r\n", b"\n\n")
MAX_BARE: Final = 64 * 1024
"""An error is not longer; what is, waits for its end."""
_BETWEEN: Final = b" \t\r\n[],"
_FIELDS: Final = (b"event:", b"id:", b"retry:", b":")


class Events:
    """Bytes of server-sent events → whole frames; what has not ended waits."""

    __slots__ = ("_is_bare", "_splitter", "is_open")

    def __init__(self) -> None:
        self._splitter = FrameSplitter()
        self.is_open = False
        """A frame has begun and not ended."""
        self._is_bare = False

    def feed(self, data: bytes) -> bytes:
        """The whole frames so far. Raises `ProtocolError` on an endless one."""
        if not self.is_open and data.endswith(_ENDS):
            return data
        begins = not self.is_open
        whole = self._splitter.feed(data)
        if begins or whole:
            pending = self._splitter.pending
            self.is_open = bool(pending)
            self._is_bare = pending.lstrip(_BLANK).startswith(b"{")
        return whole

    def bare(self) -> bytes | None:
        """The open frame where it is a whole JSON text without `data:`: nothing needs to end it."""
        if not self.is_open or not self._is_bare:
            return None
        text = self.pending.strip(_BLANK)
        if not text.endswith(b"}") or len(text) > MAX_BARE:
            return None
        try:
            _json.loads(text)
        except _json.JsonError:
            return None
        return text

    @property
    def pending(self) -> bytes:
        """Bytes of the open frame."""
        return self._splitter.pending

    def drop(self) -> None:
        """Forget the open frame."""
        self._splitter = FrameSplitter()
        self.is_open = self._is_bare = False


class Payloads:
    """Bytes → JSON texts."""

    __slots__ = ("_array", "_events", "_head")

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._events = Events()
        self._array: ArraySplitter | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The texts that `data` completes. Raises `ProtocolError` for what is no stream of this API."""
        head = self._head
        if head is not None:
            head += data
            start = head.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANK)
            if not start or b"\xef\xbb\xbf".startswith(head):
                self._head = head
                return []
            self._head, data = None, start
            if start.startswith(b"["):
                self._array = ArraySplitter()
        if self._array is not None:
            return self._objects(self._array.feed(data))
        events = self._events
        if not events.is_open:
            found = _plain(data)
            if found is not None:
                return found
        whole = events.feed(data)
        texts = texts_of(whole) if whole else []
        bare = events.bare()
        if bare is not None:
            events.drop()
            texts.append(bare)
        return texts

    def _objects(self, texts: list[bytes]) -> list[bytes]:
        for text in texts:
            if not text.startswith(b"{") and text.strip(_BETWEEN):
                raise ProtocolError(f"the stream array holds {text[:40]!r}", kind=ErrorKind.PROTOCOL)
        return [text for text in texts if text.startswith(b"{")]

    def close(self) -> list[bytes]:
        """What the last frame says although nothing closed it."""
        rest = self._head or self._events.pending
        return [] if self._array is not None or not rest.strip(_BLANK) else texts_of(rest)


def _plain(data: bytes) -> list[bytes] | None:
    """The texts of a read that is nothing but whole one-line frames, as nearly every read is; else None."""
    end = _ENDS[0] if data.endswith(_ENDS[0]) else _ENDS[1]
    if not data.startswith(b"data: ") or not data.endswith(end):
        return None
    found: list[bytes] = []
    for block in data[: -len(end)].split(end):
        if not block.startswith(b"data: ") or _LF in block or _CR in block:
            return None
        found.append(block[6:])
    return found


def texts_of(whole: bytes) -> list[bytes]:
    """The JSON texts of whole frames."""
    if _CR in whole:
        whole = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[bytes] = []
    for block in whole.split(b"\n\n"):
        if block.startswith(b"data: ") and _LF not in block:
            found.append(block[6:])
        elif block:
            found += _odd(block)
    return found


def _odd(block: bytes) -> list[bytes]:
    """A frame of several lines: data in pieces, comments, or bare JSON."""
    data: list[bytes] = []
    bare: list[bytes] = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line.startswith(_FIELDS):
            bare.append(line)
    texts = [b"\n".join(data)] if data else []
    rest = b"\n".join(bare).strip(_BLANK)
    return [*texts, rest] if rest.startswith((b"{", b"[")) else texts


class ArraySplitter:
    """An array in pieces → its objects and what separates them; joined again they are the input."""

    __slots__ = ("_depth", "_in_string", "_pieces", "_size", "_skip")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._depth = 0
        self._in_string = False
        self._skip = -1
        """Where the character behind a backslash stands in the next bytes."""

    def feed(self, data: bytes) -> list[bytes]:
        """The whole objects and separators so far. Raises `ProtocolError` on an object without end."""
        found: list[bytes] = []
        start = 0
        for match in _MARK.finditer(data):
            at = match.start()
            if at == self._skip:
                continue
            mark = data[at]
            if mark == _QUOTE:
                self._in_string = not self._in_string
            elif mark == _ESCAPE:
                self._skip = at + 1
            elif not self._in_string:
                cut = self._brace(mark, at)
                if cut > start:
                    found.append(self._ended(data[start:cut]))
                    start = cut
        self._skip -= len(data)
        rest = data[start:]
        if rest and self._depth == 0 and not self._in_string:
            found.append(rest)
        elif rest:
            self._pieces.append(rest)
            self._size += len(rest)
            if self._size > MAX_FRAME:
                raise ProtocolError("the provider sent a stream object that does not end", kind=ErrorKind.PROTOCOL)
        return found

    def _ended(self, piece: bytes) -> bytes:
        whole = b"".join([*self._pieces, piece])
        self._pieces.clear()
        self._size = 0
        return whole

    def _brace(self, mark: int, at: int) -> int:
        """Where a text ends because an object of the array begins or ends here; 0 where none does."""
        if mark == _OPEN:
            self._depth += 1
            return at if self._depth == 1 else 0
        self._depth -= 1
        return at + 1 if self._depth == 0 else 0
