"""What can go wrong on the wire, as values for `Script(faults=...)`.

A position is counted over the events of the healthy answer: `of="events"` counts every event of the dialect (opening,
pings, terminator), `of="content"` only those that carry tokens, so that one script means the same in every dialect.
A unary answer is one event. `after=2` is the place between the second and the third.
"""

from typing import Literal

import msgspec

from execution_platform.testing.gate import Gate

Counting = Literal["events", "content"]
Ending = Literal["fin", "rst"]
"""How the socket goes away: an orderly end of the stream, or a reset."""


class Cut(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cut"):
    """Close the socket between two events, in the middle of the HTTP body."""

    after: int = 0
    of: Counting = "events"
    how: Ending = "fin"


class CutInside(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cut_inside"):
    """Close the socket inside the event that follows: `keep` bytes of it are sent, half of it when absent."""

    after: int = 0
    of: Counting = "events"
    how: Ending = "fin"
    keep: int | None = None


class CutInsideCharacter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cut_inside_character"):
    """Send all up to the middle of the first multi-byte character at or behind the position, then stop.

    `how="end"` finishes the HTTP body in order, so that only the text is broken.
    """

    after: int = 0
    of: Counting = "events"
    how: Literal["fin", "rst", "end"] = "fin"


class EndAfter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="end_after"):
    """Finish the HTTP body in order although events are missing."""

    after: int = 0
    of: Counting = "events"


class NoTerminator(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="no_terminator"):
    """Leave out what ends a stream in the dialect (`[DONE]`, `message_stop`, the chunk with the finish reason)."""


class Stall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="stall"):
    """Fall silent at a position until the gate opens, or for ever without one."""

    after: int = 0
    of: Counting = "events"
    gate: Gate | None = None


class Inject(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="inject"):
    """Put bytes between two events: a comment line, garbage, an event nobody knows. `text` is for scripts in JSON."""

    data: bytes = b""
    text: str = ""
    after: int = 0
    of: Counting = "events"


class StreamError(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="stream_error"):
    """Report an error inside the running stream in the dialect's own shape, then end the stream.

    The error is named as in `Status`. Without `then_end` the remaining events follow.
    """

    status: int = 529
    kind: str = ""
    message: str = ""
    after: int = 0
    of: Counting = "events"
    then_end: bool = True


class BrokenChunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="broken_chunk"):
    """Break the HTTP framing: a chunk size that is no number, then the end of the connection."""

    after: int = 0
    of: Counting = "events"


class NoAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="no_answer"):
    """Take the request and answer nothing: stay silent, close, or reset."""

    how: Literal["silence", "fin", "rst"] = "silence"


class CutHeaders(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cut_headers"):
    """Close the socket in the middle of the response headers."""

    how: Ending = "fin"


class Drip(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="drip"):
    """Write the body in pieces of `size` bytes, each by itself; at the gate before each piece if there is one."""

    size: int = 1
    pause: float = 0.0
    gate: Gate | None = None


class ContentType(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="content_type"):
    """Declare another content type than the body has; empty leaves the header out."""

    value: str = "text/html"


class Sse(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sse"):
    """Write the same events in another legal form of server-sent events.

    `space=False` writes `data:x`, `multiline` splits each JSON text over two data lines, `bom` starts with a byte
    order mark, `retry` adds a `retry:` line, `event_id` an `id:` line.
    """

    newline: Literal["\n", "\r\n", "\r"] = "\n"
    space: bool = True
    multiline: bool = False
    bom: bool = False
    retry: bool = False
    event_id: bool = False


Fault = (
    Cut
    | CutInside
    | CutInsideCharacter
    | EndAfter
    | NoTerminator
    | Stall
    | Inject
    | StreamError
    | BrokenChunk
    | NoAnswer
    | CutHeaders
    | Drip
    | ContentType
    | Sse
)
