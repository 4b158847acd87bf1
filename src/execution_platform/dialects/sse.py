"""Server-sent events, both directions (WHATWG HTML, section 9.2, as of 2026-11).

The decoder takes bytes split anywhere and gives whole frames; a frame that has not ended when the
upstream closes is dropped, as the specification says, and `pending` tells that there was one. The
encoder writes JSON only, so no data can forge a frame.
"""

import re
from typing import NamedTuple

from execution_platform.exceptions import ErrorKind, ProtocolError

MAX_FRAME = 16 * 1024 * 1024
"""An upstream that sends more without ending a frame is broken or hostile."""


_CR, _LF = b"\r\n"
"""As numbers: looking for a byte by its number costs a tenth of looking for a piece of one byte."""


class Frame(NamedTuple):
    """One event: its name (None when the wire gave none) and its data, lines joined by LF."""

    event: str | None
    data: bytes


def count_pieces(shown: bytes) -> int:
    """How many pieces of an answer are in some whole frames, or in what is no stream of events."""
    return shown.count(b"data: ") or 1


class FrameSplitter:
    """Splits a byte stream after blank lines, whatever the line ends are, and keeps the tail.

    The tail is a list of pieces, joined once its end has come, so that a long frame in many reads costs
    time in proportion to its length.
    """

    __slots__ = ("_pieces", "_size", "max_frame")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self.max_frame = max_frame

    @property
    def pending(self) -> bytes:
        """Bytes of a frame that has not ended."""
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> bytes:
        """The bytes up to and including the last frame end seen so far. Raises `ProtocolError` on an endless frame."""
        if self._pieces:
            # An end is at most four bytes long, so it lies in the new data or across the seam.
            seam = b"".join(self._pieces[-3:])[-3:]
            if not _last_end(seam + data):
                return self._keep(data, b"")
            data = b"".join([*self._pieces, data])
            self._pieces.clear()
            self._size = 0
        end = _last_end(data)
        if end == len(data):
            return data
        return self._keep(data[end:], data[:end])

    def _keep(self, tail: bytes, whole: bytes) -> bytes:
        if tail:
            self._pieces.append(tail)
            self._size += len(tail)
        if self._size > self.max_frame:
            raise ProtocolError(
                f"the provider sent {self._size} bytes without ending a stream frame", kind=ErrorKind.PROTOCOL
            )
        return whole


def _last_end(data: bytes) -> int:
    """Where the last frame of `data` ends, 0 if none does."""
    at = data.rfind(b"\n\n")
    end = at + 2 if at >= 0 else 0
    return max(end, _last_cr_end(data)) if _CR in data else end


def _last_cr_end(data: bytes) -> int:
    """Where the last frame ends that is closed by a blank line written with CR or CRLF, else 0.

    A CR at the very end may be half of a CRLF, so it does not end a frame yet.
    """
    body = data[:-1] if data.endswith(b"\r") else data
    ends = [body.rfind(mark) + len(mark) for mark in (b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\n\r") if mark in body]
    return max(ends, default=0)


class SseDecoder:
    """Bytes → frames. Comments and unknown fields are skipped, a BOM at the start is removed."""

    __slots__ = ("_splitter", "_started")

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._splitter = FrameSplitter(max_frame)
        self._started = False

    @property
    def pending(self) -> bytes:
        """Bytes of a frame that has not ended."""
        return self._splitter.pending

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        whole = self._splitter.feed(data)
        if not whole:
            return []
        if not self._started:
            self._started = True
            whole = whole.removeprefix(b"\xef\xbb\xbf")
        if _CR in whole:
            whole = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return [frame for block in whole.split(b"\n\n") if block and (frame := _frame(block)) is not None]


_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n){2}")


def split_frames(whole: bytes) -> list[bytes]:
    """Whole frames one by one, each with its blank line; their concatenation is `whole`."""
    if _CR not in whole and b"\n\n\n" not in whole:
        blocks = whole.split(b"\n\n")
        last = blocks.pop()
        frames = [block + b"\n\n" for block in blocks]
        return [*frames, last] if last else frames
    ends = [found.end() for found in _BLANK_LINE.finditer(whole)]
    if not ends or ends[-1] != len(whole):
        ends.append(len(whole))
    return [whole[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def read_frame(block: bytes) -> Frame | None:
    """One element of `split_frames` as a frame; None when it holds no data."""
    if block.startswith(b"data: ") and _CR not in block:
        data = block[6:].rstrip(b"\n")
        if _LF not in data:
            return Frame(None, data)
    plain = block.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return _frame(plain.rstrip(b"\n"))


def _frame(block: bytes) -> Frame | None:
    """One block between blank lines as a frame; None when it holds no data."""
    if block.startswith(b"data: ") and _LF not in block:
        return Frame(None, block[6:])
    if block.startswith(b"event: "):
        # As every frame with a name is written, nearly.
        name, found, payload = block[7:].partition(b"\ndata: ")
        if found and _LF not in payload and _LF not in name:
            return Frame(name.decode("utf-8", "replace"), payload)
    event: str | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return Frame(event, b"\n".join(data)) if data else None


class Seams:
    """What whole frames look like at their seams when the data of each is a JSON object on one line.

    JSON has no line breaks, so `data:` after one is always a new line of the stream: as many of those as there are seams mean that
    every frame begins and ends as it should. Two searches tell, and nothing is decoded; what is wrong within an object
    that begins and ends well is not seen. A frame of another shape is not wrong yet, it has to be looked at.
    """

    __slots__ = ("_end", "_head", "_lines", "_seam")

    def __init__(self, head: bytes = b'data: {"', end: bytes = b"\n\n") -> None:
        self._head = head
        self._end = b"}" + end
        self._seam = self._end + head
        self._lines = head.count(b"\ndata:")

    def frames(self, whole: bytes) -> int:
        """How many frames `whole` is; 0 when one of them has another shape."""
        if not whole.startswith(self._head) or not whole.endswith(self._end):
            return 0
        further = whole.count(b"\ndata:") - self._lines
        # Most reads are one frame, which has no seam.
        return further + 1 if not further or whole.count(self._seam) == further else 0


def data_frame(payload: bytes) -> bytes:
    """`payload` (JSON, so without line breaks) as a frame without a name."""
    return b"data: " + payload + b"\n\n"


def event_frame(event: str, payload: bytes) -> bytes:
    """`payload` (JSON, so without line breaks) as a named frame. Names are ours, never data."""
    return b"event: " + event.encode() + b"\ndata: " + payload + b"\n\n"


HEARTBEAT = b": keep-alive\n\n"
"""A comment: every SSE reader skips it."""


def comment(text: str) -> bytes:
    """A comment, which clients ignore. Nothing in `text` can end it early."""
    return b": " + " ".join(text.split()).encode() + b"\n\n"
