"""Answers of other providers, told to a Gemini client, whole and streamed."""

import json

import pytest

from dialects.gemini.telling import decode_stream, encode_stream
from execution_platform.dialects.base import Downstream, Upstream
from execution_platform.dialects.envelope import BASE64_MARK
from execution_platform.dialects.gemini import DIALECT
from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.spi import (
    ChatResponse,
    Citation,
    CompactionPart,
    FileRef,
    Finish,
    FinishReason,
    Inline,
    MediaPart,
    Message,
    OpaquePart,
    Origin,
    Output,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
    Usage,
    accumulate,
    explode,
)
from execution_platform.spi.events import (
    ArgumentsDelta,
    Failed,
    Finished,
    LogprobsDelta,
    MediaDelta,
    PartDelta,
    PartFinished,
    PartStarted,
    Raw,
    RefusalDelta,
    SignatureDelta,
    Started,
    SummaryDelta,
    TextDelta,
    ThinkingDelta,
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


def test_an_answer_has_the_vendors_shape():
    wire, losses = encode(
        answer(TextPart("hi"), usage=Usage(12, 7, reasoning_tokens=3, cache_read_tokens=5), id="msg_1", model="claude")
    )
    assert wire == {
        "candidates": [{"content": {"parts": [{"text": "hi"}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 12,
            "candidatesTokenCount": 4,
            "thoughtsTokenCount": 3,
            "cachedContentTokenCount": 5,
            "totalTokenCount": 19,
        },
        "modelVersion": "claude",
        "responseId": "msg_1",
    }
    assert losses == []


def test_an_answer_without_names_gets_those_of_the_request():
    wire, _ = encode(answer(TextPart("hi")))
    assert (wire["modelVersion"], wire["responseId"]) == ("asked", "resp_1")
    assert "usageMetadata" not in wire


def test_usage_in_parts_stays_inclusive():
    usage = Usage(100, 20, tool_prompt_tokens=10, input_audio_tokens=4, input_image_tokens=6, output_audio_tokens=2)
    wire, _ = encode(answer(TextPart("x"), usage=usage))
    assert wire["usageMetadata"] == {
        "promptTokenCount": 90,
        "candidatesTokenCount": 20,
        "toolUsePromptTokenCount": 10,
        "totalTokenCount": 120,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}, {"modality": "IMAGE", "tokenCount": 6}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
    }
    again = DIALECT.decode_response(json.dumps(wire).encode(), Upstream(HOME)).usage
    assert again == usage


def test_usage_of_another_wire_is_not_repeated():
    wire, _ = encode(answer(TextPart("x"), usage=Usage(1, 2, raw={"input_tokens": 1})))
    assert wire["usageMetadata"] == {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}
    assert "usageMetadata" not in encode(answer(TextPart("x"), usage=Usage()))[0]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        (FinishReason.STOP, "STOP"),
        (FinishReason.STOP_SEQUENCE, "STOP"),
        (FinishReason.TOOL_CALLS, "STOP"),
        (FinishReason.LENGTH, "MAX_TOKENS"),
        (FinishReason.CONTEXT_WINDOW, "MAX_TOKENS"),
        (FinishReason.CONTENT_FILTER, "SAFETY"),
        (FinishReason.REFUSAL, "SAFETY"),
        (FinishReason.PAUSE, "OTHER"),
        (FinishReason.COMPACTION, "OTHER"),
        (FinishReason.ERROR, "OTHER"),
        (FinishReason.UNKNOWN, "OTHER"),
    ],
)
def test_every_end_has_a_word(reason, word):
    response = answer(TextPart("x"), finish=Finish(reason, "their_word"))
    assert encode(response)[0]["candidates"][0]["finishReason"] == word
    assert streamed(response)[0][-1]["candidates"][0]["finishReason"] == word


def test_calls_come_whole_with_the_ids_the_client_may_use():
    calls = [
        ToolCallPart("toolu_1", "f", '{"b":1,"a":2}'),
        ToolCallPart("epc_2", "g", "", synthetic_id=True),
        ToolCallPart("c3", "h", "oops"),
    ]
    wires, losses = parts_of(TextPart("a"), *calls)
    assert wires == [
        {"text": "a"},
        {"functionCall": {"name": "f", "args": {"b": 1, "a": 2}, "id": "toolu_1"}},
        {"functionCall": {"name": "g", "args": {}}},
        {"functionCall": {"name": "h", "args": {"_unparsed_arguments": "oops"}, "id": "c3"}},
    ]
    assert losses == ["knob candidates[0].content.parts[3].arguments"]
    assert streamed(answer(TextPart("a"), *calls))[1] == wires


def test_tokens_of_other_providers_travel_in_base64_that_clients_can_decode():
    thought = ThinkingPart("hm", signature=Signature("secret", AWAY), id="rs_1")
    wires, losses = parts_of(thought, ThinkingPart(redacted=True, signature=Signature("blob", AWAY, "redacted")))
    assert losses == []
    assert [wire["thoughtSignature"].encode().startswith(BASE64_MARK) for wire in wires] == [True, True]
    assert wires[0]["text"] == "hm"
    assert wires[1] == {"text": "", "thought": True, "thoughtSignature": wires[1]["thoughtSignature"]}
    back = (
        DIALECT.decode_request(json.dumps({"contents": [{"role": "model", "parts": wires}]}).encode()).messages[0].parts
    )
    assert back == (thought, ThinkingPart(redacted=True, signature=Signature("blob", AWAY, "redacted")))


def test_a_streamed_thought_comes_back_whole_from_a_client_that_collects_chunks():
    thought = ThinkingPart("hm mm", signature=Signature("secret", AWAY), id="rs_1")
    summary = ThinkingPart(
        summary=("one", "two"), signature=Signature("enc", Origin(dialect="openai_responses"), "encrypted"), id="rs_2"
    )
    events = [
        Started(origin=AWAY),
        PartStarted(0, ThinkingPart("", id="rs_1")),
        PartDelta(0, ThinkingDelta("hm ")),
        PartDelta(0, ThinkingDelta("mm")),
        PartDelta(0, SignatureDelta(thought.signature)),
        PartFinished(0),
        PartStarted(1, ThinkingPart("", id="rs_2")),
        PartDelta(1, SummaryDelta("one", 0)),
        PartDelta(1, SummaryDelta("two", 1)),
        PartFinished(1, summary),
        PartStarted(2, TextPart("")),
        PartDelta(2, TextDelta("ok")),
        PartFinished(2),
        Finished(STOP),
    ]
    chunks = [json.loads(frame[6:]) for frame in encode_stream(events).split(b"\n\n") if frame]
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    back = (
        DIALECT.decode_request(json.dumps({"contents": [{"role": "model", "parts": parts}]}).encode()).messages[0].parts
    )
    assert back[0] == thought
    assert back[1].summary == ("one\n\ntwo",)
    assert back[1].signature == summary.signature
    assert back[1].id == "rs_2"
    assert accumulate(decode_stream(encode_stream(events))).message.parts[0] == thought


@pytest.mark.parametrize(
    "part",
    [
        ToolCallPart("c", "web_search", "{}", kind="server"),
        ToolResultPart("c", (TextPart("x"),)),
        ToolResultPart("c", kind="server", raw={"x": 1}),
        OpaquePart("anthropic", {"type": "x"}),
        MediaPart("image", FileRef("file_1", AWAY)),
    ],
)
def test_parts_a_client_cannot_have_are_a_loss_of_content(part):
    wires, losses = parts_of(part, TextPart("x"))
    assert wires == [{"text": "x"}]
    assert losses == ["content candidates[0].content.parts[0]"]
    encoder = DIALECT.stream_encoder(DOWN)
    encoder.send(explode(answer(part, TextPart("x"))))
    assert [(loss.severity, loss.path) for loss in encoder.losses] == [("content", "candidates[0].content.parts[0]")]


def test_media_and_summaries_of_an_answer_take_the_wires_form():
    media = MediaPart("image", Inline("image/png", "QUJD"))
    linked = MediaPart("image", Url("https://x.test/a.png"))
    response = answer(media, linked, CompactionPart("so far"), TextPart("no", refusal=True))
    expected = [
        {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
        {"fileData": {"fileUri": "https://x.test/a.png", "mimeType": "image/png"}},
        {"text": "so far"},
        {"text": "no"},
    ]
    assert encode(response)[0]["candidates"][0]["content"]["parts"] == expected
    assert streamed(response)[1] == expected


def test_sources_become_grounding_in_bytes():
    text = "Zoë says hi"
    cited = TextPart(
        text,
        citations=(
            Citation(kind="url", start=4, end=8, url="https://a.test", title="A"),
            Citation(kind="url", url="https://b.test"),
            Citation(kind="page", cited_text="p"),
        ),
    )
    expected = {
        "groundingChunks": [{"web": {"uri": "https://a.test", "title": "A"}}, {"web": {"uri": "https://b.test"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 5, "endIndex": 9, "text": "says"}, "groundingChunkIndices": [0]}
        ],
    }
    wire, losses = encode(answer(cited))
    assert wire["candidates"][0]["groundingMetadata"] == expected
    assert losses == ["knob candidates[0].citations"]
    chunks, _ = streamed(answer(cited))
    assert chunks[-1]["candidates"][0]["groundingMetadata"] == expected
    back = DIALECT.decode_response(json.dumps(wire).encode(), Upstream(HOME)).message.parts[0]
    assert [(c.start, c.end, c.url, c.cited_text) for c in back.citations] == [(4, 8, "https://a.test", "says")]


def test_a_source_names_the_part_it_belongs_to():
    parts = [
        TextPart("same"),
        ToolCallPart("c", "f"),
        TextPart("same", citations=(Citation(kind="url", start=0, end=4, url="https://a.test"),)),
    ]
    wire, _ = encode(answer(*parts))
    assert wire["candidates"][0]["groundingMetadata"]["groundingSupports"][0]["segment"]["partIndex"] == 2
    back = DIALECT.decode_response(json.dumps(wire).encode(), Upstream(HOME)).message.parts
    assert [len(part.citations) for part in (back[0], back[2])] == [0, 1]


def test_log_probabilities_take_the_wires_form():
    entry = {
        "token": "hi",
        "logprob": -0.5,
        "bytes": [104, 105],
        "top_logprobs": [{"token": "yo", "logprob": -2, "bytes": [121, 111]}],
    }
    expected = {
        "chosenCandidates": [{"token": "hi", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "yo", "logProbability": -2}]}],
    }
    response = answer(TextPart("hi", logprobs=[entry]))
    assert encode(response)[0]["candidates"][0]["logprobsResult"] == expected
    chunks, _ = streamed(response)
    assert chunks[0]["candidates"][0] == {
        "content": {"parts": [{"text": "hi"}], "role": "model"},
        "index": 0,
        "logprobsResult": expected,
    }
    assert accumulate(decode_stream(encode_stream(explode(response)))).message.parts[0].logprobs == [entry]


def test_log_probabilities_without_text_beside_them_are_not_lost():
    events = [
        Started(origin=AWAY),
        PartStarted(0, TextPart("")),
        PartDelta(0, LogprobsDelta([{"token": "a", "logprob": -1}])),
        PartDelta(0, TextDelta("a")),
        PartFinished(0),
        Finished(STOP),
    ]
    chunks = [json.loads(frame[6:]) for frame in encode_stream(events).split(b"\n\n") if frame]
    assert chunks[0]["candidates"][0]["logprobsResult"]["chosenCandidates"] == [{"token": "a", "logProbability": -1}]


def test_what_has_no_place_in_an_answer_is_told():
    response = answer(
        TextPart("x"), finish=Finish(FinishReason.STOP_SEQUENCE, "stop_sequence", "END"), service_tier="flex"
    )
    assert encode(response)[1] == ["knob candidates[0].stop_sequence", "knob service_tier"]
    encoder = DIALECT.stream_encoder(DOWN)
    encoder.send(explode(response))
    assert [loss.path for loss in encoder.losses] == ["service_tier", "stop_sequence"]


def test_several_outputs_are_several_candidates():
    outputs = tuple(Output(Message("assistant", word), STOP) for word in ("a", "b"))
    wire, _ = encode(ChatResponse(outputs, origin=AWAY))
    assert [(c["index"], c["content"]["parts"]) for c in wire["candidates"]] == [
        (0, [{"text": "a"}]),
        (1, [{"text": "b"}]),
    ]
    again = accumulate(decode_stream(encode_stream(explode(ChatResponse(outputs, origin=AWAY)))))
    assert [output.message.text for output in again.outputs] == ["a", "b"]


# Streams


def test_each_piece_of_text_is_a_chunk_and_the_last_has_the_end():
    events = [
        Started("id", "m", AWAY),
        PartStarted(0, TextPart("")),
        PartDelta(0, TextDelta("a")),
        PartDelta(0, TextDelta("ü\n")),
        PartFinished(0),
        UsageReported(Usage(1, 2)),
        Finished(STOP),
    ]
    about = {"modelVersion": "m", "responseId": "id"}
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in encode_stream(events).split(b"\n\n") if frame]
    said = [
        {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}], **about}
        for text in ("a", "ü\n")
    ]
    end = {
        "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
        **about,
    }
    assert chunks == [*said, end]
    assert json.loads(encode_stream(events, Downstream("m", "x", sse=False))) == [*said, end]


def test_an_empty_array_is_an_array():
    encoder = DIALECT.stream_encoder(Downstream("m", "x", sse=False))
    assert json.loads(encoder.send([]) + encoder.close()) == []


def test_deltas_of_every_kind_arrive():
    signature = Signature("S", HOME, "thought")
    events = [
        Started(origin=AWAY),
        PartStarted(0, TextPart("given ")),
        PartDelta(0, RefusalDelta("no")),
        PartDelta(0, SignatureDelta(signature)),
        PartFinished(0),
        PartStarted(1, ToolCallPart("c", "f", "")),
        PartStarted(2, ThinkingPart("deep ")),
        PartDelta(1, ArgumentsDelta('{"a"')),
        PartDelta(2, ThinkingDelta("thought")),
        PartDelta(1, ArgumentsDelta(":1}")),
        PartFinished(1),
        PartFinished(2),
        PartStarted(3, MediaPart("audio", Inline("audio/wav", ""))),
        PartDelta(3, MediaDelta("QU")),
        PartDelta(3, MediaDelta("JD")),
        PartFinished(3),
        Raw("anthropic", {"type": "ping"}),
        Raw("gemini", {"modelStatus": {}}),
        Finished(STOP),
    ]
    chunks = [json.loads(frame[6:]) for frame in encode_stream(events).split(b"\n\n") if frame]
    parts = [
        part for chunk in chunks for candidate in chunk.get("candidates", ()) for part in candidate["content"]["parts"]
    ]
    assert parts == [
        {"text": "given "},
        {"text": "no"},
        {"text": "", "thoughtSignature": "S"},
        {"text": "deep ", "thought": True},
        {"text": "thought", "thought": True},
        {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "QUJD"}},
        {"text": ""},
    ]
    assert {"modelStatus": {}, "modelVersion": "asked-model", "responseId": "req_1"} in chunks


@pytest.mark.parametrize("sse", [True, False])
@pytest.mark.parametrize("begun", [True, False])
def test_a_failure_ends_the_stream_in_its_form(sse, begun):
    error = ProviderError("slow down", kind=ErrorKind.RATE_LIMIT, retry_after=2)
    encoder = DIALECT.stream_encoder(Downstream("m", "x", sse=sse, extra={"request_id": "req_9"}))
    started = [Started(origin=AWAY), PartStarted(0, TextPart("")), PartDelta(0, TextDelta("a"))] if begun else []
    data = encoder.send(started) + encoder.send([Failed(error)]) + encoder.close()
    told = json.loads(data.rpartition(b"data: ")[2]) if sse else json.loads(data)[-1]
    assert told["error"]["code"] == 429
    assert told["error"]["details"][0]["metadata"]["request_id"] == "req_9"
    assert encoder.close() == b""
    with pytest.raises(ProviderError, match="slow down"):
        accumulate(decode_stream(data))


def test_a_blocked_prompt_is_told_to_a_client_of_the_same_dialect():
    body = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 1},
        "modelVersion": "m",
        "responseId": "r",
    }
    response = DIALECT.decode_response(json.dumps(body).encode(), Upstream(HOME))
    assert json.loads(encode_stream(explode(response))[6:]) == body


def test_the_heartbeat_is_a_blank_line_to_readers_of_either_form():
    assert DIALECT.heartbeat == b"\n"
