"""Every corpus case: what it means, and that it survives both ways.

The cases are written from the vendor's documentation and types; each names its source in `notes`.
"""

import json

import pytest

from dialects.gemini.expectations import REQUESTS, RESPONSES, STREAMS
from dialects.gemini.telling import (
    CORPUS,
    DOWNSTREAM,
    UPSTREAM,
    cases,
    content,
    decode_stream,
    encode_stream,
    tell_request,
    tell_usage,
    told_response,
    told_stream,
    wire,
)
from execution_platform.dialects.base import Downstream, Peek
from execution_platform.dialects.gemini import DIALECT
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.spi import ModelProfile, accumulate

HEALTHY = [case for case in cases("stream.sse") if not STREAMS[case][0].partition(" ")[0].endswith("Error")]
CAMEL = [case for case in cases("request.json") if case not in ("snake_case", "only_null")]
ANSWERS = [case for case in cases("response.json") if "Error" not in RESPONSES[case][0]]


def test_every_case_names_its_source_and_has_an_expectation() -> None:
    for folder in CORPUS.iterdir():
        assert (folder / "notes").read_text().startswith("source: "), folder.name
    assert set(cases("request.json")) == set(REQUESTS)
    assert set(cases("response.json")) == set(RESPONSES)
    assert set(cases("stream.sse")) == set(STREAMS)
    assert len(list(CORPUS.iterdir())) >= 80


@pytest.mark.parametrize("case", cases("request.json"))
def test_a_request_is_understood(case: str) -> None:
    assert tell_request(DIALECT.decode_request(content(case, "request.json"), model="models/m")) == REQUESTS[case]


@pytest.mark.parametrize("case", CAMEL)
def test_a_request_survives_its_own_dialect(case: str) -> None:
    request = DIALECT.decode_request(content(case, "request.json"), model="gemini-2.5-flash")
    encoded = DIALECT.encode_request(request, ModelProfile(extra={"provider": "gemini"}))
    given = wire(case, "request.json")
    if case == "sealed_thoughts":
        assert {loss.severity for loss in encoded.losses} == {"opaque"}
        return
    assert json.loads(encoded.body) == given
    assert encoded.losses == ()


@pytest.mark.parametrize("case", cases("response.json"))
def test_an_answer_is_understood(case: str) -> None:
    assert told_response(content(case, "response.json")) == RESPONSES[case]


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_survives_its_own_dialect(case: str) -> None:
    response = DIALECT.decode_response(content(case, "response.json"), UPSTREAM)
    encoded = DIALECT.encode_response(response, DOWNSTREAM)
    assert json.loads(encoded.body) == wire(case, "response.json")
    assert encoded.losses == ()


@pytest.mark.parametrize("case", cases("stream.sse"))
def test_a_stream_is_understood(case: str) -> None:
    assert told_stream(content(case, "stream.sse")) == STREAMS[case]


@pytest.mark.parametrize("case", cases("stream.sse"))
@pytest.mark.parametrize("size", [1, 7])
def test_where_a_stream_is_split_does_not_show(case: str, size: int) -> None:
    assert told_stream(content(case, "stream.sse"), size) == STREAMS[case]


@pytest.mark.parametrize("case", sorted(set(cases("stream.sse")) & set(cases("response.json"))))
def test_a_stream_says_what_the_whole_answer_says(case: str) -> None:
    if case in DIFFERENT:
        pytest.skip("the two forms of this case say different things")
    streamed = accumulate(decode_stream(content(case, "stream.sse")))
    whole = DIALECT.decode_response(content(case, "response.json"), UPSTREAM)
    assert [output.message.parts for output in streamed.outputs] == [output.message.parts for output in whole.outputs]
    assert [output.finish for output in streamed.outputs] == [output.finish for output in whole.outputs]
    assert streamed.usage == whole.usage
    assert streamed.id == whole.id


DIFFERENT = {"grounding", "answer_extras"}


@pytest.mark.parametrize("sse", [True, False])
@pytest.mark.parametrize("case", HEALTHY)
def test_a_stream_survives_its_own_dialect(case: str, sse: bool) -> None:
    events = decode_stream(content(case, "stream.sse"))
    data = encode_stream(events, Downstream("asked-model", "req_1", sse=sse))
    again = decode_stream(data, 11)
    before, after = accumulate(events), accumulate(again)
    assert after.outputs == before.outputs
    assert (after.usage, after.id, after.model, after.extra) == (before.usage, before.id, before.model, before.extra)
    if not sse:
        assert isinstance(json.loads(data), list)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("case", cases("stream.sse"))
def test_passthrough_relays_the_bytes_and_meters_what_the_decoder_meters(case: str, size: int) -> None:
    data = content(case, "stream.sse")
    relay = DIALECT.relay(Peek(None))
    out = b"".join(relay.feed(data[at : at + size]) for at in range(0, len(data), size)) + relay.close()
    metered = relay.metered
    try:
        response = accumulate(decode_stream(data))
    except ExecutionPlatformError:
        assert data.startswith(out)
        assert not metered.finished or metered.error is not None
        return
    assert out == data
    assert metered.finished
    assert metered.error is None
    assert tell_usage(metered.usage) == tell_usage(response.usage)
    assert metered.finish == response.finish
    assert (metered.id, metered.model) == (response.id, response.model)
    assert metered.committed == any(output.message.parts for output in response.outputs)


@pytest.mark.parametrize("case", ANSWERS)
def test_passthrough_meters_a_whole_answer_as_the_decoder_does(case: str) -> None:
    metered = DIALECT.meter(content(case, "response.json"))
    response = DIALECT.decode_response(content(case, "response.json"), UPSTREAM)
    assert metered.usage == response.usage
    assert metered.id == response.id
    if case not in ("no_candidates", "content_absent", "finish_absent"):
        assert metered.finish == response.finish
