"""Embeddings, token counts, model lists, peeking and patching."""

import json

import pytest

from execution_platform.dialects.base import ModelEntry, Peek
from execution_platform.dialects.gemini import DIALECT
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError, ProviderError
from execution_platform.spi import EmbeddingsRequest, EmbeddingsResponse, Message, ModelProfile, ToolDefinition, Usage
from execution_platform.spi.request import ChatRequest

EMBED, COUNT = DIALECT.embeddings, DIALECT.count


def body(value):
    return json.dumps(value).encode()


def content(*texts):
    return {"parts": [{"text": text} for text in texts]}


def single(text, **settings):
    return {"model": "models/e", "content": content(text), **settings}


# Embeddings


def test_one_text_to_embed():
    request = EMBED.decode_request(
        body({"content": content("a", "b"), "taskType": "RETRIEVAL_DOCUMENT", "title": "t", "outputDimensionality": 8}),
        model="models/e",
    )
    assert request == EmbeddingsRequest(
        ["a\nb"],
        "e",
        dimensions=8,
        task="RETRIEVAL_DOCUMENT",
        title="t",
        dialect="gemini",
        extra={"embedContent": None},
    )
    answer = EMBED.encode_response(EmbeddingsResponse([[0.5, 1]], usage=Usage(3)), request)
    assert json.loads(answer) == {"embedding": {"values": [0.5, 1]}, "usageMetadata": {"promptTokenCount": 3}}


def test_many_texts_to_embed():
    request = EMBED.decode_request(body({"requests": [single("a", taskType="X"), single("b", taskType="X")]}))
    assert (request.inputs, request.model, request.task, request.extra) == (["a", "b"], "e", "X", {})
    assert json.loads(EMBED.encode_response(EmbeddingsResponse([[1], [2]]), request)) == {
        "embeddings": [{"values": [1]}, {"values": [2]}]
    }


def test_settings_of_each_text_survive_for_the_same_dialect():
    given = [
        single("a", title="A", x=1),
        {"model": "models/e", "content": content("b"), "embedContentConfig": {"title": "B", "outputDimensionality": 4}},
    ]
    request = EMBED.decode_request(body({"requests": given}))
    assert request.title is None
    sent = json.loads(EMBED.encode_request(request).body)["requests"]
    assert sent == [single("a", title="A", x=1), single("b", title="B", outputDimensionality=4)]


def test_texts_of_other_dialects_are_sent_as_a_batch():
    request = EmbeddingsRequest(
        ["a", "b"], "e", dimensions=4, task="T", title="t", user="u", dialect="openai_chat", extra={"x": 1}
    )
    encoded = EMBED.encode_request(request)
    settings = {"taskType": "T", "title": "t", "outputDimensionality": 4}
    assert json.loads(encoded.body) == {"requests": [single("a", **settings), single("b", **settings)]}
    assert [loss.path for loss in encoded.losses] == ["x", "user"]


@pytest.mark.parametrize(
    ("wire", "param"),
    [
        ({}, "content"),
        ({"requests": []}, "requests"),
        ({"requests": [1]}, "requests[0]"),
        ({"requests": [{}]}, "requests[0].content"),
        ({"content": {"parts": [{"inlineData": {}}]}}, "content.parts[0]"),
        ({"content": {"parts": 5}}, "content.parts"),
        ({"content": content("a"), "outputDimensionality": "x"}, "outputDimensionality"),
        (
            {"requests": [{"content": content("a"), "embedContentConfig": {"title": 1}}]},
            "requests[0].embedContentConfig.title",
        ),
    ],
)
def test_what_cannot_be_embedded_is_named(wire, param):
    with pytest.raises(InvalidRequest) as caught:
        EMBED.decode_request(body(wire))
    assert caught.value.param == param


def test_token_ids_cannot_be_embedded():
    with pytest.raises(InvalidRequest, match="token ids"):
        EMBED.encode_request(EmbeddingsRequest([[1, 2]], "e"))


def test_vectors_are_read_in_either_form():
    assert EMBED.decode_response(body({"embedding": {"values": [1, 0.5]}})).vectors == [[1, 0.5]]
    many = EMBED.decode_response(
        body({"embeddings": [{"values": [1]}, {"values": []}], "usageMetadata": {"promptTokenCount": 2}, "x": 1})
    )
    assert (many.vectors, many.usage.input_tokens, many.extra) == ([[1], []], 2, {"x": 1})


@pytest.mark.parametrize(
    "wire",
    [
        {},
        [],
        {"embeddings": 1},
        {"embeddings": [{}]},
        {"embedding": {"values": ["x"]}},
        {"embedding": {"values": [True]}},
    ],
)
def test_what_is_no_vector_is_refused(wire):
    with pytest.raises(ProtocolError):
        EMBED.decode_response(body(wire))


def test_an_error_in_place_of_vectors_is_an_error():
    with pytest.raises(ProviderError) as caught:
        EMBED.decode_response(body({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}))
    assert caught.value.kind is ErrorKind.RATE_LIMIT


# Counting


@pytest.mark.parametrize("wrap", [True, False])
def test_both_forms_of_a_count_are_requests(wrap):
    inner = {
        "contents": [{"role": "user", "parts": [{"text": "a"}]}],
        "systemInstruction": content("s"),
        "tools": [{"functionDeclarations": [{"name": "f"}]}],
    }
    wire = {"generateContentRequest": {"model": "models/m", **inner}} if wrap else inner
    request = COUNT.decode_request(body(wire), model="m")
    assert (request.model, [m.text for m in request.messages], request.tools[0].name) == ("m", ["s", "a"], "f")
    sent = json.loads(COUNT.encode_request(request, ModelProfile()).body)
    assert sent == {"generateContentRequest": {"model": "models/m", **inner}}


def test_a_wrong_type_in_a_count_names_its_place():
    with pytest.raises(InvalidRequest) as caught:
        COUNT.decode_request(body({"generateContentRequest": {"contents": [{"role": 5}]}}))
    assert caught.value.param == "generateContentRequest.contents[0].role"


def test_a_count_of_another_dialect_counts_system_text_and_tools_too():
    request = ChatRequest([Message("user", "a")], "m", system="s", tools=[ToolDefinition("f")], dialect="anthropic")
    inner = json.loads(COUNT.encode_request(request, ModelProfile()).body)["generateContentRequest"]
    assert inner.keys() == {"model", "systemInstruction", "contents", "tools"}


def test_counts_are_numbers():
    assert COUNT.decode_response(body({"totalTokens": 31, "promptTokensDetails": []})) == 31
    assert COUNT.decode_response(body({"totalTokens": "31"})) == 31
    assert COUNT.decode_response(body({"promptTokensDetails": []})) == 0
    assert json.loads(COUNT.encode_response(5)) == {"totalTokens": 5}


@pytest.mark.parametrize("wire", [{}, {"totalTokens": "many"}, {"totalTokens": None}, 5])
def test_what_is_no_count_is_refused(wire):
    with pytest.raises(ProtocolError):
        COUNT.decode_response(body(wire))


def test_an_error_in_place_of_a_count_is_an_error():
    with pytest.raises(ProviderError, match="no"):
        COUNT.decode_response(body({"error": {"code": 403, "message": "no"}}))


# Models


def test_models_are_listed_by_resource_name():
    listing = DIALECT.encode_models(
        [ModelEntry("a/b", display_name="B", context_window=9, max_output_tokens=3), ModelEntry("c")]
    )
    assert json.loads(listing)["models"] == [
        {
            "name": "models/a/b",
            "version": "",
            "displayName": "B",
            "inputTokenLimit": 9,
            "outputTokenLimit": 3,
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        },
        {
            "name": "models/c",
            "version": "",
            "displayName": "c",
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
        },
    ]
    assert DIALECT.decode_models(listing) == ["a/b", "c"]
    assert DIALECT.decode_models(b"{}") == []


@pytest.mark.parametrize("wire", [b"[]", b"x", b'{"models": 1}'])
def test_what_is_no_listing_is_refused(wire):
    with pytest.raises(ProtocolError):
        DIALECT.decode_models(wire)


def test_an_error_in_place_of_a_listing_is_an_error():
    with pytest.raises(ProviderError, match="no"):
        DIALECT.decode_models(b'{"error": {"message": "no"}}')


# Passthrough


@pytest.mark.parametrize(
    ("wire", "found"),
    [
        ({}, Peek(None)),
        (
            {"generationConfig": {"maxOutputTokens": 5, "candidateCount": 2}, "tools": [{}]},
            Peek(None, max_tokens=5, n=2, has_tools=True),
        ),
        ({"generation_config": {"max_output_tokens": 5}, "tools": []}, Peek(None, max_tokens=5)),
        ({"model": "models/m"}, Peek("m")),
    ],
)
def test_a_body_is_peeked_at(wire, found):
    assert DIALECT.peek(body(wire)) == found


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b"[]", "body"),
        (b"x", None),
        (b'{"model":1}', "model"),
        (b'{"generationConfig":[]}', "generationConfig"),
        (b'{"generationConfig":{"maxOutputTokens":"x"}}', "generationConfig.maxOutputTokens"),
    ],
)
def test_peeking_at_a_wrong_body_names_the_place(data, param):
    with pytest.raises(InvalidRequest) as caught:
        DIALECT.peek(data)
    assert caught.value.param == param


def test_patching_changes_nothing_but_a_model_in_the_body():
    plain = b'{ "contents" : [ ] }'
    assert DIALECT.patch(plain, DIALECT.peek(plain), "m2") == plain
    named = b'{ "model" : "models/m1", "contents" : [ ] }'
    assert DIALECT.patch(named, DIALECT.peek(named), "m2") == b'{ "model" : "models/m2", "contents" : [ ] }'


def test_a_whole_error_is_metered_as_one():
    metered = DIALECT.meter(body({"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}))
    assert metered.error.kind is ErrorKind.OVERLOADED
    assert not metered.committed


@pytest.mark.parametrize("data", [b"<html>", b"[]", b"{}", b'{"x":1}', b"5"])
def test_what_is_no_answer_is_not_metered(data):
    with pytest.raises(ProtocolError):
        DIALECT.meter(data)


def frame(text=None, **members):
    parts = [] if text is None else [{"text": text}]
    return (
        b"data: "
        + body({"candidates": [{"content": {"parts": parts}, **members.pop("candidate", {})}], **members})
        + b"\r\n\r\n"
    )


def test_the_relay_holds_half_a_frame_back_and_drops_it_at_a_cut():
    relay = DIALECT.relay(Peek(None))
    whole, half = frame("a"), frame("b")[:-20]
    assert relay.feed(whole + half) == whole
    assert relay.metered.committed
    assert relay.close() == b""
    assert not relay.metered.finished


def test_the_relay_commits_with_the_first_content_and_not_before():
    relay = DIALECT.relay(Peek(None))
    relay.feed(frame(""))
    assert not relay.metered.committed
    relay.feed(frame("x"))
    assert relay.metered.committed


def test_the_relay_knows_the_usage_of_a_long_stream_on_the_way():
    relay = DIALECT.relay(Peek(None))
    relay.feed(frame("a", usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": 1}))
    for count in range(2, 200):
        relay.feed(frame("a", usageMetadata={"promptTokenCount": 5, "candidatesTokenCount": count}))
    assert relay.metered.usage.input_tokens == 5
    assert 100 < relay.metered.usage.output_tokens < 200
    relay.close()
    assert relay.metered.usage.output_tokens == 199


def test_the_relay_notes_an_error():
    relay = DIALECT.relay(Peek(None))
    relay.feed(b'data: {"error":{"code":503,"status":"UNAVAILABLE","message":"busy"}}\n\n')
    assert relay.metered.error.kind is ErrorKind.OVERLOADED


@pytest.mark.parametrize("before", [b"", frame("a"), frame("a") + frame("b")])
@pytest.mark.parametrize("after", [b"", frame("a"), frame("a", finishReason="STOP")])
@pytest.mark.parametrize("junk", [b"{broken", b"{broken}", b'{"candidates":[', b"5", b"nonsense", b"[1]"])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_nothing_is_passed_on_from_the_first_broken_chunk(before, after, junk, end):
    """R7 T3: before the first content another target can still answer, later the gateway tells the failure."""
    relay = DIALECT.relay(Peek(None))
    before, after = before.replace(b"\n\n", end), after.replace(b"\n\n", end)
    relay.feed(before)
    assert relay.feed(before + b"data: " + junk + end + after) == before
    assert isinstance(relay.metered.broken, ProtocolError)


@pytest.mark.parametrize("junk", [b"nonsense", b"{broken}", b'"a"'])
def test_nothing_is_passed_on_from_the_first_element_that_is_no_object(junk):
    """R7: the gateway closes the array with the failure."""
    relay = DIALECT.relay(Peek(None))
    element = frame("a").removeprefix(b"data: ").rstrip()
    assert relay.feed(b"[" + element) == b"[" + element
    assert relay.feed(b",\n" + junk + b",\n" + element) in (b"", b",\n")
    assert isinstance(relay.metered.broken, ProtocolError)
