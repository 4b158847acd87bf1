"""Every corpus case: what it means, and that it survives both ways.

The cases are written from the vendor's documentation and types; each names its source in `notes`.
"""

import json

import pytest

from dialects.anthropic.expectations import REQUESTS, RESPONSES, STREAMS
from dialects.anthropic.telling import CORPUS, cases, content, tell_request, tell_response
from execution_platform.dialects.anthropic import DIALECT
from execution_platform.dialects.base import Downstream, Upstream
from execution_platform.exceptions import ExecutionPlatformError, ProtocolError
from execution_platform.spi import ChatResponse, Origin, accumulate
from execution_platform.spi.events import Event
from execution_platform.spi.profile import ModelProfile

UPSTREAM = Upstream(Origin(dialect="anthropic", provider="anthropic"))
DOWNSTREAM = Downstream("asked-model", "req_1")


def decode_stream(data: bytes, size: int | None = None) -> list[Event]:
    decoder = DIALECT.stream_decoder(UPSTREAM)
    step = size or max(1, len(data))
    events: list[Event] = []
    for at in range(0, len(data), step):
        events += decoder.feed(data[at : at + step])
    return events + decoder.close()


def read_stream(data: bytes, size: int | None = None) -> ChatResponse:
    return accumulate(decode_stream(data, size))


def told_stream(data: bytes) -> list[str]:
    try:
        return tell_response(read_stream(data))
    except ExecutionPlatformError as error:
        return [f"{type(error).__name__} {error.kind}: {error.message}"]


def without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def test_every_case_names_its_source_and_has_an_expectation() -> None:
    for folder in CORPUS.iterdir():
        assert (folder / "notes").read_text().startswith("source: "), folder.name
    assert set(cases("request.json")) == set(REQUESTS)
    assert set(cases("response.json")) == set(RESPONSES)
    assert set(cases("stream.sse")) - set(RESPONSES) <= set(STREAMS)
    assert len(list(CORPUS.iterdir())) >= 40


@pytest.mark.parametrize("case", cases("request.json"))
def test_a_request_is_understood(case: str) -> None:
    assert tell_request(DIALECT.decode_request(content(case, "request.json"))) == REQUESTS[case]


@pytest.mark.parametrize("case", cases("request.json"))
def test_a_request_goes_back_to_its_own_dialect_unchanged(case: str) -> None:
    body = content(case, "request.json")
    encoded = DIALECT.encode_request(DIALECT.decode_request(body), ModelProfile())
    assert json.loads(encoded.body) == json.loads(body)
    assert encoded.losses == ()


@pytest.mark.parametrize("case", cases("request.json"))
def test_a_request_keeps_the_order_of_what_the_model_reads(case: str) -> None:
    body = json.loads(content(case, "request.json"))
    sent = json.loads(DIALECT.encode_request(DIALECT.decode_request(json.dumps(body).encode()), ModelProfile()).body)
    for before, after in zip(body.get("tools") or [], sent.get("tools") or [], strict=True):
        assert json.dumps(before.get("input_schema")) == json.dumps(after.get("input_schema"))
    assert [json.dumps(use) for use in inputs(body)] == [json.dumps(use) for use in inputs(sent)]


def inputs(body: dict) -> list[object]:
    blocks = [block for message in body["messages"] for block in message.get("content", []) if isinstance(block, dict)]
    return [block["input"] for block in blocks if "input" in block]


@pytest.mark.parametrize("case", cases("response.json"))
def test_an_answer_is_understood(case: str) -> None:
    assert tell_response(DIALECT.decode_response(content(case, "response.json"), UPSTREAM)) == RESPONSES[case]


@pytest.mark.parametrize("case", [case for case in cases("response.json") if case != "tool_call_ids_missing"])
def test_an_answer_goes_back_to_its_own_dialect_unchanged(case: str) -> None:
    body = content(case, "response.json")
    encoded = DIALECT.encode_response(DIALECT.decode_response(body, UPSTREAM), DOWNSTREAM)
    wanted = json.loads(body)
    wanted.setdefault("usage", {"input_tokens": 0, "output_tokens": 0})
    assert without_nulls(json.loads(encoded.body)) == without_nulls(wanted)
    assert encoded.losses == ()


@pytest.mark.parametrize("case", cases("stream.sse"))
def test_a_stream_is_understood(case: str) -> None:
    assert told_stream(content(case, "stream.sse")) == STREAMS.get(case, RESPONSES.get(case))


@pytest.mark.parametrize("case", sorted(set(cases("stream.sse")) & set(cases("response.json"))))
def test_a_stream_and_a_whole_answer_say_the_same(case: str) -> None:
    whole = DIALECT.decode_response(content(case, "response.json"), UPSTREAM)
    assert unspaced(tell_response(read_stream(content(case, "stream.sse")))) == unspaced(tell_response(whole))


def unspaced(lines: list[str]) -> list[str]:
    """Arguments that a model wrote with spaces mean the same as an object of a whole answer."""
    return [line.replace(" ", "") for line in lines]


@pytest.mark.parametrize("case", cases("stream.sse"))
@pytest.mark.parametrize("size", [1, 7])
def test_where_a_stream_is_split_does_not_show(case: str, size: int) -> None:
    data = content(case, "stream.sse")
    try:
        whole = decode_stream(data)
    except ExecutionPlatformError as error:
        with pytest.raises(type(error)):
            decode_stream(data, size)
    else:
        assert repr(decode_stream(data, size)) == repr(whole)


COMPLETE = [case for case in cases("stream.sse") if "Error" not in told_stream(content(case, "stream.sse"))[0]]


@pytest.mark.parametrize("case", COMPLETE)
def test_a_stream_goes_back_to_its_own_dialect_unchanged(case: str) -> None:
    events = decode_stream(content(case, "stream.sse"))
    encoder = DIALECT.stream_encoder(DOWNSTREAM)
    data = b"".join(encoder.send([event]) for event in events) + encoder.close()
    again = read_stream(data)
    before = accumulate(events)
    assert list(encoder.losses) == []
    if before.usage is None:
        assert again.usage is not None
        assert again.usage.total_tokens == 0
    else:
        assert again.usage == before.usage
    assert without_synthetic(tell_response(again)[:-1]) == without_synthetic(tell_response(before)[:-1])
    assert again.id == before.id


def without_synthetic(lines: list[str]) -> list[str]:
    return [line.replace(" synthetic", "") for line in lines]


@pytest.mark.parametrize("case", COMPLETE)
@pytest.mark.parametrize("size", [1, 64, 1 << 20])
def test_a_relayed_stream_is_the_same_bytes_with_the_same_books(case: str, size: int) -> None:
    data = content(case, "stream.sse")
    relay = DIALECT.relay(DIALECT.peek(b'{"stream":true}'))
    out = b"".join(relay.feed(data[at : at + size]) for at in range(0, len(data), size)) + relay.close()
    if case == "whole_message_for_a_stream":
        assert out == b""
        return
    decoded = read_stream(data)
    assert out == data
    assert relay.metered.usage == decoded.usage
    assert relay.metered.finish == decoded.finish
    assert relay.metered.model == decoded.model
    assert relay.metered.id == decoded.id
    assert relay.metered.finished
    assert relay.metered.error is None
    assert relay.metered.committed == bool(decoded.message.parts)


@pytest.mark.parametrize("case", ["cut_after_text", "cut_in_character", "html_with_200"])
def test_a_cut_stream_is_never_complete(case: str) -> None:
    data = content(case, "stream.sse")
    with pytest.raises(ProtocolError):
        read_stream(data)
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    out = relay.feed(data) + relay.close()
    assert not relay.metered.finished
    assert out == b"" or (data.startswith(out) and out.endswith(b"\n\n"))


@pytest.mark.parametrize("case", ["error_in_stream", "error_body_with_200"])
def test_an_error_after_200_reaches_the_books(case: str) -> None:
    relay = DIALECT.relay(DIALECT.peek(b"{}"))
    relay.feed(content(case, "stream.sse"))
    relay.close()
    assert relay.metered.error is not None
    assert not relay.metered.finished


@pytest.mark.parametrize("case", cases("response.json"))
def test_the_meter_and_the_decoder_agree(case: str) -> None:
    body = content(case, "response.json")
    metered, decoded = DIALECT.meter(body), DIALECT.decode_response(body, UPSTREAM)
    assert (metered.usage, metered.finish, metered.model, metered.id) == (
        decoded.usage,
        decoded.finish,
        decoded.model,
        decoded.id,
    )
