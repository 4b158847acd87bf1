"""The shape that all the text frames of one stream share, so that a read of them is told apart from others at a glance.

A server writes every piece of text into the same frame: only the text between its quotes differs. Once one such frame was read as
JSON, bytes that are that frame again and again with other texts in between say nothing new. Most reads are one frame, whose text has
no quote. More are told by two counts: of the joints, where the end of one frame meets the beginning of the next, and of quotes,
of which none may be left beside those of the joints. What is no such frame (an end, usage, an error, a call, another event) has quotes
or lacks a joint. A quote within a text is written with a backslash; where texts hold such quotes, they are counted too, unless
backslashes stand for themselves.
"""

import re
from typing import NamedTuple

_END = b"\n\n"
_QUOTE, _LINE_END = b'"\n'
"""As numbers: looking for a byte by its number costs a tenth of looking for a piece of one byte."""


class Shape(NamedTuple):
    """What surrounds the text of each frame."""

    head: bytes
    tail: bytes
    joint: bytes
    quotes: int
    """How many quotes a joint has."""


def shape_of(frame: bytes, text: re.Pattern[bytes]) -> Shape | None:
    """The shape of a frame that has text and nothing else for the reader; None where its text cannot be told apart.

    `text` matches such a frame from its begin on; its group is the text.
    """
    found = text.match(frame)
    if found is None or frame.find(_END) != len(frame) - len(_END):
        return None
    head, tail = frame[: found.start(1)], frame[found.end(1) :]
    joint = tail + head
    return Shape(head, tail, joint, joint.count(b'"'))


def count_frames(shape: Shape, data: bytes) -> int:
    """Of how many frames of this shape `data` consists; 0 if there is anything else in it."""
    head, tail, joint, quotes = shape
    begin = len(head)
    if not data.startswith(head) or not data.endswith(tail, begin):
        return 0
    between = data[begin : -len(tail)]
    if _QUOTE not in between:
        return 0 if _LINE_END in between else 1
    joints = between.count(joint)
    extra = between.count(b'"') - joints * quotes
    if extra and (extra < 0 or b"\\\\" in between or between.count(b'\\"') != extra):
        return 0
    return joints + 1


def end_of_texts(shape: Shape, data: bytes, start: int) -> int:
    """Where the frames of this shape end that `data` has from `start` on; `start` if it has anything else among them."""
    last = data.rfind(shape.joint, start)
    if last < 0:
        return start
    end = last + len(shape.tail)
    following = data.find(_END, last + len(shape.joint)) + len(_END)
    if data.endswith(shape.tail, end, following):
        end = following
    return end if count_frames(shape, data[start:end]) else start
