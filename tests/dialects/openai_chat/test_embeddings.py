"""Embeddings, both ways."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.exceptions import InvalidRequest, ProtocolError, ProviderError
from execution_platform.spi import EmbeddingsRequest, EmbeddingsResponse, Usage

CODEC = DIALECT.embeddings
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("given_", "inputs"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (["a", [1]], ["a", [1]]),
    ],
)
def test_inputs_come_in_four_forms(given_, inputs):
    body = {"model": "m", "input": given_, "dimensions": 8, "encoding_format": "float", "user": "u", "x": 1}
    request = CODEC.decode_request(json.dumps(body).encode())
    assert list(request.inputs) == inputs
    assert (request.model, request.dimensions, request.encoding_format, request.user) == ("m", 8, "float", "u")
    encoded = CODEC.encode_request(request)
    assert json.loads(encoded.body) == body
    assert encoded.losses == ()


def test_the_model_may_come_from_elsewhere():
    assert CODEC.decode_request(b'{"input":"a","model":"m"}', model="p/m").model == "p/m"
    assert CODEC.path("m") == "/embeddings"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "input"),
        (b'{"input":[]}', "input"),
        (b'{"input":5}', "input"),
        (b'{"input":["a",5]}', "input[1]"),
        (b'{"input":[1,true]}', "input[0]"),
        (b'{"input":"a","encoding_format":"int8"}', "encoding_format"),
        (b'{"input":"a","dimensions":"x"}', "dimensions"),
        (b"nope", None),
    ],
)
def test_wrong_requests_name_the_member(body, param):
    with pytest.raises(InvalidRequest) as raised:
        CODEC.decode_request(body)
    assert raised.value.param == param


def test_what_this_api_has_no_slot_for_is_lost():
    encoded = CODEC.encode_request(
        EmbeddingsRequest(["a"], "m", task="RETRIEVAL", title="t", dialect="gemini", extra={"y": 1})
    )
    assert json.loads(encoded.body) == {"model": "m", "input": "a"}
    assert {loss.path for loss in encoded.losses} == {"task", "title", "y"}


@given(
    st.lists(st.lists(floats, min_size=1, max_size=4), min_size=1, max_size=3),
    st.sampled_from([None, "float", "base64"]),
)
def test_vectors_survive_both_forms(vectors, form):
    request = EmbeddingsRequest(["a"] * len(vectors), "m", encoding_format=form)
    response = EmbeddingsResponse([tuple(vector) for vector in vectors], "m", Usage(3))
    again = CODEC.decode_response(CODEC.encode_response(response, request))
    assert again.vectors == tuple(response.vectors)
    assert (again.model, again.usage.input_tokens) == ("m", 3)


def test_base64_is_little_endian_float32():
    response = EmbeddingsResponse([(1.0, -2.5)])
    wire = json.loads(CODEC.encode_response(response, EmbeddingsRequest(["a"], "m", encoding_format="base64")))
    assert base64.b64decode(wire["data"][0]["embedding"]) == struct.pack("<2f", 1.0, -2.5)
    assert (wire["model"], wire["usage"]) == ("m", {"prompt_tokens": 0, "total_tokens": 0})


def test_vectors_are_put_in_order_and_leftovers_kept():
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    response = CODEC.decode_response(json.dumps({"object": "list", "data": data, "id": "e", "note": None}).encode())
    assert response.vectors == ((1.0,), (2.0,))
    assert response.extra == {"id": "e"}
    assert response.usage is None


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"data":[]}',
        b'{"data":[{}]}',
        b'{"data":[{"embedding":["a"]}]}',
        b'{"data":[{"embedding":"!"}]}',
        b'{"data":[{"embedding":"AAA="}]}',
    ],
)
def test_anything_else_is_the_providers_fault(body):
    with pytest.raises(ProtocolError):
        CODEC.decode_response(body)


def test_an_error_in_a_200_is_raised():
    with pytest.raises(ProviderError, match="no such model"):
        CODEC.decode_response(b'{"error":{"message":"no such model","code":"model_not_found"}}')
