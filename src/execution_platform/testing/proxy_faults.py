"""What a `FaultProxy` does to one answer, as values, and where in the answer's bytes it does it.

The proxy understands no dialect. It sees the head of an HTTP/1.1 answer, chunks, and the blank lines by which
server-sent events are told apart, which is enough to stand in front of anything that speaks HTTP.

A place is `after_bytes` (of the answer, head included) or `after_events`; 0 is the place before the first byte.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

Goes = Literal["fin", "rst", "silence"]
"""An orderly end of the connection, a reset, or nothing more on a connection that stays open."""


class Delay(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="delay"):
    """Wait: before the request is passed on, or before the first byte of the answer."""

    seconds: float
    before: Literal["request", "head"] = "head"


class Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="stop"):
    """Pass the answer on up to a place and no further. `swallow`: the upstream never gets the request."""

    after_bytes: int | None = None
    after_events: int | None = None
    goes: Goes = "fin"
    swallow: bool = False


class HalfCharacter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="half_character"):
    """Stop after the first byte of the first character that has more than one."""

    goes: Goes = "fin"


class Garbage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="garbage"):
    """Put bytes into the answer. `framed` makes them a chunk of their own; otherwise they break the framing."""

    data: bytes = b"\x00\xff\xfe garbage \r\n"
    after_bytes: int | None = None
    after_events: int | None = None
    framed: bool = False


class NeverEnding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="never_ending"):
    """From a place on send the same piece for ever, as chunks, in place of the answer's rest."""

    data: bytes = b": and on\n\n"
    after_events: int | None = None
    after_bytes: int | None = None
    pause: float = 0.01


class Throttle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="throttle"):
    """Let through so many bytes a second: of the head alone, or of the whole answer."""

    bytes_per_second: int
    only_head: bool = False


ProxyFault = Delay | Stop | HalfCharacter | Garbage | NeverEnding | Throttle
Placed = Stop | HalfCharacter | Garbage | NeverEnding
"""Faults that have a place in the bytes."""

_ENDS: Final = re.compile(rb"(?:\n\n|\r\n\r\n)")
_ENDS_OF_CHUNKS: Final = re.compile(rb"(?:\n\n|\r\n\r\n)\r\n")


@dataclass(slots=True)
class Cutter:
    """Finds the place of one fault while the answer passes."""

    fault: Placed
    seen: int = 0
    events: int = 0
    chunked: bool = False
    _tail: bytes = b""
    _head: bytes = b""
    _in_body: bool = False

    def find(self, data: bytes) -> int | None:
        """How much of `data` lies before the place; None when all of it does."""
        if not self.chunked and len(self._head) < 65_536 and b"\r\n\r\n" not in self._head:
            self._head += data
            self.chunked = b"transfer-encoding: chunked" in self._head.lower()
        found = self._offset(data)
        self.seen += len(data)
        self._tail = (self._tail + data)[-5:]
        return found

    def _offset(self, data: bytes) -> int | None:
        fault = self.fault
        if isinstance(fault, HalfCharacter):
            return next((index + 1 for index, byte in enumerate(data) if byte >= 0xC2), None)
        if fault.after_events is not None:
            return self._after_events(data, fault.after_events)
        wanted = (fault.after_bytes or 0) - self.seen
        return max(wanted, 0) if wanted <= len(data) else None

    def _after_events(self, data: bytes, wanted: int) -> int | None:
        if wanted == 0:
            return self._body_begins(data)
        # What is put between events must wait for the end of the chunk as well.
        ends = _ENDS_OF_CHUNKS if self.chunked and not isinstance(self.fault, Stop) else _ENDS
        joined = self._tail + data
        for found in ends.finditer(joined, self._body_at(joined)):
            if found.end() > len(self._tail):
                self.events += 1
                if self.events == wanted:
                    return found.end() - len(self._tail)
        return None

    def _body_at(self, joined: bytes) -> int:
        """Where in `joined` events may be: behind the head, whose own end is a blank line too."""
        if self._in_body:
            return 0
        at = joined.find(b"\r\n\r\n")
        self._in_body = at >= 0
        return at + 4 if at >= 0 else len(joined)

    def _body_begins(self, data: bytes) -> int | None:
        joined = self._tail + data
        at = joined.find(b"\r\n\r\n")
        return None if at < 0 else max(at + 4 - len(self._tail), 0)


def framed(data: bytes) -> bytes:
    """`data` as one chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(data), data)
