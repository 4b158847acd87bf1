"""What holds for every request, answer and stream."""

import contextlib
import copy
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.openai_chat import strategies as wire
from execution_platform import _json
from execution_platform.dialects.base import Downstream, Peek, Upstream
from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.exceptions import InvalidRequest, ProviderError
from execution_platform.spi import ModelProfile, Origin, accumulate
from execution_platform.spi.assemble import explode
from execution_platform.spi.events import Failed

PROFILE = ModelProfile(developer_role=True)
UPSTREAM = Upstream(Origin(dialect="openai_chat", provider="p", model="m"))
DOWNSTREAM = Downstream("asked", "req-1", 5, include_usage=True)


def decoded(data: bytes, upstream: Upstream = UPSTREAM):
    decoder = DIALECT.stream_decoder(upstream)
    return [*decoder.feed(data), *decoder.close()]


def without_nulls(value):
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


@given(wire.requests())
@settings(max_examples=300)
def test_a_request_comes_back_as_it_was(body):
    request = DIALECT.decode_request(json.dumps(body).encode())
    encoded = DIALECT.encode_request(request, PROFILE)
    assert json.loads(encoded.body) == body
    assert encoded.losses == ()


def places(value, path=()):
    yield path
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*path, key))


@st.composite
def broken(draw, bodies):
    """A body with one value replaced by something of any type, or with a member removed."""
    body = copy.deepcopy(draw(bodies))
    path = draw(st.sampled_from([path for path in places(body) if path]))
    at = body
    for key in path[:-1]:
        at = at[key]
    if draw(st.booleans()) or isinstance(at, list):
        at[path[-1]] = draw(wire.json_values)
    else:
        del at[path[-1]]
    return body


@given(broken(wire.requests()))
@settings(max_examples=400)
def test_a_wrong_request_is_a_typed_error_or_none(body):
    data = json.dumps(body).encode()
    wrong: InvalidRequest | None = None
    try:
        request = DIALECT.decode_request(data)
    except InvalidRequest as error:
        wrong = error
    else:
        assert _json.loads(DIALECT.encode_request(request, PROFILE).body)
    if wrong is not None and wrong.param is not None:
        assert wrong.param.partition("[")[0].partition(".")[0] in {*body, "messages", "body", "tools"}


@given(broken(wire.requests()))
@settings(max_examples=150)
def test_peek_and_patch_fail_only_with_typed_errors(body):
    data = json.dumps(body).encode()
    try:
        peek = DIALECT.peek(data)
    except InvalidRequest:
        return
    patched = json.loads(DIALECT.patch(data, peek, "target"))
    assert patched.pop("model") == "target"
    body.pop("model", None)
    if peek.stream and not peek.include_usage:
        assert patched.pop("stream_options")["include_usage"] is True
        body.pop("stream_options", None)
    assert patched == body


@given(st.binary(max_size=60))
def test_no_bytes_break_the_readers(data):
    for read in (DIALECT.decode_request, DIALECT.peek, DIALECT.embeddings.decode_request):
        with contextlib.suppress(InvalidRequest):
            read(data)
    for read in (
        lambda d: DIALECT.decode_response(d, UPSTREAM),
        DIALECT.meter,
        DIALECT.embeddings.decode_response,
        DIALECT.decode_models,
        decoded,
    ):
        with contextlib.suppress(ProviderError):
            read(data)
    assert DIALECT.decode_error(500, {}, data).message


@given(wire.answers())
@settings(max_examples=200)
def test_an_answer_comes_back_as_it_was(body):
    response = DIALECT.decode_response(json.dumps(body).encode(), UPSTREAM)
    encoded = DIALECT.encode_response(response, DOWNSTREAM)
    assert without_nulls(json.loads(encoded.body)) == without_nulls(body)
    assert encoded.losses == ()


@given(wire.answers())
def test_an_answer_survives_being_told_as_a_stream(body):
    response = DIALECT.decode_response(json.dumps(body).encode(), UPSTREAM)
    assert accumulate(explode(response)) == response
    encoder = DIALECT.stream_encoder(DOWNSTREAM)
    data = encoder.send(explode(response)) + encoder.close()
    again = accumulate(decoded(data))
    assert again.outputs == response.outputs
    assert (again.usage is None) == (response.usage is None)
    assert again == response or response.usage is not None
    assert encoder.losses == ()


@given(wire.streams())
@settings(max_examples=200)
def test_a_stream_says_what_the_whole_answer_says(told):
    body, data = told
    assert accumulate(decoded(data)) == DIALECT.decode_response(json.dumps(body).encode(), UPSTREAM)


@given(st.data())
@settings(max_examples=150)
def test_where_the_bytes_are_split_never_shows(data):
    _, stream = data.draw(wire.streams())
    decoder, relay = DIALECT.stream_decoder(UPSTREAM), DIALECT.relay(Peek("m", stream=True, include_usage=True, n=2))
    events, relayed = [], b""
    for piece in data.draw(wire.splits(stream)):
        events += decoder.feed(piece)
        relayed += relay.feed(piece)
    events += decoder.close()
    relayed += relay.close()
    assert events == decoded(stream)
    assert relayed == stream


@given(wire.streams())
@settings(max_examples=150)
def test_the_relay_counts_what_the_decoder_counts(told):
    body, data = told
    answer = accumulate(decoded(data))
    relay = DIALECT.relay(Peek("m", stream=True, include_usage=True, n=len(body["choices"])))
    relay.feed(data)
    relay.close()
    metered = relay.metered
    assert metered.usage == answer.usage
    assert metered.finish == answer.finish
    assert (metered.id, metered.model) == (answer.id, answer.model)
    assert metered.finished
    whole = DIALECT.meter(json.dumps(body).encode())
    assert whole.usage == answer.usage
    assert whole.finish == answer.finish


@given(wire.streams(), st.data())
@settings(max_examples=150)
def test_a_damaged_stream_fails_as_the_providers_fault_or_not_at_all(told, data):
    _, stream = told
    at = data.draw(st.integers(0, len(stream)))
    junk = data.draw(st.binary(max_size=4))
    damaged = stream[:at] + junk + stream[at + data.draw(st.integers(0, 4)) :]
    try:
        events = decoded(damaged)
    except ProviderError:
        return
    if any(isinstance(event, Failed) for event in events):
        return
    assert accumulate(events).outputs


@given(broken(wire.answers()))
@settings(max_examples=200)
def test_a_wrong_answer_is_the_providers_fault_or_none(body):
    data = json.dumps(body).encode()
    for read in (lambda d: DIALECT.decode_response(d, UPSTREAM), DIALECT.meter):
        with contextlib.suppress(ProviderError):
            assert read(data) is not None


@given(wire.streams(), st.integers(0, 400))
@settings(max_examples=150)
def test_a_cut_stream_is_never_complete_before_its_finish_reason(told, cut):
    _, stream = told
    data = stream[: max(0, len(stream) - cut)]
    relay = DIALECT.relay(Peek("m", stream=True, include_usage=True, n=2))
    relay.feed(data)
    relay.close()
    try:
        events = decoded(data)
    except ProviderError:
        assert not relay.metered.finished
    else:
        assert relay.metered.finished
        accumulate(events)
