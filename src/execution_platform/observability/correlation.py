"""Request ids and W3C trace context (Trace Context level 1, 2021-11).

A caller's `x-request-id` is taken when it is printable and short, else one is made. The `traceparent`
sent upstream has the caller's trace id and our own span id, so that our span is the parent there.
"""

import os
import re
import time
from typing import NamedTuple

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}\Z")
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")


class _Random:
    """Random bytes of the system, fetched for many ids at once: a call for each costs as much as the rest of it."""

    __slots__ = ("_bytes", "_used")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Use nothing of what was fetched: a forked process must not make the ids of the other."""
        self._bytes = b""
        self._used = 0

    def hex(self, size: int) -> str:
        """`size` new bytes as hexadecimal digits."""
        start, end = self._used, self._used + size
        if end > len(self._bytes):
            self._bytes = os.urandom(_FETCHED)
            start, end = 0, size
        self._used = end
        return self._bytes[start:end].hex()


_FETCHED = 4096
_random = _Random()
os.register_at_fork(after_in_child=_random.forget)


class Trace(NamedTuple):
    """Where this request stands in a distributed trace."""

    trace_id: str
    span_id: str
    parent_id: str | None
    flags: str

    @property
    def header(self) -> str:
        """`traceparent` for the upstream."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def request_id(given: bytes | None) -> str:
    """The caller's id if it is harmless, else a new one.

    Ours begin with the moment they were made in, to 66 microseconds: an index over ids that come in order is written at
    its end, and not at one random page for every request. The other 48 bits are random.
    """
    if given is not None and _REQUEST_ID.match(given):
        return given.decode("ascii")
    return f"req_{time.time_ns() >> 16:012x}{_random.hex(6)}"


def trace(given: bytes | None) -> Trace | None:
    """The trace of a valid `traceparent`; None when the caller sent none."""
    if given is None:
        return None
    match = _TRACEPARENT.match(given)
    if match is None or match[1] == b"0" * 32 or match[2] == b"0" * 16:
        return None
    return Trace(match[1].decode(), _random.hex(8), match[2].decode(), match[3].decode())
