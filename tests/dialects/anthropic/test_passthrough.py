"""Peek, patch, relay, meter, listings: what passes through without being decoded."""

import json

import pytest

from execution_platform.dialects.anthropic import DIALECT
from execution_platform.dialects.base import ModelEntry, Upstream
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError, ProviderError
from execution_platform.spi import Origin

UP = Upstream(Origin(dialect="anthropic"))


def test_a_peek_reads_what_routing_needs() -> None:
    peek = DIALECT.peek(b'{"model":"m","stream":true,"max_tokens":5,"messages":[{"broken": 1}],"tools":[{}]}')
    assert (peek.model, peek.stream, peek.max_tokens, peek.has_tools) == ("m", True, 5, True)
    peek = DIALECT.peek(b'{"tools": [ ], "mcp_servers": null}')
    assert (peek.model, peek.stream, peek.max_tokens, peek.has_tools) == (None, False, None, False)


@pytest.mark.parametrize("body", [b'{"model":5}', b'{"stream":"yes"}', b'{"max_tokens":"5"}', b"[]", b"{", b""])
def test_a_peek_refuses_wrong_types(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        DIALECT.peek(body)


def test_a_patch_changes_the_model_and_no_other_byte() -> None:
    body = b'{ "messages": [1.50, "\\u00e9"],  "model" : "alias" }'
    assert (
        DIALECT.patch(body, DIALECT.peek(body), "claude") == b'{ "messages": [1.50, "\\u00e9"],  "model" : "claude" }'
    )
    assert DIALECT.patch(body, DIALECT.peek(body), "alias") is body


def frame(payload: dict[str, object]) -> bytes:
    return f"event: {payload['type']}\ndata: {json.dumps(payload)}\n\n".encode()


START = frame({"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 3}}})
DELTA = frame(
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "an error message_stop"}}
)
STOP = frame({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}})
END = frame({"type": "message_stop"})


def test_content_commits_and_only_the_terminator_finishes() -> None:
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    relay.feed(START + frame({"type": "ping"}))
    assert not relay.metered.committed
    relay.feed(frame({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}))
    assert not relay.metered.committed
    relay.feed(DELTA)
    assert relay.metered.committed
    assert relay.metered.error is None
    relay.feed(STOP)
    assert not relay.metered.finished
    relay.feed(END)
    assert relay.metered.finished
    assert relay.metered.usage is not None
    assert (relay.metered.usage.input_tokens, relay.metered.usage.output_tokens) == (3, 2)


def test_a_block_that_says_something_at_its_start_commits() -> None:
    for block in ({"type": "tool_use", "id": "c", "name": "f", "input": {}}, {"type": "text", "text": "x"}):
        relay = DIALECT.relay(DIALECT.peek(b"{}"))
        relay.feed(START + frame({"type": "content_block_start", "index": 0, "content_block": block}))
        assert relay.metered.committed


def test_half_a_frame_is_held_back() -> None:
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    assert relay.feed(START + DELTA[:30]) == START
    assert relay.feed(DELTA[30:]) == DELTA
    relay.feed(DELTA[:30])
    assert relay.close() == b""
    assert not relay.metered.finished


def test_a_tail_after_the_end_is_passed_on() -> None:
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    relay.feed(START + STOP + END + b": bye\n")
    assert relay.close() == b": bye\n"


def test_members_the_relay_cannot_read_are_left_to_the_caller() -> None:
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    odd = frame({"type": "message_start", "message": 5}) + frame({"type": "message_delta", "delta": 5, "usage": 7})
    assert relay.feed(odd) == odd
    assert relay.metered.usage is None


def test_a_page_instead_of_a_stream_is_kept_from_the_caller() -> None:
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    assert relay.feed(b"<html>\n\n</html>\n\n") == b""
    assert relay.close() == b""
    assert not relay.metered.finished


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"type":"message"}', b'{"type":"message","content":{}}'])
def test_an_answer_that_is_none_is_a_protocol_error(body: bytes) -> None:
    for read in (DIALECT.meter, lambda raw: DIALECT.decode_response(raw, UP)):
        with pytest.raises(ProtocolError):
            read(body)


def test_an_error_in_a_200_is_that_error() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    for read in (DIALECT.meter, lambda raw: DIALECT.decode_response(raw, UP)):
        with pytest.raises(ProviderError) as caught:
            read(body)
        assert caught.value.kind is ErrorKind.OVERLOADED


def test_renamed_tools_get_their_names_back() -> None:
    upstream = Upstream(Origin(dialect="anthropic"), {"fs_read_1": "fs.read"})
    block = {"type": "tool_use", "id": "t", "name": "fs_read_1", "input": {}}
    body = json.dumps({"type": "message", "content": [block], "stop_reason": "tool_use"}).encode()
    assert DIALECT.decode_response(body, upstream).tool_calls[0].name == "fs.read"
    decoder = DIALECT.stream_decoder(upstream)
    started = decoder.feed(START + frame({"type": "content_block_start", "index": 0, "content_block": block}))[1]
    assert started.part.name == "fs.read"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "data",
    [
        b"data: {bad\n\n",
        b"data: [1]\n\n",
        b'data: {"no": "type"}\n\n',
        frame({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}),
        frame({"type": "content_block_stop", "index": 3}),
        START + START,
        START + frame({"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}),
        START + frame({"type": "content_block_start", "index": [], "content_block": {"type": "text", "text": ""}}),
        START + END,
    ],
)
def test_a_stream_that_breaks_its_own_rules_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        DIALECT.stream_decoder(UP).feed(data)


def test_nothing_is_read_after_the_end() -> None:
    decoder = DIALECT.stream_decoder(UP)
    decoder.feed(START + STOP + END)
    assert decoder.feed(b"data: {garbage\n\n") == []
    assert decoder.close() == []


def test_content_before_message_start_is_understood() -> None:
    decoder = DIALECT.stream_decoder(UP)
    events = decoder.feed(
        frame({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}})
    )
    assert [type(event).__name__ for event in events] == ["Started", "PartStarted", "PartDelta"]


def test_a_listing_has_the_vendor_s_shape() -> None:
    listing = json.loads(
        DIALECT.encode_models(
            [ModelEntry("a", created=1700000000), ModelEntry("b", display_name="B", context_window=9)]
        )
    )
    assert listing["data"][0] == {
        "type": "model",
        "id": "a",
        "display_name": "a",
        "created_at": "2023-11-14T22:13:20Z",
        "lifecycle": "active",
        "max_input_tokens": None,
        "max_tokens": None,
    }
    assert (listing["first_id"], listing["last_id"], listing["has_more"]) == ("a", "b", False)
    assert DIALECT.decode_models(json.dumps(listing).encode()) == ["a", "b"]
    assert json.loads(DIALECT.encode_models([])) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize("body", [b"x", b"[]", b'{"data": 5}'])
def test_a_listing_that_is_none_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        DIALECT.decode_models(body)


@pytest.mark.parametrize("body", [b"x", b"[]", b"{}", b'{"input_tokens": true}', b'{"input_tokens": "5"}'])
def test_a_count_that_is_none_is_a_protocol_error(body: bytes) -> None:
    assert DIALECT.count is not None
    with pytest.raises(ProtocolError):
        DIALECT.count.decode_response(body)


def test_the_paths_are_below_a_base_url_without_version() -> None:
    assert DIALECT.chat_path("m", stream=True) == DIALECT.chat_path("m", stream=False) == "/v1/messages"
    assert DIALECT.embeddings is None


def test_summaries_of_each_lifetime_add_to_the_books() -> None:
    split = {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 2}
    entry = {
        "type": "compaction",
        "input_tokens": 10,
        "output_tokens": 4,
        "cache_creation_input_tokens": 3,
        "cache_creation": split,
    }
    usage = {"input_tokens": 5, "output_tokens": 1, "iterations": [entry, {"type": "message", "input_tokens": 99}, 5]}
    body = json.dumps({"type": "message", "content": [], "stop_reason": "end_turn", "usage": usage}).encode()
    metered = DIALECT.meter(body).usage
    assert metered is not None
    assert (metered.input_tokens, metered.output_tokens, metered.cache_write_tokens) == (18, 5, 3)
    assert metered.cache_write_by_ttl == {"5m": 1, "1h": 2}


def test_a_split_that_cannot_be_is_left_out() -> None:
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 2, "cache_creation": {"ephemeral_1h_input_tokens": 9}}
    metered = DIALECT.meter(json.dumps({"type": "message", "content": [], "usage": usage}).encode()).usage
    assert metered is not None
    assert metered.cache_write_by_ttl == {}


def test_a_late_reader_gets_nothing_after_the_end_in_the_same_read() -> None:
    decoder = DIALECT.stream_decoder(UP)
    events = decoder.feed(START + STOP + END + frame({"type": "ping"}))
    assert [type(event).__name__ for event in events] == ["Started", "UsageReported", "Finished"]


def test_output_never_shrinks() -> None:
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    relay.feed(START + STOP + frame({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 0}}))
    assert relay.metered.usage is not None
    assert relay.metered.usage.output_tokens == 2


DELTA = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n'
)


@pytest.mark.parametrize("before", [b"", DELTA, DELTA + DELTA])
@pytest.mark.parametrize("after", [b"", DELTA, frame({"type": "message_stop"})])
@pytest.mark.parametrize("junk", [b"{broken", b"{broken}", b'{"type":"ping"', b"[1]", b"nonsense", b"\xff}"])
@pytest.mark.parametrize("name", [b"", b"event: content_block_delta\n", b"event: error\n"])
def test_nothing_is_passed_on_from_the_first_broken_event(
    before: bytes, after: bytes, junk: bytes, name: bytes
) -> None:
    """R7 T3: before the first content another target can still answer, later the gateway tells the failure."""
    relay = DIALECT.relay(DIALECT.peek(b'{"model":"m","max_tokens":1,"stream":true,"messages":[]}'))
    assert relay.feed(START) == START
    relay.feed(before)
    assert relay.feed(before + name + b"data: " + junk + b"\n\n" + after) == before
    assert relay.metered.broken is not None
    assert relay.metered.broken.kind is ErrorKind.PROTOCOL
    assert not relay.metered.finished
