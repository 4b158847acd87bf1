"""Server-sent events against a plain reading of the specification, in any pieces."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution_platform.dialects.sse import (
    HEARTBEAT,
    Frame,
    FrameSplitter,
    Seams,
    SseDecoder,
    data_frame,
    event_frame,
    read_frame,
    split_frames,
)
from execution_platform.exceptions import ErrorKind, ProtocolError

line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
lines = st.one_of(
    st.sampled_from(
        [b"data: x", b"data:x", b"data", b"data:", b"event: e", b": c", b"id: 1", b"retry: 5", b"odd", b"", b""]
    ),
    st.binary(max_size=6).map(lambda raw: b"data: " + raw.replace(b"\n", b"").replace(b"\r", b"")),
)
streams = st.lists(st.tuples(lines, line_ends).map(b"".join), max_size=14).map(b"".join)


def reference(stream: bytes) -> list[Frame]:
    """WHATWG HTML section 9.2.6, line by line; the last line end may be half of a CRLF and is not trusted."""
    frames: list[Frame] = []
    event, data = None, []
    found = list(re.finditer(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf")))
    at = 0
    for end in found:
        line = stream.removeprefix(b"\xef\xbb\xbf")[at : end.start()]
        at = end.end()
        if not line:
            if data:
                frames.append(Frame(event, b"\n".join(data)))
            event, data = None, []
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return frames


def decode(stream: bytes, cuts=()) -> list[Frame]:
    decoder = SseDecoder()
    places = [0, *sorted(cuts), len(stream)]
    return [frame for begin, end in itertools.pairwise(places) for frame in decoder.feed(stream[begin:end])]


@given(streams, st.booleans())
@settings(max_examples=400)
def test_frames_are_those_of_the_specification(stream, has_mark):
    data = (b"\xef\xbb\xbf" if has_mark else b"") + stream + b"\n\ndata: end\n\n"
    assert decode(data) == reference(data)


@given(streams, st.data())
@settings(max_examples=400)
def test_where_the_bytes_are_split_never_shows(stream, data):
    stream += b"\n\ndata: end\n\n"
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    assert decode(stream, cuts) == reference(stream)


@given(streams, st.data())
def test_whole_frames_and_what_is_pending_are_all_the_bytes(stream, data):
    splitter = FrameSplitter()
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6))), len(stream)]
    out = b"".join(splitter.feed(stream[begin:end]) for begin, end in itertools.pairwise(cuts))
    assert out + splitter.pending == stream


@given(streams)
def test_frames_one_by_one_are_all_the_bytes(stream):
    stream += b"\n\n"
    blocks = split_frames(stream)
    assert b"".join(blocks) == stream
    told = [frame for block in blocks if (frame := read_frame(block)) is not None]
    assert told == reference(stream)


def test_a_frame_that_has_not_ended_is_pending():
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n\ndata: b\n") == [Frame(None, b"a")]
    assert decoder.pending == b"data: b\n"
    assert decoder.feed(b"\n") == [Frame(None, b"b")]
    assert decoder.pending == b""


def test_a_carriage_return_at_the_very_end_may_be_half_of_a_line_end():
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n\r") == []
    assert decoder.feed(b"\ndata: b\r\n\r\n") == [Frame(None, b"a"), Frame(None, b"b")]


@pytest.mark.parametrize("size", [7, 1000])
def test_a_frame_without_an_end_is_refused(size):
    """P6: a line of a stream has a greatest length."""
    decoder = SseDecoder(max_frame=100)
    with pytest.raises(ProtocolError) as raised:
        for _ in range(0, 2000, size):
            decoder.feed(b"x" * size)
    assert raised.value.kind is ErrorKind.PROTOCOL


def test_the_limit_is_for_one_frame_not_for_the_stream():
    decoder = SseDecoder(max_frame=20)
    assert sum(len(decoder.feed(b"data: 0123456789\n\n")) for _ in range(100)) == 100


def test_frames_are_written_as_they_are_read():
    assert decode(data_frame(b'{"a":1}') + HEARTBEAT + event_frame("e", b"{}")) == [
        Frame(None, b'{"a":1}'),
        Frame("e", b"{}"),
    ]


def test_a_name_that_is_no_utf8_does_not_break_the_reader():
    assert decode(b"event: \xff\ndata: x\n\n") == [Frame("\ufffd", b"x")]


def holds_object(block: bytes) -> bool:
    """Whether a frame's data begins and ends as an object does; a frame without data is nothing."""
    frame = read_frame(block)
    return frame is None or not frame.data or (frame.data.startswith(b'{"') and frame.data.endswith(b"}"))


well_shaped = st.sampled_from([b'data: {"a":1}\n\n', b'data: {"a":"data: {\\n"}\n\n'])
ill_shaped = st.sampled_from(
    [
        b"data: {broken\n\n",
        b"data:x\n\n",
        b": c\n\n",
        b'event: e\ndata: {"a":1}\n\n',
        b'data: {"a":1}\r\n\r\n',
        b"data: 1}\n\n",
    ]
)


@given(st.lists(st.one_of(well_shaped, ill_shaped), max_size=6))
def test_frames_whose_seams_fit_hold_nothing_but_objects(blocks):
    whole = b"".join(blocks)
    frames = Seams().frames(whole)
    assert not frames or (frames == len(blocks) and all(map(holds_object, split_frames(whole))))


@pytest.mark.parametrize(
    ("head", "end"), [(b'data: {"', b"\n\n"), (b'event: e\ndata: {"', b"\n\n"), (b'data: {"', b"\r\n\r\n")]
)
@pytest.mark.parametrize("count", [1, 2, 53])
def test_frames_of_one_shape_are_counted(head, end, count):
    seams = Seams(head, end)
    block = head + b'a": 1}' + end
    assert seams.frames(block * count) == count
    for junk in (head + b"x" + end, b"data: {broken}" + end, b"event: e\ndata: x" + end):
        assert seams.frames(block * count + junk + block) == 0
        assert seams.frames(junk + block * count) == 0
        assert seams.frames(block * count + junk) == 0
    assert seams.frames(b"") == 0
