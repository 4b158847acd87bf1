"""Answers of other dialects on this wire, whole and as a stream: both say the same, and what they lose is told."""

import json

import pytest

from execution_platform.dialects import envelope
from execution_platform.dialects.base import Downstream, Upstream
from execution_platform.dialects.openai_chat import DIALECT
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
)
from execution_platform.spi.assemble import explode
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
    SignatureDelta,
    Started,
    TextDelta,
    UsageReported,
)

AWAY = Origin(dialect="anthropic", provider="anthropic", model="claude")
DOWN = Downstream("asked", "req-1", 5, include_usage=True)
UP = Upstream(Origin(dialect="openai_chat", provider="gateway"))


def answer(*parts, reason=FinishReason.STOP, **fields):
    finish = fields.pop("finish", None) or Finish(reason, "end_turn")
    return ChatResponse(
        [Output(Message("assistant", parts), finish, fields.pop("output_extra", {}))], origin=AWAY, **fields
    )


def whole(response):
    encoded = DIALECT.encode_response(response, DOWN)
    return json.loads(encoded.body), [(loss.path, loss.severity) for loss in encoded.losses]


def chunks(events, downstream=DOWN):
    encoder = DIALECT.stream_encoder(downstream)
    data = encoder.send(events) + encoder.close()
    frames = [frame.removeprefix(b"data: ") for frame in data.split(b"\n\n") if frame]
    return [json.loads(frame) if frame != b"[DONE]" else "[DONE]" for frame in frames], encoder.losses


def streamed(response):
    """The answer that the stream of `response` tells to a client of this dialect."""
    encoder = DIALECT.stream_encoder(DOWN)
    decoder = DIALECT.stream_decoder(UP)
    events = decoder.feed(encoder.send(explode(response)) + encoder.close()) + decoder.close()
    return accumulate(events), [(loss.path, loss.severity) for loss in encoder.losses]


def reread(response):
    return DIALECT.decode_response(DIALECT.encode_response(response, DOWN).body, UP)


def test_the_gateway_names_what_the_answer_does_not():
    body, losses = whole(answer(TextPart("hi"), id="msg_1", usage=Usage(3, 2)))
    assert body == {
        "id": "chatcmpl-req-1",
        "object": "chat.completion",
        "created": 5,
        "model": "asked",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    assert losses == []


@pytest.mark.parametrize(
    ("reason", "word", "is_lost"),
    [
        (FinishReason.STOP, "stop", False),
        (FinishReason.STOP_SEQUENCE, "stop", False),
        (FinishReason.LENGTH, "length", False),
        (FinishReason.CONTEXT_WINDOW, "length", False),
        (FinishReason.TOOL_CALLS, "tool_calls", False),
        (FinishReason.CONTENT_FILTER, "content_filter", False),
        (FinishReason.REFUSAL, "content_filter", False),
        (FinishReason.ERROR, "error", False),
        (FinishReason.PAUSE, "stop", True),
        (FinishReason.COMPACTION, "stop", True),
        (FinishReason.UNKNOWN, "stop", True),
    ],
)
def test_every_finish_reason_has_a_word(reason, word, is_lost):
    response = answer(TextPart("x"), reason=reason)
    body, losses = whole(response)
    assert body["choices"][0]["finish_reason"] == word
    assert losses == ([("choices[0].finish_reason", "knob")] if is_lost else [])
    assert streamed(response)[0].finish.raw == word
    assert streamed(response)[1] == losses


def test_the_stop_sequence_that_matched_is_told():
    response = answer(TextPart("x"), finish=Finish(FinishReason.STOP_SEQUENCE, "stop_sequence", "END"))
    assert whole(response)[0]["choices"][0]["stop_reason"] == "END"
    assert streamed(response)[0].finish == Finish(FinishReason.STOP_SEQUENCE, "stop", "END")


SEALED = [
    ThinkingPart("hm", signature=Signature("SIG", AWAY)),
    ThinkingPart(redacted=True, signature=Signature("RED", AWAY, "redacted")),
    ThinkingPart(
        summary=("one",), id="rs_1", signature=Signature("ENC", Origin(dialect="openai_responses"), "encrypted")
    ),
]


@pytest.mark.parametrize("part", SEALED)
def test_thinking_of_others_travels_sealed_and_comes_back_as_it_was(part):
    response = answer(part, TextPart("y"), reason=FinishReason.STOP)
    for told in (reread(response), streamed(response)[0]):
        found = told.message.parts[0]
        assert isinstance(found, ThinkingPart)
        assert found.signature == part.signature
        assert found.redacted == part.redacted
        assert found.text or "".join(found.summary) == part.text or "".join(part.summary)
    message = whole(response)[0]["choices"][0]["message"]
    history = {"model": "m", "messages": [message]}
    again = DIALECT.decode_request(json.dumps(history).encode()).messages[0].parts[0]
    assert isinstance(again, ThinkingPart)
    assert (again.signature, again.id, again.redacted) == (part.signature, part.id, part.redacted)
    assert (again.text, again.summary) == (part.text, part.summary)


def test_thinking_is_readable_without_the_details():
    message = whole(answer(*SEALED, TextPart("y")))[0]["choices"][0]["message"]
    assert message["reasoning_content"] == "hmone"
    assert [each["type"] for each in message["reasoning_details"]] == [
        "reasoning.text",
        "reasoning.encrypted",
        "reasoning.summary",
        "reasoning.encrypted",
    ]
    assert all(each["signature"].startswith("ep1.") for each in message["reasoning_details"] if "signature" in each)
    frames, _ = chunks(explode(answer(*SEALED, TextPart("y"))))
    deltas = [frame["choices"][0]["delta"] for frame in frames[:-1] if frame["choices"]]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "hmone"
    assert sum(len(delta.get("reasoning_details", [])) for delta in deltas) == 4


def test_signatures_of_calls_texts_and_images_travel_sealed():
    signature = Signature("THO", Origin(dialect="gemini", provider="gemini"), "thought")
    response = answer(
        TextPart("y", signature=signature),
        MediaPart("image", Inline("image/png", "AAAA"), signature=signature),
        ToolCallPart("c1", "f", signature=signature),
        reason=FinishReason.TOOL_CALLS,
    )
    for told in (reread(response), streamed(response)[0]):
        text, _, call = told.message.parts
        assert text.signature == call.signature == signature
    body, losses = whole(response)
    assert envelope.MARK in json.dumps(body["choices"][0]["message"]["images"]).encode()
    assert losses == []


def test_calls_always_have_arguments_a_client_can_parse():
    response = answer(
        ToolCallPart("c1", "f", ""), ToolCallPart("c2", "g", '{"b":1,"a":2}'), reason=FinishReason.TOOL_CALLS
    )
    assert [call.arguments for call in reread(response).tool_calls] == ["{}", '{"b":1,"a":2}']
    assert [call.arguments for call in streamed(response)[0].tool_calls] == ["{}", '{"b":1,"a":2}']


def test_a_call_that_is_replaced_at_its_end_tells_what_was_not_said():
    part = ToolCallPart("c1", "f", "")
    events = [
        Started(origin=AWAY),
        PartStarted(0, part),
        PartFinished(0, ToolCallPart("c1", "f", '{"a":1}')),
        Finished(Finish(FinishReason.TOOL_CALLS)),
    ]
    frames, _ = chunks(events)
    assert frames[2]["choices"][0]["delta"] == {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]}


def test_parallel_calls_are_numbered_as_they_open_and_may_interleave():
    events = [
        Started(origin=AWAY),
        PartStarted(0, TextPart("")),
        PartFinished(0),
        PartStarted(1, ToolCallPart("c1", "f", "")),
        PartStarted(2, ToolCallPart("c2", "g", "", signature=None)),
        PartDelta(2, ArgumentsDelta("{}")),
        PartDelta(1, ArgumentsDelta("[]")),
        PartDelta(1, SignatureDelta(Signature("S", AWAY))),
        PartFinished(1),
        PartFinished(2),
        Finished(Finish(FinishReason.TOOL_CALLS)),
    ]
    frames, _ = chunks(events)
    calls = [
        each for frame in frames if frame != "[DONE]" for each in frame["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert [each["index"] for each in calls] == [0, 1, 1, 0, 0]
    assert calls[-1]["extra_content"]["google"]["thought_signature"].startswith("ep1.")


def test_citations_count_from_the_start_of_the_whole_text():
    web = Citation(kind="url", url="https://x.test", title="T", opaque="idx")
    page = Citation(kind="page", document_index=0)
    response = answer(TextPart("one "), TextPart("two", citations=(web, page)))
    body, losses = whole(response)
    assert body["choices"][0]["message"]["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 4, "end_index": 7, "title": "T", "url": "https://x.test"},
        }
    ]
    assert losses == [("choices[0].message.content[1]", "knob")]
    told, losses = streamed(response)
    assert told.message.parts[-1].citations[0].start == 4
    assert losses == [("message.content[1].citations", "knob")]


def test_probabilities_stand_in_the_frame_of_their_text():
    tokens = [{"token": "hi", "logprob": -1, "bytes": None, "top_logprobs": []}]
    response = answer(TextPart("hi", logprobs=tokens))
    assert whole(response)[0]["choices"][0]["logprobs"] == {"content": tokens, "refusal": None}
    frames, _ = chunks(explode(response))
    assert frames[1]["choices"][0] == {
        "index": 0,
        "delta": {"content": "hi"},
        "logprobs": {"content": tokens, "refusal": None},
        "finish_reason": None,
    }
    alone, _ = chunks(
        [
            Started(),
            PartStarted(0, TextPart("", refusal=True)),
            PartDelta(0, LogprobsDelta(tokens)),
            PartFinished(0),
            Finished(Finish(FinishReason.STOP)),
        ]
    )
    assert alone[1]["choices"][0]["logprobs"] == {"content": None, "refusal": tokens}


def test_media_of_others():
    response = answer(
        MediaPart("audio", Inline("audio/wav", "QUI="), transcript="hi", id="a1"),
        MediaPart("image", Url("https://x.test/i.png")),
    )
    body, losses = whole(response)
    message = body["choices"][0]["message"]
    assert message["audio"] == {"id": "a1", "data": "QUI=", "transcript": "hi", "expires_at": 0}
    assert message["images"] == [{"type": "image_url", "image_url": {"url": "https://x.test/i.png"}}]
    assert losses == []
    told = streamed(response)[0].message.parts
    assert (told[0].source.data, told[0].transcript) == ("QUI=", "hi")
    assert told[1].source == Url("https://x.test/i.png")


def test_an_image_that_grows_is_told_at_its_end():
    image = MediaPart("image", Inline("image/png", "AA"))
    events = [
        Started(),
        PartStarted(0, image),
        PartDelta(0, MediaDelta("BB")),
        PartFinished(0),
        Finished(Finish(FinishReason.STOP)),
    ]
    frames, _ = chunks(events)
    assert frames[1]["choices"][0]["delta"]["images"][0]["image_url"]["url"] == "data:image/png;base64,AABB"


LOST = [
    ToolCallPart("s1", "web_search", kind="server"),
    ToolResultPart("s1", kind="server"),
    OpaquePart("anthropic", {"type": "future"}),
    CompactionPart("so far"),
    MediaPart("video", Inline("video/mp4", "AA")),
    MediaPart("image", FileRef("f", AWAY)),
]


@pytest.mark.parametrize("part", LOST)
def test_parts_without_a_form_are_content_lost(part):
    response = answer(TextPart("x"), part)
    body, losses = whole(response)
    assert body["choices"][0]["message"]["content"] == "x"
    assert losses == [("choices[0].message.content[1]", "content")]
    told, losses = streamed(response)
    assert told.text == "x"
    assert losses == [("message.content[1]", "content")]


def test_leftovers_of_others_are_lost_and_told():
    response = answer(
        TextPart("x", extra={"p": 1}),
        extra={"container": {"id": "c"}, "nothing": {}},
        output_extra={"q": 1},
        safety=[1],
        grounding={},
    )
    expected = {"container", "choices[0].q", "safety", "grounding"}
    assert {path for path, _ in whole(response)[1]} == {*expected, "choices[0].message.content[0].p"}
    assert {path for path, _ in streamed(response)[1]} == {*expected, "message.content[0].p"}


def test_usage_is_told_only_to_those_who_asked():
    response = answer(TextPart("x"), usage=Usage(10, 5, cache_read_tokens=4, reasoning_tokens=2))
    frames, _ = chunks(explode(response))
    assert frames[-2] == {
        "id": "chatcmpl-req-1",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "asked",
        "choices": [],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }
    assert all(frame["usage"] is None for frame in frames[:-2])
    frames, _ = chunks(explode(response), Downstream("asked", "req-1"))
    assert frames[-1] == "[DONE]"
    assert not any("usage" in frame for frame in frames[:-1])


def test_the_first_frame_of_every_choice_tells_the_role():
    outputs = [Output(Message("assistant", [TextPart(word)]), Finish(FinishReason.STOP)) for word in ("a", "b")]
    frames, _ = chunks(explode(ChatResponse(outputs)))
    firsts = {frame["choices"][0]["index"]: frame["choices"][0]["delta"] for frame in reversed(frames[:-1])}
    assert firsts == {n: {"role": "assistant", "content": "", "refusal": None} for n in (0, 1)}
    empty, _ = chunks([Started(), Finished(Finish(FinishReason.STOP))])
    assert empty[0]["choices"][0]["delta"]["role"] == "assistant"
    calls, _ = chunks(explode(answer(ToolCallPart("c", "f"))))
    assert calls[0]["choices"][0]["delta"]["content"] is None


def test_after_a_failure_nothing_follows():
    encoder = DIALECT.stream_encoder(DOWN)
    encoder.send([Started(), PartStarted(0, TextPart("")), PartDelta(0, TextDelta("x"))])
    data = encoder.send([Failed(ProviderError("boom", kind=ErrorKind.SERVER)), PartDelta(0, TextDelta("y"))])
    assert json.loads(data.removeprefix(b"data: "))["error"]["message"] == "boom"
    assert encoder.send([PartDelta(0, TextDelta("z"))]) == encoder.close() == b""


def test_a_stream_without_an_end_has_no_terminator():
    encoder = DIALECT.stream_encoder(DOWN)
    encoder.send([Started(), PartStarted(0, TextPart("")), PartFinished(0)])
    assert encoder.close() == b""


def test_events_of_this_dialect_nobody_knows_pass_and_others_are_lost():
    own, away = Raw("openai_chat", {"timings": {"n": 1}}), Raw("anthropic", {"type": "ping"})
    ends = [
        PartStarted(0, TextPart("x")),
        PartFinished(0),
        UsageReported(Usage(1, 1)),
        Finished(Finish(FinishReason.STOP)),
    ]
    frames, losses = chunks([Started(origin=Origin(dialect="openai_chat")), own, *ends])
    assert frames[0]["timings"] == {"n": 1}
    assert frames[0]["choices"][0]["delta"] == {}
    assert losses == ()
    _, losses = chunks([Started(origin=AWAY), away, *ends])
    assert [(loss.path, loss.severity) for loss in losses] == [("events", "opaque")]


def test_only_one_signature_fits_on_the_texts_of_a_whole_answer():
    signature = Signature("S", AWAY)
    assert whole(answer(TextPart("a", signature=signature), TextPart("b", signature=signature)))[1] == [
        ("choices[0].message.content[1]", "opaque")
    ]
