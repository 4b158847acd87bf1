"""What a caller of this dialect sees of answers that other providers gave, whole and streamed."""

import json

import pytest

from dialects.anthropic.answering import AWAY, GEMINI, answer, gathered, read, streamed, whole
from execution_platform.dialects import envelope
from execution_platform.dialects.anthropic import DIALECT
from execution_platform.spi import (
    ChatResponse,
    Citation,
    CompactionPart,
    Finish,
    FinishReason,
    Inline,
    MediaPart,
    Message,
    OpaquePart,
    Origin,
    Output,
    Part,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    explode,
)


def test_a_foreign_answer_has_the_shape_of_a_message() -> None:
    usage = Usage(100, 20, cache_read_tokens=60, cache_write_tokens=10, reasoning_tokens=5)
    body, losses = whole(answer(TextPart("hi"), usage=usage))
    assert body == {
        "id": "msg_req_7",
        "type": "message",
        "role": "assistant",
        "model": "gpt-x",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 30,
            "output_tokens": 20,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 10,
            "output_tokens_details": {"thinking_tokens": 5},
        },
    }
    assert losses == {}


@pytest.mark.parametrize(
    ("finish", "parts", "word"),
    [
        (Finish(FinishReason.STOP, "stop"), [TextPart("a")], "end_turn"),
        (Finish(FinishReason.STOP, "STOP"), [ToolCallPart("a", "f")], "tool_use"),
        (Finish(FinishReason.TOOL_CALLS, "tool_calls"), [ToolCallPart("a", "f")], "tool_use"),
        (Finish(FinishReason.TOOL_CALLS, "tool_calls"), [TextPart("a")], "end_turn"),
        (Finish(FinishReason.LENGTH, "length"), [ToolCallPart("a", "f")], "max_tokens"),
        (Finish(FinishReason.CONTENT_FILTER, "content_filter"), [], "refusal"),
        (Finish(FinishReason.REFUSAL), [], "refusal"),
        (Finish(FinishReason.CONTEXT_WINDOW), [], "model_context_window_exceeded"),
        (Finish(FinishReason.PAUSE), [], "pause_turn"),
        (Finish(FinishReason.STOP_SEQUENCE, stop_sequence="X"), [], "stop_sequence"),
        (Finish(FinishReason.UNKNOWN, "weird"), [TextPart("a")], "end_turn"),
    ],
)
def test_the_finish_reason_becomes_a_stop_reason(finish: Finish, parts: list[Part], word: str) -> None:
    body, losses = whole(answer(*parts, finish=finish))
    assert (body["stop_reason"], body["stop_sequence"]) == (word, finish.stop_sequence)
    frames, _ = streamed(explode(answer(*parts, finish=finish)))
    assert frames[-2]["delta"] == {"stop_reason": word, "stop_sequence": finish.stop_sequence}
    assert losses == {}


def test_an_answer_that_ended_in_an_error_is_recorded() -> None:
    assert whole(answer(TextPart("a"), finish=Finish(FinishReason.ERROR)))[1] == {"finish.reason": "content"}


def test_details_of_others_are_recorded() -> None:
    finish = Finish(FinishReason.STOP, details={"incomplete": 1})
    assert whole(answer(TextPart("a"), finish=finish))[1] == {"finish.details": "knob"}


def test_no_answer_but_feedback_on_the_prompt_is_a_refusal() -> None:
    body, losses = whole(ChatResponse([], safety={"blockReason": "SAFETY"}, origin=GEMINI))
    assert body["stop_reason"] == "refusal"
    assert body["content"] == []
    assert body["model"] == "asked"
    assert losses == {"safety": "knob"}


def test_further_answers_are_content() -> None:
    output = Output(Message("assistant", "b"), Finish(FinishReason.STOP))
    response = ChatResponse([output, output], origin=AWAY)
    assert whole(response)[1] == {"outputs[1]": "content"}
    frames, losses = streamed(explode(response))
    assert losses == {"outputs[1]": "content"}
    assert sum(frame["type"] == "message_stop" for frame in frames) == 1


@pytest.mark.parametrize(
    "parts",
    [
        (ThinkingPart("let me", signature=Signature("ENC", AWAY, "encrypted"), id="rs_1"), TextPart("x")),
        (ThinkingPart(redacted=True, signature=Signature("ENC", AWAY, "encrypted"), id="rs_1"), TextPart("x")),
        (TextPart("x", signature=Signature("G", GEMINI, "thought")), ToolCallPart("c", "f", '{"a":1}')),
        (TextPart("x"), TextPart("", signature=Signature("G", GEMINI, "thought")), ToolCallPart("c", "f", "{}")),
        (ToolCallPart("c", "f", '{"a":1}', signature=Signature("G", GEMINI, "thought")), ToolCallPart("d", "f", "{}")),
    ],
)
def test_tokens_of_others_travel_sealed_and_come_back_to_their_part(parts: tuple[Part, ...]) -> None:
    response = answer(*parts, origin=GEMINI)
    body, losses = whole(response)
    assert losses == {}
    frames, losses = streamed(explode(response))
    assert losses == {}
    text = json.dumps([body, frames])
    assert '"ENC"' not in text
    assert '"G"' not in text
    for content in (body["content"], gathered(frames)):
        history = {"model": "m", "max_tokens": 5, "messages": [{"role": "assistant", "content": content}]}
        back = DIALECT.decode_request(json.dumps(history).encode()).messages[0].parts
        assert [part.signature for part in back] == [part.signature for part in parts]
        assert [type(part) for part in back] == [type(part) for part in parts]
        assert [part.id for part in back] == [part.id for part in parts]


def test_thinking_nobody_signed_is_marked_as_foreign() -> None:
    body, _ = whole(answer(ThinkingPart("hm"), TextPart("x")))
    token = body["content"][0]["signature"]
    opened = envelope.unseal(token)
    assert opened is not None
    assert opened.signature.origin == AWAY
    history = {"model": "m", "max_tokens": 5, "messages": [{"role": "assistant", "content": body["content"]}]}
    assert DIALECT.decode_request(json.dumps(history).encode()).messages[0].parts[0] == ThinkingPart("hm")


def test_a_token_of_this_api_goes_out_as_it_is_unless_it_looks_like_an_envelope() -> None:
    home = Origin(dialect="anthropic", provider="anthropic")
    inner = envelope.seal(Signature("x", AWAY))
    body, _ = whole(
        answer(
            ThinkingPart("a", signature=Signature("EqQB", home)),
            ThinkingPart("b", signature=Signature(inner, home)),
            origin=home,
        )
    )
    assert body["content"][0]["signature"] == "EqQB"
    opened = envelope.unseal(body["content"][1]["signature"])
    assert opened is not None
    assert opened.signature.value == inner


@pytest.mark.parametrize(
    ("part", "severity"),
    [
        (MediaPart("image", Inline("image/png", "A")), "content"),
        (ToolCallPart("ws_1", "web_search", "{}", kind="server"), "content"),
        (ToolResultPart("ws_1", kind="server"), "content"),
        (OpaquePart("openai_responses", {"type": "x"}), "content"),
        (CompactionPart(signature=Signature("x", AWAY)), "opaque"),
        (ThinkingPart(redacted=True), "opaque"),
    ],
)
def test_parts_without_a_form_are_recorded_and_leave_no_block(part: Part, severity: str) -> None:
    response = answer(part)
    assert whole(response)[1] == {"content[0]": severity}
    frames, losses = streamed(explode(response))
    assert losses == {"content[0]": severity}
    assert [frame["type"] for frame in frames] == ["message_start", "message_delta", "message_stop"]


def test_pages_another_provider_found_look_like_search_results_and_stay_out_of_its_requests() -> None:
    text = TextPart(
        "x",
        citations=(
            Citation(kind="url", url="https://x.test", title="T", start=0, end=1),
            Citation(kind="file", file_id="f"),
        ),
    )
    body, losses = whole(answer(text))
    assert body["content"][0]["citations"] == [
        {
            "type": "web_search_result_location",
            "url": "https://x.test",
            "title": "T",
            "cited_text": "",
            "encrypted_index": "",
        }
    ]
    assert losses == {"content[0].citations": "knob"}
    by_whole, by_stream = read(answer(text))
    assert by_whole.message.parts == by_stream.message.parts


def test_a_free_text_call_is_one_string_argument() -> None:
    part = ToolCallPart("c", "patch", 'say "hi"', kind="custom")
    body, _ = whole(answer(part))
    assert body["content"][0]["input"] == {"input": 'say "hi"'}
    frames, _ = streamed(explode(answer(part)))
    assert gathered(frames) == body["content"]
    assert frames[-2]["delta"]["stop_reason"] == "tool_use"


def test_arguments_that_are_no_object_are_wrapped() -> None:
    assert whole(answer(ToolCallPart("c", "f", "{oops")))[0]["content"][0]["input"] == {"_unparsed_arguments": "{oops"}
    assert whole(answer(ToolCallPart("c", "f", "")))[0]["content"][0]["input"] == {}


def test_empty_text_is_left_out_of_a_whole_answer() -> None:
    assert whole(answer(TextPart(""), TextPart("x")))[0]["content"] == [{"type": "text", "text": "x"}]


def test_server_units_and_billed_summaries_are_told() -> None:
    usage = Usage(5, 6, units={"web_search": 2})
    assert whole(answer(TextPart("a"), usage=usage))[0]["usage"]["server_tool_use"] == {
        "web_search_requests": 2,
        "web_fetch_requests": 0,
    }
