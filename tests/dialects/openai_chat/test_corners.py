"""Rare forms, each way."""

import json

import pytest

from execution_platform.dialects.base import Downstream, Upstream
from execution_platform.dialects.openai_chat import DIALECT
from execution_platform.dialects.openai_chat.usage import Tally, read
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError
from execution_platform.spi import (
    CacheMark,
    ChatRequest,
    ChatResponse,
    Citation,
    CompactionPart,
    FileRef,
    Finish,
    FinishReason,
    Inline,
    MediaPart,
    Message,
    ModelProfile,
    OpaquePart,
    Origin,
    Output,
    OutputFormat,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
    Url,
    Usage,
    accumulate,
    explode,
)
from execution_platform.spi.events import (
    Finished,
    MediaDelta,
    PartDelta,
    PartFinished,
    PartStarted,
    SignatureDelta,
    Started,
    TextDelta,
)

AWAY = Origin(dialect="anthropic", provider="anthropic")
HOME = Origin(dialect="openai_chat", provider="p")
DOWN = Downstream("m", "r")
UP = Upstream(HOME)
STOP = Finish(FinishReason.STOP)


def encoded(*messages, profile=None, **fields):
    request = ChatRequest(messages or (Message("user", "x"),), "m", **fields)
    result = DIALECT.encode_request(request, profile or ModelProfile())
    return json.loads(result.body), [(loss.path, loss.severity) for loss in result.losses]


def decoded(**message):
    return DIALECT.decode_request(json.dumps({"messages": [{"role": "assistant", **message}]}).encode())


def stream(*deltas, **last):
    frames = [{"id": "c", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    frames.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", **last}]})
    decoder = DIALECT.stream_decoder(UP)
    data = b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames)
    return accumulate(decoder.feed(data) + decoder.close())


def whole(message, **choice):
    body = {"id": "c", "choices": [{"message": message, "finish_reason": "stop", **choice}]}
    return DIALECT.decode_response(json.dumps(body).encode(), UP)


def rendered(*parts, origin=HOME):
    """The message of a whole answer, and the deltas of a stream that tells the same."""
    response = ChatResponse([Output(Message("assistant", parts), STOP)], origin=origin)
    encoder = DIALECT.stream_encoder(DOWN)
    data = encoder.send(explode(response)) + encoder.close()
    frames = [json.loads(frame.removeprefix(b"data: ")) for frame in data.split(b"\n\n")[:-2]]
    message = json.loads(DIALECT.encode_response(response, DOWN).body)["choices"][0]["message"]
    return message, [frame["choices"][0]["delta"] for frame in frames], encoder.losses


# Streams and answers


def test_calls_without_an_index_are_told_apart_by_id_or_continue_the_last():
    told = stream(
        {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]},
        {"tool_calls": [{"function": {"arguments": "}"}}]},
        {"tool_calls": [{"id": "b", "function": {"name": "g", "arguments": "["}}]},
        {"tool_calls": [{"id": "a", "function": {"arguments": " "}}, {"id": "b", "function": {"arguments": "]"}}]},
    )
    assert [(call.call_id, call.name, call.arguments) for call in told.tool_calls] == [
        ("a", "f", "{} "),
        ("b", "g", "[]"),
    ]


def test_a_signature_may_follow_its_call():
    told = stream(
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "extra_content": {"google": {"thought_signature": "S"}}}]},
    )
    assert told.tool_calls[0].signature == Signature("S", HOME, "thought")


def test_citations_and_signatures_without_text_get_an_empty_one():
    cite = {"type": "url_citation", "url_citation": {"url": "u"}}
    signed = {"google": {"thought_signature": "S"}}
    for told in (stream({"annotations": [cite]}), whole({"annotations": [cite]})):
        assert [part.url for part in told.message.parts[0].citations] == ["u"]
    for told in (stream({"extra_content": signed}), whole({"extra_content": signed})):
        assert told.message.parts == (TextPart("", signature=Signature("S", HOME, "thought")),)


def test_annotations_of_another_kind_are_kept_as_they_are():
    told = whole({"content": "x", "annotations": [{"type": "file_citation", "id": 1}]})
    assert told.message.parts[0].citations == (Citation(raw={"type": "file_citation", "id": 1}),)


def test_content_lists_may_hold_images_and_text():
    image = {"type": "image_url", "image_url": {"url": "https://x.test/i.png"}}
    content = [{"type": "text", "text": "a"}, image]
    for told in (stream({"content": content}), whole({"content": content})):
        assert told.message.parts == (TextPart("a"), MediaPart("image", Url("https://x.test/i.png")))


def test_encrypted_details_belong_to_the_string_beside_them():
    details = [{"type": "reasoning.encrypted", "data": "E", "index": 0}]
    told = stream({"reasoning": "hm", "reasoning_details": details})
    assert told == whole({"reasoning": "hm", "reasoning_details": details})
    assert told.message.parts[0].signature == Signature("E", HOME, "encrypted")


def test_an_unknown_detail_beside_a_string_leaves_it_alone():
    told = whole({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.future"}]})
    assert [type(part) for part in told.message.parts] == [ThinkingPart, OpaquePart]


def test_a_stop_token_that_is_no_text_is_kept():
    for told in (stream({"content": "x"}, stop_reason=128001), whole({"content": "x"}, stop_reason=128001)):
        assert told.outputs[0].extra == {"stop_reason": 128001}
        assert told.finish.reason is FinishReason.STOP


def test_chunks_may_lack_choices_and_deltas():
    decoder = DIALECT.stream_decoder(UP)
    data = b'data: {"choices":null}\n\ndata: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: {"choices":[{"delta":{"content":""}}]}\n\ndata: \n\ndata: {"choices":[{"finish_reason":"stop"}]}\n\n'
    assert accumulate(decoder.feed(data) + decoder.close()).text == "x"


def test_opaque_parts_of_this_dialect_go_where_they_came_from():
    detail, call = (
        OpaquePart("openai_chat", {"type": "reasoning.future"}, group="reasoning_details"),
        OpaquePart("openai_chat", {"type": "odd"}, group="tool_calls"),
    )
    message, deltas, losses = rendered(detail, call)
    assert (message["reasoning_details"], message["tool_calls"]) == ([detail.raw], [call.raw])
    assert deltas[1:3] == [{"reasoning_details": [detail.raw]}, {"tool_calls": [call.raw]}]
    assert losses == ()


def test_several_summaries_become_one_and_that_is_told():
    part = ThinkingPart(summary=("a", "b"), signature=Signature("S", AWAY, "encrypted"))
    message, deltas, losses = rendered(part, origin=AWAY)
    assert message["reasoning_content"] == "a\n\nb"
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "a\n\nb"
    assert [loss.path for loss in losses] == ["message.content[0].summary"]


def test_parts_that_open_with_content_say_it():
    events = [
        Started(origin=HOME),
        PartStarted(0, ThinkingPart("hm", summary=("s",))),
        PartFinished(0),
        PartStarted(1, TextPart("x", citations=(Citation(kind="url", url="u"),))),
        PartFinished(1),
        PartStarted(2, TextPart("no", refusal=True)),
        PartDelta(2, TextDelta("pe")),
        PartFinished(2),
        PartStarted(3, MediaPart("audio", Inline("audio/wav", "AA"))),
        PartDelta(3, SignatureDelta(Signature("S", AWAY))),
        PartDelta(3, MediaDelta("BB")),
        PartFinished(3),
        Finished(STOP),
    ]
    encoder = DIALECT.stream_encoder(DOWN)
    data = b"".join(encoder.send([event]) for event in events) + encoder.close()
    decoder = DIALECT.stream_decoder(UP)
    told = accumulate(decoder.feed(data) + decoder.close()).message.parts
    assert [getattr(part, "text", None) for part in told] == ["hms", "x", "nope", None]
    assert told[1].citations[0].url == "u"
    assert told[3].source.data == "AABB"


def test_a_stream_of_events_without_a_start_is_named_by_the_gateway():
    encoder = DIALECT.stream_encoder(DOWN)
    data = encoder.send([PartStarted(0, TextPart("x")), PartFinished(0), Finished(STOP)])
    assert json.loads(data.split(b"\n\n")[0].removeprefix(b"data: "))["id"] == "chatcmpl-r"


# Requests


def test_details_of_answers_that_come_from_events_are_written_anew():
    parts = (
        ThinkingPart("hm", group="reasoning_details+reasoning", signature=Signature("S", HOME), extra={"format": "f"}),
        OpaquePart("openai_chat", {"type": "reasoning.future"}, group="reasoning_details"),
        TextPart("y"),
    )
    body, losses = encoded(Message("assistant", parts), dialect="openai_chat")
    assert body["messages"][0] == {
        "role": "assistant",
        "reasoning": "hm",
        "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "S", "format": "f", "index": 0},
            {"type": "reasoning.future"},
        ],
        "content": "y",
    }
    assert losses == []


def test_redacted_thinking_of_others_says_nothing_here():
    part = ThinkingPart(redacted=True, signature=Signature("R", AWAY, "redacted"))
    body, losses = encoded(Message("assistant", [part, TextPart("y")]), profile=ModelProfile(thinking_replay="field"))
    assert body["messages"][0] == {"role": "assistant", "content": "y"}
    assert losses == [("messages[0].content[0].signature", "opaque")]


def test_content_of_assistant_messages_without_a_form():
    image = MediaPart("image", Inline("image/png", "AA"))
    message = Message(
        "assistant", [TextPart("a", signature=Signature("S", AWAY)), image, CompactionPart("so far"), TextPart("b")]
    )
    body, losses = encoded(message)
    assert body["messages"][0]["content"] == [{"type": "text", "text": "ab"}, {"type": "text", "text": "so far"}]
    assert losses == [
        ("messages[0].content[0].signature", "opaque"),
        ("messages[0].content[1]", "content"),
        ("messages[0].content[2]", "opaque"),
    ]
    assert encoded(Message("assistant", []))[0]["messages"] == [{"role": "assistant", "content": ""}]


def test_parts_of_user_messages_that_lose_something():
    signed = MediaPart("image", Inline("image/png", "AA"), signature=Signature("S", AWAY))
    cited = TextPart("x", citations=(Citation(kind="page"),))
    body, losses = encoded(Message("user", [cited, signed, ThinkingPart("hm")]))
    assert [part["type"] for part in body["messages"][0]["content"]] == ["text", "image_url"]
    assert losses == [
        ("messages[0].content[0].citations", "knob"),
        ("messages[0].content[1].signature", "opaque"),
        ("messages[0].content[2]", "opaque"),
    ]
    body, losses = encoded(Message("user", "x"), Message("user", [ThinkingPart("hm")]))
    assert len(body["messages"]) == 1


def test_results_of_server_tools_and_texts_of_results():
    server = ToolResultPart("s", (TextPart("x"),), kind="server")
    odd = ToolResultPart("c", (TextPart("a"), OpaquePart("anthropic", {}), TextPart("b")))
    said = ToolResultPart("d", raw="plain")
    body, losses = encoded(Message("tool", [server, odd, said]))
    assert [message["content"] for message in body["messages"]] == ["ab", "plain"]
    assert losses == [
        ("messages[0].content[0]", "content"),
        ("messages[0].content[1].parts[0]", "content"),
    ] or losses == [
        ("messages[0].content[0]", "content"),
        ("messages[0].content[1].parts[1]", "content"),
    ]


def test_a_tool_message_with_empty_or_null_content_comes_back():
    for content in (None, [], ""):
        body = {"messages": [{"role": "tool", "tool_call_id": "c", "content": content}]}
        request = DIALECT.decode_request(json.dumps(body).encode())
        assert json.loads(DIALECT.encode_request(request, ModelProfile()).body) == body


def test_arguments_may_be_absent():
    call = decoded(tool_calls=[{"id": "c", "type": "function", "function": {"name": "f"}}]).messages[0].tool_calls[0]
    assert call.arguments == ""


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop": 5}, "stop"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {}}, "tool_choice.type"),
        ({"modalities": [1]}, "modalities[0]"),
    ],
)
def test_more_errors_name_the_member(fields, param):
    with pytest.raises(InvalidRequest) as raised:
        DIALECT.decode_request(json.dumps({"messages": [{"role": "user", "content": "x"}], **fields}).encode())
    assert raised.value.param == param


def test_tools_of_both_forms_at_once_come_back():
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [],
        "functions": [{"name": "f"}],
        "tool_choice": "auto",
    }
    request = DIALECT.decode_request(json.dumps(body).encode())
    assert json.loads(DIALECT.encode_request(request, ModelProfile()).body) == body


def test_marks_on_tools_and_settings_for_images():
    tool = ToolDefinition("f", cache=CacheMark())
    assert encoded(tools=[tool])[1] == [("tools[0].cache", "knob")]
    body, _ = encoded(tools=[tool], profile=ModelProfile(extra={"cache_marks": "anthropic"}))
    assert body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert encoded(output=OutputFormat(image={"size": "1K"}))[1] == [("output.image", "knob")]
    assert "modalities" not in encoded(output=OutputFormat(modalities=("text",)))[0]
    assert encoded(output=OutputFormat(modalities=("text", "audio")))[0]["modalities"] == ["text", "audio"]


def test_tools_for_a_model_that_calls_none_are_content_lost():
    assert encoded(tools=[ToolDefinition("f")], profile=ModelProfile(tool_calling="none"))[1] == [("tools", "content")]


def test_what_stands_beside_a_signature_stays():
    extra = {"google": {"thought_signature": "S", "x": 1}, "y": 2}
    request = decoded(
        tool_calls=[
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": extra}
        ]
    )
    call = request.messages[0].tool_calls[0]
    assert call.signature.value == "S"
    assert call.extra == {"extra_content": {"google": {"x": 1}, "y": 2}}


def test_files_by_id_have_a_form_only_as_documents():
    home = Origin(dialect="openai_chat")
    for kind in ("image", "audio", "video"):
        profile = ModelProfile(extra={"video": True})
        assert encoded(Message("user", [MediaPart(kind, FileRef("f", home))]), profile=profile)[1] == [
            ("messages[0].content[0]", "content")
        ]


# Usage and errors


def test_usage_reads_only_what_is_a_count():
    usage = read(
        {"prompt_tokens": 3.0, "completion_tokens": -1, "total_tokens": True, "cost": True, "prompt_tokens_details": []}
    )
    assert usage == Usage(3)
    assert read({}) is None
    assert read({"prompt_tokens": "3"}) is None


def test_usage_grows_whatever_the_order():
    reports = [
        {"prompt_tokens": 9, "completion_tokens": 1},
        {"prompt_tokens": 9, "completion_tokens": 7, "cost": 0.5},
        {"completion_tokens": 3, "cost": 0.2},
    ]
    told = []
    for order in (reports, reports[::-1]):
        tally = Tally()
        for report in order:
            tally.see({"usage": report})
        told.append(tally.result())
    assert told[0] == told[1] == Usage(9, 7, 0.5)


def test_azure_says_more_in_an_inner_error():
    data = b'{"error":{"message":"m","code":"x","innererror":{"code":"content_policy_violation"}}}'
    assert DIALECT.decode_error(400, {}, data).kind is ErrorKind.CONTENT_FILTER


def test_a_server_call_in_an_answer_is_lost_and_the_legacy_form_stays():
    legacy = ToolCallPart("c", "f", "{}", group="function_call", signature=Signature("S", AWAY))
    message, deltas, _ = rendered(legacy)
    assert message["function_call"] == {"name": "f", "arguments": "{}"}
    assert deltas[1]["function_call"]["name"] == "f"


@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n"])
def test_every_choice_needs_its_finish_reason(end):
    frames = [{"choices": [{"index": n, "delta": {"content": "x"}}]} for n in (0, 1)]
    frames.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    decoder = DIALECT.stream_decoder(UP)
    data = b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames) + end
    with pytest.raises(ProtocolError, match="before it named a finish reason"):
        accumulate(decoder.feed(data) + decoder.close())


def test_citations_count_text_that_came_with_the_start_of_a_part():
    cite = Citation(kind="url", url="u")
    events = [Started(origin=AWAY)]
    for index, part in enumerate((TextPart("abc"), TextPart("de", citations=(cite,)))):
        events += [PartStarted(index, part), PartFinished(index)]
    encoder = DIALECT.stream_encoder(DOWN)
    decoder = DIALECT.stream_decoder(UP)
    told = accumulate(decoder.feed(encoder.send([*events, Finished(STOP)]) + encoder.close()) + decoder.close())
    assert [(each.start, each.end) for part in told.message.parts for each in part.citations] == [(3, 5)]
