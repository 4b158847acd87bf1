"""Peek, patch, relay and meter: the bytes stay the caller's and the provider's."""

import json

import pytest

from execution_platform.dialects.base import ModelEntry, Peek
from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProviderError
from execution_platform.spi import FinishReason

ASKED = Peek("m", stream=True, include_usage=True)
NOT_ASKED = Peek("m", stream=True)


def frame(delta=None, finish=None, spaced=False, **members):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    wire = {"id": "c", "model": "m-1", "choices": [choice], **members}
    return b"data: " + json.dumps(wire, separators=None if spaced else (",", ":")).encode() + b"\n\n"


USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"


def test_peek_reads_what_routing_needs():
    data = b'{"model":"a/b","stream":true,"max_tokens":5,"max_completion_tokens":7,"n":2,"tools":[{}],"stream_options":{"include_usage":true},"messages":5}'
    assert DIALECT.peek(data) == Peek("a/b", True, 7, 2, True, True)
    assert DIALECT.peek(b'{"model":null,"stream":null,"n":null,"tools":[],"functions":[{}],"max_tokens":4}') == Peek(
        None, max_tokens=4, has_tools=True
    )
    assert DIALECT.peek(b"{}") == Peek(None)


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b'{"model":5}', "model"),
        (b'{"stream":"yes"}', "stream"),
        (b'{"stream":1}', "stream"),
        (b'{"n":true}', "n"),
        (b'{"max_tokens":"9"}', "max_tokens"),
        (b'{"stream_options":[]}', "stream_options"),
        (b"[]", "body"),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_peek_names_the_member_at_fault(data, param):
    with pytest.raises(InvalidRequest) as raised:
        DIALECT.peek(data)
    assert raised.value.param == param


def patched(data: bytes, **kwargs) -> bytes:
    return DIALECT.patch(data, DIALECT.peek(data), "target", **kwargs)


def test_patch_changes_the_model_and_nothing_else():
    data = b'{ "temperature" : 1.0,\n "model": "a/b", "messages":[ {"content":"\\u00e9"} ] }'
    assert patched(data) == data.replace(b'"a/b"', b'"target"')
    assert patched(b'{"messages":[]}') == b'{"messages":[],"model":"target"}'


def test_patch_asks_for_usage_of_a_stream():
    assert (
        patched(b'{"model":"m","stream":true}')
        == b'{"model":"target","stream":true,"stream_options":{"include_usage":true}}'
    )
    given = b'{"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}'
    assert json.loads(patched(given))["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    asked = b'{"model":"m","stream":true,"stream_options":{"include_usage" : true}}'
    assert patched(asked) == asked.replace(b'"m"', b'"target"')
    null = b'{"model":"m","stream":true,"stream_options":null}'
    assert json.loads(patched(null))["stream_options"] == {"include_usage": True}
    assert b"stream_options" not in patched(b'{"model":"m","stream":true}', usage=False)
    assert b"stream_options" not in patched(b'{"model":"m","stream":false}')


def relayed(data: bytes, peek=NOT_ASKED, size=None):
    relay = DIALECT.relay(peek)
    step = size or len(data) or 1
    out = b"".join(relay.feed(data[at : at + step]) for at in range(0, len(data), step))
    return out + relay.close(), relay.metered


@pytest.mark.parametrize("size", [None, 1, 33])
@pytest.mark.parametrize("spaced", [False, True])
def test_the_added_usage_frame_is_kept_from_a_caller_who_had_not_asked(size, spaced):
    head = frame({"role": "assistant"}, spaced=spaced) + frame({"content": "x"}, spaced=spaced, usage=None)
    tail = frame({"content": "y"}, spaced=spaced, usage=None) + frame({}, "stop", spaced=spaced)
    data = head + tail + USAGE + DONE
    out, metered = relayed(data, NOT_ASKED, size)
    assert out == head + tail + DONE
    assert (metered.usage.input_tokens, metered.usage.output_tokens) == (3, 2)
    assert relayed(data, ASKED, size)[0] == data


def test_usage_beside_content_and_chunks_without_choices_stay():
    data = (
        b'data: {"id":"","choices":[],"prompt_filter_results":[]}\n\n'
        + frame({"content": "x"}, usage={"prompt_tokens": 1})
        + frame({}, "stop")
        + DONE
    )
    assert relayed(data)[0] == data


def test_the_stream_is_committed_with_the_first_content():
    relay = DIALECT.relay(NOT_ASKED)
    for data, is_committed in (
        (b": ping\n\n", False),
        (b'data: {"choices":[]}\n\n', False),
        (frame({"role": "assistant", "content": ""}), False),
        (frame({"content": "x"}), True),
    ):
        assert relay.feed(data) == data
        assert relay.metered.committed is is_committed
    assert (relay.metered.id, relay.metered.model) == ("c", "m-1")
    for delta in ({"reasoning_content": "r"}, {"tool_calls": [{}]}, {"refusal": "r"}, {"audio": {"id": "a"}}):
        assert relayed(frame(delta))[1].committed


def test_the_end_needs_a_finish_reason_for_every_choice():
    begun = frame({"content": "x"})
    assert not relayed(begun)[1].finished
    assert relayed(begun + frame({}, "length"))[1].finished
    out, metered = relayed(begun + DONE)
    assert (out, metered.finished) == (begun, False)
    second = begun.replace(b'"index":0', b'"index":1')
    two = Peek("m", stream=True, n=2)
    assert not relayed(begun + second + frame({}, "stop") + DONE, two)[1].finished


def test_a_call_beside_stop_means_tools():
    call = frame({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]})
    for data in (call + frame({}, "stop"), frame({"content": "x"}) + call + frame({}, "stop")):
        assert relayed(data + DONE, size=len(call))[1].finish.reason is FinishReason.TOOL_CALLS
    nulls = frame({"content": "x", "tool_calls": None}) * 2 + frame({}, "stop")
    assert relayed(nulls + DONE)[1].finish.reason is FinishReason.STOP


@pytest.mark.parametrize(
    "data", [b'data: {"error":{"message":"m","code":503}}\n\n', b'event: error\ndata: {"message":"m"}\n\n']
)
def test_an_error_in_the_stream_is_relayed_and_told(data):
    out, metered = relayed(frame({"content": "x"}) + data)
    assert out.endswith(data)
    assert isinstance(metered.error, ProviderError)
    assert not metered.finished


def test_a_frame_that_was_cut_is_not_relayed():
    begun = frame({"content": "x"})
    out, metered = relayed(begun + b'data: {"choices":[{"ind')
    assert (out, metered.finished) == (begun, False)
    whole = begun + frame({}, "stop")
    assert relayed(whole + b"data: [DONE]")[0] == whole + b"data: [DONE]"
    assert relayed(whole + USAGE.rstrip())[0] == whole
    assert relayed(whole + USAGE.rstrip())[1].usage.input_tokens == 3


@pytest.mark.parametrize("before", [b"", frame({"content": "x"}), frame({"content": "x"}) * 9])
@pytest.mark.parametrize("after", [b"", frame({"content": "x"}) * 9, frame({}, "stop") + DONE])
@pytest.mark.parametrize("junk", [b'{oops "usage"', b'["usage"]', b"{broken}", b'{"choices":[', b"nonsense", b"\xff"])
@pytest.mark.parametrize("n", [1, 2])
def test_nothing_is_passed_on_from_the_first_broken_chunk(before, after, junk, n):
    """R7 T3: before the first content another target can still answer, later the gateway tells the failure."""
    relay = DIALECT.relay(Peek(model="m", stream=True, n=n))
    assert relay.feed(before) == before
    assert relay.feed(before + b"data: " + junk + b"\n\n" + after) == before
    assert relay.metered.broken is not None
    assert relay.metered.broken.kind is ErrorKind.PROTOCOL
    assert not relay.metered.finished


@pytest.mark.parametrize("size", [1, 1000])
def test_one_object_where_a_stream_was_due_is_relayed_whole(size):
    answer = json.dumps(
        {
            "id": "c",
            "model": "m",
            "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        },
        indent=1,
    ).encode()
    out, metered = relayed(b"\n" + answer, size=size)
    assert out.strip() == answer
    assert metered.finished
    assert metered.usage.input_tokens == 1
    error = b'{"error":{"message":"m","code":"insufficient_quota"}}'
    out, metered = relayed(error, size=size)
    assert out == error
    assert metered.error.kind is ErrorKind.QUOTA
    assert not relayed(b'{"oops":1}')[1].finished


def test_the_meter_reads_a_whole_answer():
    call = {"message": {"tool_calls": [{}]}, "finish_reason": "stop", "stop_reason": None}
    metered = DIALECT.meter(
        json.dumps(
            {"id": "c", "model": "m", "choices": [call], "service_tier": "flex", "usage": {"prompt_tokens": 4}}
        ).encode()
    )
    assert (metered.id, metered.model, metered.committed, metered.finished) == ("c", "m", True, True)
    assert (metered.usage.input_tokens, metered.usage.tier) == (4, "flex")
    assert metered.finish.reason is FinishReason.TOOL_CALLS
    assert DIALECT.meter(b'{"choices":[{"finish_reason":null}]}').finish is None
    assert DIALECT.meter(b'{"choices":[]}').finish is None


def test_paths_and_listings():
    assert DIALECT.chat_path("m", stream=True) == "/chat/completions"
    listing = DIALECT.encode_models([ModelEntry("a/b", "acme", 7, context_window=9), ModelEntry("c")])
    assert json.loads(listing) == {
        "object": "list",
        "data": [
            {"id": "a/b", "object": "model", "created": 7, "owned_by": "acme", "context_window": 9},
            {"id": "c", "object": "model", "created": 0, "owned_by": "execution-platform"},
        ],
    }
    assert DIALECT.decode_models(listing) == ["a/b", "c"]
    assert DIALECT.decode_models(b'{"data":null}') == []
    for odd in (b"<html>", b"[]", b'{"data":[{}]}'):
        with pytest.raises(ProviderError, match="not a list of models"):
            DIALECT.decode_models(odd)
