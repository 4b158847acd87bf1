"""Answers, whole and streamed: the two say the same, and come back as they were."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution_platform.dialects.base import Downstream, Peek, Upstream
from execution_platform.dialects.openai_responses import DIALECT
from execution_platform.exceptions import ErrorKind, ProtocolError, ProviderError, RateLimited
from execution_platform.spi import (
    ChatResponse,
    Finish,
    FinishReason,
    Message,
    Origin,
    Output,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    Usage,
    accumulate,
    explode,
)
from execution_platform.spi.events import Failed
from spi import strategies

HOME = Origin(dialect="openai_responses", provider="p")
AWAY = Origin(dialect="anthropic", provider="a")
UP = Upstream(HOME)
DOWN = Downstream("asked", "req_1", 5)
USAGE = Usage(50, 20, cache_read_tokens=5, reasoning_tokens=4)


def answer(*parts, reason=FinishReason.STOP, origin=AWAY):
    return ChatResponse(
        [Output(Message("assistant", parts), Finish(reason))], origin=origin, usage=USAGE, id="resp_9", model="m"
    )


def streamed(response):
    encoder = DIALECT.stream_encoder(DOWN)
    return encoder.send(explode(response)) + encoder.close()


def events_of(data):
    frames = [block for block in data.decode().split("\n\n") if block]
    return [json.loads(frame.partition("data: ")[2]) for frame in frames]


def decoded(data, size=None):
    decoder = DIALECT.stream_decoder(UP)
    pieces = [data] if size is None else [data[at : at + size] for at in range(0, len(data), size)]
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


ANSWERS = {
    "text": answer(TextPart("hello"), TextPart("there")),
    "refusal": answer(TextPart("no", refusal=True)),
    "thought": answer(ThinkingPart("hm", summary=("a", "b"), signature=Signature("t", AWAY)), TextPart("so")),
    "redacted": answer(ThinkingPart(redacted=True, signature=Signature("t", AWAY)), TextPart("so")),
    "calls": answer(
        TextPart("a"),
        ToolCallPart("c1", "f", '{"x":1}'),
        ToolCallPart("c2", "air.g", ""),
        reason=FinishReason.TOOL_CALLS,
    ),
    "free text": answer(ToolCallPart("c1", "sh", "ls", kind="custom"), reason=FinishReason.TOOL_CALLS),
    "cut": answer(TextPart("half"), reason=FinishReason.LENGTH),
    "nothing": answer(),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_stream_ends_with_the_whole_answer(name):
    whole = json.loads(DIALECT.encode_response(ANSWERS[name], DOWN).body)
    events = events_of(streamed(ANSWERS[name]))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    whole["created_at"] = events[-1]["response"]["created_at"]
    assert events[-1]["response"] == whole
    assert events[-1]["type"] == f"response.{whole['status']}"


@given(strategies.responses)
@settings(max_examples=300)
def test_stream_and_whole_say_the_same_for_any_answer(response):
    whole = json.loads(DIALECT.encode_response(response, DOWN).body)
    last = events_of(streamed(response))[-1]["response"]
    assert last["output"] == whole["output"]
    assert (last["status"], last.get("usage")) == (whole["status"], whole.get("usage"))


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_stream_that_comes_back_is_the_answer_that_comes_back(name, size):
    whole = DIALECT.decode_response(DIALECT.encode_response(ANSWERS[name], DOWN).body, UP)
    again = accumulate(decoded(streamed(ANSWERS[name]), size))
    assert again.message == whole.message
    assert again.finish == whole.finish
    assert again.usage == whole.usage == USAGE


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_this_dialect_comes_back_as_it_was(name):
    wire = json.loads(DIALECT.encode_response(ANSWERS[name], DOWN).body)
    for item in wire["output"]:
        if "encrypted_content" in item:
            item["encrypted_content"] = "gAAA"
    back = DIALECT.encode_response(DIALECT.decode_response(json.dumps(wire).encode(), UP), DOWN)
    assert json.loads(back.body) == wire
    assert back.losses == ()


def test_a_foreign_token_travels_in_an_envelope_and_is_read_again():
    wire = json.loads(DIALECT.encode_response(ANSWERS["thought"], DOWN).body)
    item = wire["output"][0]
    assert item["encrypted_content"].startswith("ep1.")
    request = DIALECT.decode_request(json.dumps({"input": [item]}).encode())
    assert request.messages[0].parts[0].signature == Signature("t", AWAY)
    assert DIALECT.seal_mark in item["encrypted_content"].encode()


def test_a_failure_is_told_twice_and_ends_the_stream():
    encoder = DIALECT.stream_encoder(DOWN)
    data = encoder.send([*explode(ANSWERS["text"])[:4], Failed(RateLimited("slow down"))]) + encoder.close()
    *_, failed, error = events_of(data)
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"] == {"code": "rate_limit_exceeded", "message": "slow down"}
    assert error["error"]["message"] == error["message"] == "slow down"
    assert error["sequence_number"] == failed["sequence_number"] + 1


@pytest.mark.parametrize(
    "last",
    [
        {
            "type": "response.failed",
            "response": {"status": "failed", "error": {"code": "server_error", "message": "broke"}},
        },
        {"type": "error", "code": "server_error", "message": "broke", "param": None},
        {"type": "error", "error": {"type": "server_error", "message": "broke"}},
    ],
)
def test_an_error_in_a_stream_is_an_error(last):
    *_, failed = decoded(b"data: " + json.dumps(last).encode() + b"\n\n")
    assert isinstance(failed, Failed)
    assert failed.error.message == "broke"
    assert isinstance(failed.error, ProviderError)


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: 3\n\n", b'data: {"type":"response.output_item.added"}\n\n'])
def test_what_is_no_event_breaks_the_stream(data):
    with pytest.raises(ProtocolError):
        DIALECT.stream_decoder(UP).feed(data)


def test_a_stream_that_stops_early_is_broken():
    whole = streamed(ANSWERS["text"])
    decoder = DIALECT.stream_decoder(UP)
    decoder.feed(whole[: whole.index(b"event: response.completed")])
    with pytest.raises(ProtocolError):
        decoder.close()


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("size", [1, 9, 10_000])
def test_relayed_bytes_are_the_same_and_metered_like_decoded_ones(name, size):
    data = streamed(ANSWERS[name])
    relay = DIALECT.relay(Peek(None, stream=True))
    shown = b"".join(relay.feed(data[at : at + size]) for at in range(0, len(data), size)) + relay.close()
    assert shown == data
    whole = DIALECT.decode_response(DIALECT.encode_response(ANSWERS[name], DOWN).body, UP)
    assert relay.metered.usage == whole.usage
    assert relay.metered.finish == whole.finish
    assert relay.metered.finished


def test_a_broken_event_is_not_relayed():
    data = streamed(ANSWERS["text"])
    at = data.index(b"event: response.output_text.done")
    relay = DIALECT.relay(Peek(None, stream=True))
    assert relay.feed(data[:at] + b'event: x\ndata: {"half\n\n' + data[at:]) == data[:at]
    assert relay.metered.broken is not None
    assert relay.metered.broken.kind is ErrorKind.PROTOCOL


@given(st.binary(max_size=60))
def test_a_body_that_is_no_answer_is_a_protocol_error(data):
    with pytest.raises(ProviderError):
        DIALECT.decode_response(data, UP)
