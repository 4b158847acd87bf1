"""Corners of streams that the corpus does not tell."""

import json

import pytest

from execution_platform.dialects.base import Upstream
from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.dialects.openai_chat.think import ThinkSplitter
from execution_platform.exceptions import ProtocolError
from execution_platform.spi import Origin, TextPart, ThinkingPart, accumulate
from execution_platform.spi.events import (
    Failed,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    Started,
    UsageReported,
)

ORIGIN = Origin(dialect="openai_chat", provider="p", model="m")


def frame(delta=None, finish=None, **members):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice], **members}).encode() + b"\n\n"


def events(*frames, **facts):
    decoder = DIALECT.stream_decoder(Upstream(ORIGIN, **facts))
    return [*[event for each in frames for event in decoder.feed(each)], *decoder.close()]


def parts(*frames, **facts):
    return accumulate(events(*frames, **facts)).message.parts


def test_text_comes_as_it_is_read_and_the_end_waits_for_usage():
    decoder = DIALECT.stream_decoder(Upstream(ORIGIN))
    assert [type(each) for each in decoder.feed(frame({"role": "assistant", "content": ""}))] == [Started]
    assert [type(each) for each in decoder.feed(frame({"content": "x"}))] == [PartStarted, PartDelta]
    assert decoder.feed(frame({}, "stop")) == []
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    assert decoder.feed(usage) == []
    assert [type(each) for each in decoder.feed(b"data: [DONE]\n\n")] == [PartFinished, UsageReported, Finished]
    assert decoder.close() == []
    assert decoder.feed(frame({"content": "late"})) == []


def test_wire_names_of_tools_become_the_declared_ones():
    call = {"index": 0, "id": "c1", "function": {"name": "a_b", "arguments": "{}"}}
    told = parts(frame({"tool_calls": [call]}), frame({}, "stop"), tool_names={"a_b": "a.b"})
    assert told[0].name == "a.b"


def test_ids_that_are_missing_are_the_same_each_time_and_differ_between_answers():
    call = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}
    first, again = parts(frame(call), frame({}, "stop")), parts(frame(call), frame({}, "stop"))
    other = parts(frame(call, id="other"), frame({}, "stop"))
    assert first[0].call_id == again[0].call_id != other[0].call_id
    assert first[0].synthetic_id


THINK = ["<th", "ink>\n", "\nhm ", "so</", "think", ">\n\n", "y </think>"]


@pytest.mark.parametrize("setting", [True, "tags"])
def test_tags_are_parsed_where_the_target_says_so(setting):
    frames = [frame({"content": piece}) for piece in THINK]
    told = parts(*frames, frame({}, "stop"), extra={"think_tags": setting})
    assert told == (ThinkingPart("hm so"), TextPart("y </think>"))
    whole = {"choices": [{"message": {"content": "".join(THINK)}, "finish_reason": "stop"}]}
    response = DIALECT.decode_response(json.dumps(whole).encode(), Upstream(ORIGIN, extra={"think_tags": setting}))
    assert response.message.parts == told


def test_an_answer_may_begin_inside_the_tag():
    frames = [frame({"content": piece}) for piece in ("hm", " so</thi", "nk>y")]
    told = parts(*frames, frame({}, "stop"), extra={"think_tags": "open"})
    assert told == (ThinkingPart("hm so"), TextPart("y"))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("plain", [(False, "plain")]),
        ("<thin", [(False, "<thin")]),
        ("<think>never closed</th", [(True, "never closed"), (True, "</th")]),
        ("  <think>a</think>b", [(True, "a"), (False, "b")]),
        ("a <think>b</think>", [(False, "a <think>b</think>")]),
        ("<think></think>b", [(False, "b")]),
        ("", []),
    ],
)
def test_the_splitter_looks_only_at_the_head(text, pieces):
    splitter = ThinkSplitter("tags")
    assert splitter.feed(text) + splitter.close() == pieces


def test_members_nobody_knows_come_with_the_start_or_when_they_change():
    told = events(
        frame({"role": "assistant"}, provider="A"),
        frame({"content": "x"}, provider="A"),
        frame({"content": "y"}, provider="B"),
        frame({}, "stop", provider="B", citations=["u"]),
    )
    assert told[0].extra == {"provider": "A"}
    assert [event.payload for event in told if isinstance(event, Raw)] == [{"provider": "B"}, {"citations": ["u"]}]


def test_leftovers_of_deltas_and_choices_are_gathered():
    choice = {"index": 0, "delta": {"content": "x", "ids": [1], "note": "a"}, "token_ids": [1], "hint": "a"}
    more = {"index": 0, "delta": {"ids": [2], "note": "b"}, "token_ids": [2], "hint": "b", "finish_reason": "stop"}
    told = accumulate(
        events(*[b"data: " + json.dumps({"choices": [each]}).encode() + b"\n\n" for each in (choice, more)])
    )
    assert told.outputs[0].extra == {"token_ids": [1, 2], "hint": "b", "message": {"ids": [1, 2], "note": "ab"}}


def test_a_failure_ends_the_stream():
    told = events(frame({"content": "x"}), b'data: {"error":{"message":"m"}}\n\n', frame({"content": "y"}))
    assert isinstance(told[-1], Failed)
    assert told[-1].error.message == "m"


@pytest.mark.parametrize(
    "data", [b"data: []\n\n", b"data: 5\n\n", b"data: {\n\n", b'data: {"choices":[{"delta":{"images":[5]}}]}\n\n']
)
def test_frames_that_are_not_chunks_are_the_providers_fault(data):
    decoder = DIALECT.stream_decoder(Upstream(ORIGIN))
    with pytest.raises(ProtocolError, match="not chat completion chunks"):
        decoder.feed(data)


def test_odd_shapes_inside_a_chunk_say_nothing():
    odd = b'data: {"choices":[5,{"index":"x","delta":[],"logprobs":5,"finish_reason":7},{"index":[1],"delta":{"content":5,"tool_calls":[5,{"index":[]}],"audio":5,"annotations":5}}]}\n\n'
    told = accumulate(events(odd, frame({"content": "x"}), frame({}, "stop")))
    assert told.text == "x"


def test_audio_has_the_media_type_the_target_names():
    told = parts(frame({"audio": {"id": "a", "data": "AA"}}), frame({}, "stop"), extra={"audio_mime": "audio/mpeg"})
    assert told[0].source.mime == "audio/mpeg"


def test_thinking_told_as_a_string_and_again_in_details_is_one_part():
    details = [{"type": "reasoning.text", "text": "hm", "signature": "S", "index": 0}]
    told = parts(
        frame({"reasoning": "hm"}), frame({"reasoning_details": details}), frame({"content": "y"}), frame({}, "stop")
    )
    assert [part.text for part in told] == ["hm", "y"]
    assert told[0].signature.value == "S"
    assert told[0].signature.origin == ORIGIN
    body = {
        "id": "c",
        "model": "m",
        "choices": [
            {"message": {"reasoning": "hm", "reasoning_details": details, "content": "y"}, "finish_reason": "stop"}
        ],
    }
    assert DIALECT.decode_response(json.dumps(body).encode(), Upstream(ORIGIN)).message.parts == told


def test_details_of_another_index_are_another_part():
    entries = [{"type": "reasoning.text", "text": text, "index": n} for n, text in enumerate(("a", "b"))]
    unknown = {"type": "reasoning.future", "x": 1}
    told = parts(*[frame({"reasoning_details": [each]}) for each in (*entries, unknown)], frame({}, "stop"))
    assert [getattr(part, "text", None) for part in told] == ["a", "b", None]
    assert told[2].raw == unknown


def test_a_server_that_sends_one_object_for_a_stream_is_read_in_any_pieces():
    body = json.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}, indent=1).encode()
    assert accumulate(events(b" ", *[bytes([byte]) for byte in body])).text == "x"
    failed = events(b'{"error":', b'{"message":"m"}}')
    assert isinstance(failed[0], Failed)
    with pytest.raises(ProtocolError):
        events(b'{"oops":1}')
