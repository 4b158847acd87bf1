"""The shape that all the text frames of one stream share, so that a read of them is told apart from others at a glance.

A server writes every piece of text into the same frame: only the text between its quotes differs. Once one such frame was read as
JSON, bytes that are that frame again and again with other texts in between say nothing new. They are told by two counts: of
the joints, where the end of one frame meets the beginning of the next, and of quotes, of which none may be left beside those of the
frames. What is no such frame (an end, usage, an error, a call, a named event) has quotes or lacks a joint. A quote within a text is
written with a backslash; where texts hold such quotes, they are counted too, unless backslashes stand for themselves.
"""

import re
from typing import NamedTuple

_TEXT = re.compile(rb'"delta"\s*:\s*\{\s*"content"\s*:\s*"([^"\\]*)"')
_END = b"\n\n"


class Shape(NamedTuple):
    """What surrounds the text of each frame."""

    head: bytes
    tail: bytes
    joint: bytes
    quotes: int
    """How many quotes a frame has besides those of its text."""


def shape_of(frame: bytes) -> Shape | None:
    """The shape of a frame that has text and nothing else for the reader; None where its text cannot be told apart."""
    found = _TEXT.search(frame)
    if found is None or not frame.startswith(b"data:") or frame.find(_END) != len(frame) - len(_END):
        return None
    head, tail = frame[: found.start(1)], frame[found.end(1) :]
    return Shape(head, tail, tail + head, head.count(b'"') + tail.count(b'"'))


def count_frames(shape: Shape, data: bytes) -> int:
    """Of how many frames of this shape `data` consists; 0 if there is anything else in it."""
    if not data.startswith(shape.head) or not data.endswith(shape.tail):
        return 0
    frames = data.count(shape.joint) + 1
    extra = data.count(b'"') - frames * shape.quotes
    if extra and (extra < 0 or b"\\\\" in data or data.count(b'\\"') != extra):
        return 0
    return frames
