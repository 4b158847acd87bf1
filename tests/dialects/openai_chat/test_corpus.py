"""Every corpus case: what it means, and that it survives both ways.

The cases are written from the vendors' documentation and types; each names its source in `notes`.
"""

import json

import pytest

from dialects.openai_chat.expectations import REQUESTS, RESPONSES, STREAMS
from dialects.openai_chat.telling import CORPUS, cases, content, tell_request, tell_response
from execution_platform.dialects.base import Downstream, Peek, Upstream
from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.exceptions import ExecutionPlatformError, ProviderError
from execution_platform.spi import ModelProfile, Origin, accumulate

UPSTREAM = Upstream(Origin(dialect="openai_chat", provider="p"))
DOWNSTREAM = Downstream("asked", "req-1", include_usage=True)
PROFILE = ModelProfile(developer_role=True)
PEEK = Peek("m", stream=True, include_usage=True, n=2)


def decode_stream(data: bytes, size: int | None = None, upstream: Upstream = UPSTREAM):
    decoder = DIALECT.stream_decoder(upstream)
    step = size or max(1, len(data))
    events = [event for at in range(0, len(data), step) for event in decoder.feed(data[at : at + step])]
    return events + decoder.close()


def told(read) -> list[str]:
    try:
        return tell_response(read())
    except ExecutionPlatformError as error:
        return [f"{type(error).__name__} {error.kind}: {error.message}"]


def told_stream(data: bytes) -> list[str]:
    return told(lambda: accumulate(decode_stream(data)))


def without_nulls(value):
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def test_every_case_names_its_source_and_has_an_expectation() -> None:
    for folder in CORPUS.iterdir():
        assert (folder / "notes").read_text().startswith("source: "), folder.name
    assert set(cases("request.json")) == set(REQUESTS)
    assert set(cases("response.json")) == set(RESPONSES)
    assert set(cases("stream.sse")) - set(RESPONSES) <= set(STREAMS)
    assert len(list(CORPUS.iterdir())) >= 80


@pytest.mark.parametrize("case", cases("request.json"))
def test_a_request_is_understood(case: str) -> None:
    assert tell_request(DIALECT.decode_request(content(case, "request.json"))) == REQUESTS[case]


@pytest.mark.parametrize("case", [case for case in cases("request.json") if case != "envelopes_history"])
def test_a_request_comes_back_as_it_was(case: str) -> None:
    body = content(case, "request.json")
    encoded = DIALECT.encode_request(DIALECT.decode_request(body), PROFILE)
    assert json.loads(encoded.body) == json.loads(body)
    assert encoded.losses == ()


@pytest.mark.parametrize("case", cases("response.json"))
def test_an_answer_is_understood(case: str) -> None:
    assert told(lambda: DIALECT.decode_response(content(case, "response.json"), UPSTREAM)) == RESPONSES[case]


_REWRITTEN = {"arguments_empty", "calls_without_index", "calls_with_one_id", "content_list", "thinking_redacted"}
"""Answers that a server wrote in a form of its own and that leave in the API's."""


@pytest.mark.parametrize("case", sorted(set(cases("response.json")) - _REWRITTEN))
def test_an_answer_comes_back_as_it_was(case: str) -> None:
    body = content(case, "response.json")
    try:
        response = DIALECT.decode_response(body, UPSTREAM)
    except ProviderError:
        return
    encoded = DIALECT.encode_response(response, DOWNSTREAM)
    assert without_nulls(json.loads(encoded.body)) == without_nulls(json.loads(body))
    assert encoded.losses == ()


@pytest.mark.parametrize("case", cases("stream.sse"))
def test_a_stream_says_what_the_whole_answer_says(case: str) -> None:
    expected = STREAMS[case] if case in STREAMS else RESPONSES[case]
    assert told_stream(content(case, "stream.sse")) == expected


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("case", cases("stream.sse"))
def test_a_stream_says_the_same_in_any_pieces(case: str, size: int) -> None:
    data = content(case, "stream.sse")
    try:
        whole = decode_stream(data)
    except ProviderError as error:
        with pytest.raises(type(error), match=error.message[:20]):
            decode_stream(data, size)
    else:
        assert repr(decode_stream(data, size)) == repr(whole)


def outcome(data: bytes):
    """The answer a stream tells, or None when it fails."""
    try:
        return accumulate(decode_stream(data))
    except ProviderError:
        return None


@pytest.mark.parametrize(
    "case", sorted(set(cases("stream.sse")) - _REWRITTEN | {"arguments_empty", "thinking_redacted"})
)
def test_a_stream_comes_back_as_it_was(case: str) -> None:
    data = content(case, "stream.sse")
    answer = outcome(data)
    if answer is None:
        return
    encoder = DIALECT.stream_encoder(DOWNSTREAM)
    again = b"".join(encoder.send([event]) for event in decode_stream(data)) + encoder.close()
    assert outcome(again) == answer
    assert again.endswith(b"data: [DONE]\n\n")
    assert encoder.losses == ()


@pytest.mark.parametrize("size", [1, 50, 10_000])
@pytest.mark.parametrize("case", cases("stream.sse"))
def test_a_relayed_stream_is_the_same_bytes_and_the_same_books(case: str, size: int) -> None:
    data = content(case, "stream.sse")
    relay = DIALECT.relay(PEEK)
    out = b"".join(relay.feed(data[at : at + size]) for at in range(0, len(data), size)) + relay.close()
    answer, metered = outcome(data), relay.metered
    assert metered.finished == (answer is not None)
    if answer is not None:
        assert out == data
        assert metered.usage == answer.usage
        assert (metered.id, metered.model, metered.finish) == (answer.id, answer.model, answer.finish)
        assert metered.committed == bool(answer.message.parts)
    else:
        assert data.startswith(out)


@pytest.mark.parametrize("case", cases("response.json"))
def test_the_meter_counts_what_the_decoder_counts(case: str) -> None:
    body = content(case, "response.json")
    try:
        answer = DIALECT.decode_response(body, UPSTREAM)
    except ProviderError:
        return
    metered = DIALECT.meter(body)
    assert metered.usage == answer.usage
    assert (metered.finish, metered.id, metered.model) == (answer.finish, answer.id, answer.model)
