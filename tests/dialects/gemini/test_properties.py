"""Laws of this dialect, for bodies made by chance."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.gemini.strategies import answers, array, cut, json_values, requests, sse
from dialects.gemini.telling import DOWNSTREAM, UPSTREAM, decode_stream, encode_stream
from execution_platform.dialects.base import Downstream, Peek
from execution_platform.dialects.gemini import DIALECT
from execution_platform.exceptions import ExecutionPlatformError, InvalidRequest, ProviderError
from execution_platform.spi import ModelProfile, accumulate, explode

many = settings(max_examples=150, deadline=None)
some = settings(max_examples=60, deadline=None)
HOME = ModelProfile(extra={"provider": "gemini"})
sizes = st.integers(1, 40)


def dumped(value):
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


@given(requests)
@many
def test_a_request_survives_its_own_dialect(body):
    request = DIALECT.decode_request(dumped(body), model="m")
    encoded = DIALECT.encode_request(request, HOME)
    assert json.loads(encoded.body) == json.loads(dumped(body))
    assert encoded.losses == ()


@given(requests)
@some
def test_a_request_for_another_model_is_always_json_with_turns(body):
    request = DIALECT.decode_request(dumped(body), model="m")
    foreign = DIALECT.encode_request(_foreign(request), ModelProfile(schema_flavor="openapi"))
    wire = json.loads(foreign.body)
    assert isinstance(wire["contents"], list)
    assert all(turn["parts"] for turn in wire["contents"])
    roles = [turn["role"] for turn in wire["contents"]]
    assert all(one != two for one, two in zip(roles, roles[1:], strict=False))


def _foreign(request):
    from dataclasses import replace

    return replace(request, dialect="openai_chat")


@st.composite
def mutated(draw, bodies):
    """A body with one value somewhere replaced by another."""
    body = copy.deepcopy(draw(bodies))
    node, key = {"": body}, ""
    while draw(st.booleans()) or key == "":
        inner = node[key]
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner))) if isinstance(inner, list) else []
        if not keys:
            break
        node, key = inner, draw(st.sampled_from(keys))
    if key == "":
        return body
    node[key] = draw(json_values)
    return body


@given(mutated(requests))
@many
def test_a_wrong_type_is_the_callers_error_and_names_its_place(body):
    try:
        request = DIALECT.decode_request(dumped(body), model="m")
    except InvalidRequest as error:
        assert error.param is not None
        assert error.param.partition(".")[0].partition("[")[0] in body
        return
    DIALECT.encode_request(request, HOME)
    DIALECT.encode_request(_foreign(request), ModelProfile())


@given(mutated(requests))
@some
def test_peeking_never_fails_otherwise(body):
    try:
        DIALECT.peek(dumped(body))
    except InvalidRequest as error:
        assert error.param is not None


@given(answers())
@many
def test_an_answer_survives_its_own_dialect(answer):
    response = DIALECT.decode_response(dumped(answer), UPSTREAM)
    encoded = DIALECT.encode_response(response, DOWNSTREAM)
    assert json.loads(encoded.body) == json.loads(dumped(answer))
    assert encoded.losses == ()


@given(answers(), st.integers(1, 5), sizes, st.booleans())
@many
def test_a_stream_says_what_the_whole_answer_says_however_it_is_split(answer, piece, size, as_array):
    frames = cut(answer, piece)
    data = array(frames) if as_array else sse(frames)
    response = accumulate(decode_stream(data, size))
    whole = DIALECT.decode_response(dumped(answer), UPSTREAM)
    assert [output.message.parts for output in response.outputs] == [output.message.parts for output in whole.outputs]
    assert [output.finish for output in response.outputs] == [output.finish for output in whole.outputs]
    assert [output.extra for output in response.outputs] == [output.extra for output in whole.outputs]
    assert response.usage == whole.usage


@given(answers(), st.integers(1, 5), st.booleans())
@many
def test_a_stream_survives_its_own_dialect(answer, piece, as_sse):
    events = decode_stream(sse(cut(answer, piece)))
    data = encode_stream(events, Downstream("m", "r", sse=as_sse))
    assert accumulate(decode_stream(data)) == accumulate(events)


@given(answers())
@many
def test_a_whole_answer_can_be_streamed(answer):
    response = DIALECT.decode_response(dumped(answer), UPSTREAM)
    events = explode(response)
    assert accumulate(events) == response
    streamed = accumulate(decode_stream(encode_stream(events)))
    assert [output.finish for output in streamed.outputs] == [output.finish for output in response.outputs]
    assert [o.message.parts for o in streamed.outputs] == [o.message.parts for o in response.outputs]
    assert streamed.usage == response.usage


@given(answers(), st.integers(1, 5), sizes, st.booleans())
@many
def test_the_relay_changes_no_byte_and_meters_what_the_decoder_meters(answer, piece, size, as_array):
    frames = cut(answer, piece)
    data = array(frames) if as_array else sse(frames, b"\n")
    relay = DIALECT.relay(Peek(None))
    out = b"".join(relay.feed(data[at : at + size]) for at in range(0, len(data), size)) + relay.close()
    response = accumulate(decode_stream(data))
    assert out == data
    assert relay.metered.usage == response.usage
    assert relay.metered.finish == response.finish
    assert relay.metered.finished


@given(answers(), st.data())
@many
def test_broken_streams_raise_our_errors_only(answer, data):
    whole = sse(cut(answer, 3))
    at = data.draw(st.integers(0, len(whole)))
    noise = data.draw(st.one_of(st.binary(max_size=4), st.just(b"\n\n"), st.just(b'data: {"error":')))
    broken = data.draw(st.sampled_from([whole[:at] + noise + whole[at:], whole[:at], whole[:at] + whole[at + 1 :]]))
    relay = DIALECT.relay(Peek(None))
    relay.feed(broken)
    relay.close()
    try:
        accumulate(decode_stream(broken, data.draw(sizes)))
    except ExecutionPlatformError as error:
        assert isinstance(error, ProviderError)


@given(mutated(answers()))
@many
def test_odd_answers_raise_our_errors_only(answer):
    body = dumped(answer)
    for read in (
        lambda: DIALECT.decode_response(body, UPSTREAM),
        lambda: DIALECT.meter(body),
        lambda: accumulate(decode_stream(b"data: " + body + b"\n\n")),
    ):
        try:
            read()
        except ExecutionPlatformError as error:
            assert isinstance(error, ProviderError)


@given(json_values)
@some
def test_any_json_is_read_or_refused(value):
    body = dumped(value)
    with pytest.raises(InvalidRequest):
        DIALECT.decode_request(body)
    for read in (
        lambda: DIALECT.decode_response(body, UPSTREAM),
        lambda: DIALECT.meter(body),
        lambda: DIALECT.decode_models(body),
    ):
        try:
            read()
        except ExecutionPlatformError as error:
            assert isinstance(error, ProviderError)
    DIALECT.decode_error(400, {}, body)
