"""Answers of a Gemini provider, and the paths they come from."""

import json

import pytest

from dialects.gemini.telling import decode_stream
from execution_platform.dialects.base import Downstream, Upstream
from execution_platform.dialects.gemini import DIALECT
from execution_platform.exceptions import InvalidRequest, ProviderError
from execution_platform.spi import (
    ChatResponse,
    Finish,
    FinishReason,
    Message,
    Origin,
    Output,
    Signature,
    Usage,
    accumulate,
    explode,
)
from execution_platform.spi.events import (
    UsageReported,
)

AWAY = Origin(dialect="anthropic", provider="anthropic")
HOME = Origin(dialect="gemini", provider="gemini")
DOWN = Downstream("asked", "resp_1")
STOP = Finish(FinishReason.STOP, "end_turn")


def answer(*parts, finish=STOP, **rest):
    return ChatResponse((Output(Message("assistant", parts), finish),), origin=rest.pop("origin", AWAY), **rest)


def encode(response):
    encoded = DIALECT.encode_response(response, DOWN)
    return json.loads(encoded.body), [f"{loss.severity} {loss.path}" for loss in encoded.losses]


def parts_of(*parts):
    wire, losses = encode(answer(*parts))
    return wire["candidates"][0]["content"]["parts"], losses


def streamed(response):
    """The parts a client collects from the chunks."""
    encoder = DIALECT.stream_encoder(DOWN)
    data = encoder.send(explode(response)) + encoder.close()
    chunks = [json.loads(frame[6:]) for frame in data.split(b"\n\n") if frame]
    return chunks, [
        part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"] if part != {"text": ""}
    ]


# Names of tools


def test_names_that_were_changed_for_the_target_come_back_declared():
    body = {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"functionCall": {"name": "a_b_1", "args": {}}}]},
                "finishReason": "STOP",
            }
        ]
    }
    upstream = Upstream(HOME, {"a_b_1": "a/b"})
    assert DIALECT.decode_response(json.dumps(body).encode(), upstream).tool_calls[0].name == "a/b"
    decoder = DIALECT.stream_decoder(upstream)
    events = decoder.feed(b"data: " + json.dumps(body).encode() + b"\n\n") + decoder.close()
    assert accumulate(events).tool_calls[0].name == "a/b"


def test_a_signature_of_an_answer_knows_its_whole_origin():
    origin = Origin(dialect="gemini", provider="vertex", deployment="eu", model="m")
    body = {
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "x", "thoughtSignature": "QQ=="}]}, "finishReason": "STOP"}
        ]
    }
    response = DIALECT.decode_response(json.dumps(body).encode(), Upstream(origin))
    assert response.message.parts[0].signature == Signature("QQ==", origin, "thought")


def test_synthetic_ids_differ_between_calls_and_answers_and_repeat_for_the_same():
    def ids(response_id):
        call = {"functionCall": {"name": "f", "args": {}}}
        body = {"responseId": response_id, "candidates": [{"content": {"parts": [call, call]}, "finishReason": "STOP"}]}
        return [c.call_id for c in DIALECT.decode_response(json.dumps(body).encode(), Upstream(HOME)).tool_calls]

    assert len({*ids("a"), *ids("b")}) == 4
    assert ids("a") == ids("a")


def test_a_cut_stream_has_told_its_usage_on_the_way():
    chunk = {
        "candidates": [{"content": {"parts": [{"text": "x"}]}}],
        "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 1},
    }
    events = DIALECT.stream_decoder(Upstream(HOME)).feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert UsageReported(Usage(7, 1), final=False) in events


@pytest.mark.parametrize("path", ["$", "city", "$.a[x]", "$.a[0].b[9999]", "$[0]"])
def test_partial_arguments_at_impossible_places_are_refused(path):
    part = {"functionCall": {"name": "f", "partialArgs": [{"jsonPath": path, "stringValue": "x"}]}}
    chunk = {"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]}
    data = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    with pytest.raises(ProviderError, match="partial argument"):
        decode_stream(data)


# Paths


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "/models/gemini-2.5-flash"),
        ("tunedModels/mine", "/tunedModels/mine"),
        ("publishers/google/models/x@001", "/publishers/google/models/x@001"),
        ("org/model", "/models/org/model"),
    ],
)
def test_paths_name_the_model(model, path):
    assert DIALECT.chat_path(model, stream=False) == f"{path}:generateContent"
    assert DIALECT.chat_path(model, stream=True) == f"{path}:streamGenerateContent?alt=sse"
    assert DIALECT.embeddings.path(model) == f"{path}:batchEmbedContents"
    assert DIALECT.count.path(model) == f"{path}:countTokens"


@pytest.mark.parametrize(
    "model",
    ["", "a b", "a?b", "a#b", "../x", "a/../b", "a//b", "/a", "a/", "a%2e", "a\n", "ü", "./a", "models/", "a&b"],
)
def test_names_that_could_lead_elsewhere_are_refused(model):
    with pytest.raises(InvalidRequest, match="cannot be part of a path") as caught:
        DIALECT.chat_path(model, stream=False)
    assert caught.value.param == "model"
