import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.dialects.base import Peek
from execution_platform.dialects.openai_chat.relay import StreamRelay
from execution_platform.dialects.shape import Shape, count_frames, end_of_texts
from execution_platform.dialects.shape import shape_of as shape_by
from execution_platform.dialects.sse import count_pieces

DONE = b"data: [DONE]\n\n"
TEXT = re.compile(rb'data:[^\n]*?"delta"\s*:\s*\{\s*"content"\s*:\s*"([^"\\]*)"')


def shape_of(frame: bytes) -> Shape | None:
    return shape_by(frame, TEXT)


def frame(text: str, *, finish: str | None = None, spaced: bool = False, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}
    separators = (", ", ": ") if spaced else (",", ":")
    return b"data: " + json.dumps(chunk, separators=separators).encode() + b"\n\n"


def usage_frame(tokens: int) -> bytes:
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": 1 + tokens}
    return b"data: " + json.dumps({"id": "c", "choices": [], "usage": usage}).encode() + b"\n\n"


@pytest.mark.parametrize("spaced", [True, False])
@pytest.mark.parametrize("texts", [["a"], ["a", "", "bc"], ['say "hi"', "x"], ["1\n2", "{}[]:,"], ["é", "\\n"[1:]]])
def test_frames_of_one_shape_are_counted(texts: list[str], spaced: bool) -> None:
    shape = shape_of(frame("first", spaced=spaced))
    assert shape is not None
    assert count_frames(shape, b"".join(frame(text, spaced=spaced) for text in texts)) == len(texts)


@pytest.mark.parametrize(
    "other",
    [
        frame("x", finish="stop"),
        frame("x", usage={"prompt_tokens": 1}),
        frame("x", error={"message": "m"}),
        frame('x", "usage": {"a": "'.replace('"', "'"), finish="length"),
        usage_frame(3),
        DONE,
        b"event: error\ndata: {}\n\n",
        b": beat\n\n",
        b'data: {"error":{"message":"no"}}\n\n',
        b"data: 1\n\n",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_anything_else_among_them_is_seen(other: bytes, place: int) -> None:
    shape = shape_of(frame("first"))
    assert shape is not None
    frames = [frame("a"), frame("b")]
    frames.insert(place, other)
    assert count_frames(shape, b"".join(frames)) == 0


def test_texts_that_end_in_a_backslash_hide_nothing() -> None:
    shape = shape_of(frame("first"))
    assert shape is not None
    # Six quotes too many here, and six that only seem to be escaped there.
    more = frame("a").replace(b'"a"', b'"a","tool_calls":[1],"z":"b"')
    assert count_frames(shape, frame("x\\") * 6 + more) == 0


def test_the_texts_at_the_begin_end_where_something_else_begins() -> None:
    shape = shape_of(frame("first"))
    assert shape is not None
    texts = frame("a") + frame("b") + frame("c")
    rest = frame("", finish="stop") + DONE
    assert end_of_texts(shape, DONE + texts + rest, len(DONE)) == len(DONE + texts)
    assert end_of_texts(shape, DONE + texts, len(DONE)) == len(DONE + texts)
    assert end_of_texts(shape, rest, 0) == 0
    assert end_of_texts(shape, rest + texts, 0) == 0


@pytest.mark.parametrize("text", [b"a\n\ndata: [DONE]\n\n", b"a\nb"])
def test_a_text_with_a_line_break_is_no_text(text: bytes) -> None:
    shape = shape_of(frame("first"))
    assert shape is not None
    assert count_frames(shape, frame("x").replace(b"x", text)) == 0


def test_half_a_frame_is_none() -> None:
    shape = Shape(b'data: {"', b'"}', b'"}data: {"', 2)
    assert count_frames(shape, b'data: {"}') == 0


@pytest.mark.parametrize("head", [b"event: x\n", b": c\n"])
def test_a_frame_with_more_than_data_has_no_shape(head: bytes) -> None:
    assert shape_of(head + frame("x")) is None
    assert shape_of(frame("x") + frame("y")) is None
    assert shape_of(b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n') is None


_TEXTS = st.text(alphabet='ab"\\\n{}:, é', max_size=6)
_FRAMES = st.one_of(
    _TEXTS.map(frame),
    _TEXTS.map(frame),
    _TEXTS.map(lambda text: frame(text, finish="stop")),
    _TEXTS.map(lambda text: frame(text, usage={"prompt_tokens": len(text), "completion_tokens": 9})),
    st.integers(1, 99).map(usage_frame),
    st.just(b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x"}]},"finish_reason":null}]}\n\n'),
    st.just(b'data: {"error":{"message":"no"}}\n\n'),
)


@given(frames=st.lists(_FRAMES, min_size=1, max_size=12), size=st.integers(1, 6))
def test_the_books_are_the_same_whether_frames_come_together_or_alone(frames: list[bytes], size: int) -> None:
    together, alone = StreamRelay(Peek("m", stream=True)), StreamRelay(Peek("m", stream=True))
    frames = [frame("first"), *frames, DONE]
    for start in range(0, len(frames), size):
        read = b"".join(frames[start : start + size])
        shown = together.feed(read)
        if shown:
            assert together.pieces(shown) == count_pieces(shown)
    for each in frames:
        alone.feed(each)
    together.close()
    alone.close()
    assert str(together.metered.error) == str(alone.metered.error)
    assert replace(together.metered, error=None) == replace(alone.metered, error=None)
