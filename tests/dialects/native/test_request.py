"""The body of `POST /v1/chat`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.native.strategies import json_values, wire_bodies
from execution_platform import _json
from execution_platform.dialects.native import DIALECT, platform_options
from execution_platform.exceptions import InvalidRequest, UnprocessableRequest
from execution_platform.spi import (
    ChatRequest,
    FileRef,
    Inline,
    MediaPart,
    Message,
    ModelProfile,
    OpaquePart,
    Origin,
    OutputFormat,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolChoice,
    ToolDefinition,
    ToolParameter,
    ToolResultPart,
    Url,
)

USER = {"role": "user", "content": "Hello"}


def decode(body: object, **options: object) -> ChatRequest:
    return DIALECT.decode_request(_json.dumps(body), **options)


def encode(request: ChatRequest) -> dict:
    return _json.loads(DIALECT.encode_request(request, ModelProfile()).body)


def complaint(call):
    try:
        call()
    except UnprocessableRequest as error:
        return error
    return None


def refused(body: object) -> UnprocessableRequest:
    with pytest.raises(UnprocessableRequest) as caught:
        decode(body)
    assert caught.value.status == 422
    return caught.value


@given(wire_bodies)
@settings(max_examples=300, deadline=None)
def test_a_body_in_its_canonical_spelling_comes_back_equal(body):
    assert encode(decode(body)) == body


@given(wire_bodies)
@settings(max_examples=100, deadline=None)
def test_decoding_what_was_encoded_gives_the_same_request(body):
    request = decode(body)
    assert DIALECT.decode_request(DIALECT.encode_request(request, ModelProfile()).body) == request


def _paths(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _paths(inner, (*path, number))


def _replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


@given(wire_bodies, st.data())
@settings(max_examples=400, deadline=None)
def test_a_wrong_value_anywhere_is_refused_with_its_path_or_understood(body, data):
    path = data.draw(st.sampled_from(list(_paths(body))))
    changed = _replaced(body, path, data.draw(json_values))
    for refusal in (complaint(lambda: decode(changed)), complaint(lambda: DIALECT.peek(_json.dumps(changed)))):
        assert refusal is None or refusal.message.startswith(refusal.param)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_request_are_always_refused_as_such(body):
    with pytest.raises(InvalidRequest):
        DIALECT.decode_request(body)
    with pytest.raises(InvalidRequest):
        DIALECT.peek(body + b"x")


def test_missing_messages_are_refused_with_an_example():
    error = refused({"model": "m"})
    assert error.param == "messages"
    assert '"role": "user"' in error.message


def test_null_messages_are_missing_messages():
    assert refused({"messages": None}).param == "messages"


def test_an_empty_list_of_messages_is_refused():
    assert refused({"messages": []}).param == "messages"


def test_a_system_text_alone_is_a_request():
    assert decode({"system": "Be brief.", "messages": []}).messages == (
        Message("system", "Be brief.", placement="top"),
    )


def test_text_that_is_not_json_is_a_bad_request_not_an_unprocessable_one():
    with pytest.raises(InvalidRequest) as caught:
        DIALECT.decode_request(b"{")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": "Hello"}, "messages"),
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "tool_calls": []}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls[0].name"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"name": "f", "args": 3}]}]},
            "messages[0].tool_calls[0].args",
        ),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"stop": [1]}, "stop[0]"),
        ({"stop": 1}, "stop"),
        ({"model": 4}, "model"),
        ({"personaId": 4}, "personaId"),
        ({"provider": []}, "provider"),
        ({"workspace": 1}, "workspace"),
        ({"metadata": []}, "metadata"),
        ({"requires": "vision"}, "requires"),
        ({"requires": [1]}, "requires[0]"),
        ({"tools": {}}, "tools"),
        ({"tools": [{}]}, "tools[0].name"),
        ({"tools": [{"name": "f", "json_schema": []}]}, "tools[0].json_schema"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"allowed": [1]}}, "tool_choice.allowed[0]"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.schema"),
        ({"reasoning": "high"}, "reasoning"),
        ({"logit_bias": {"x": "y"}}, "logit_bias.x"),
        ({"provider_options": {"openai": 1}}, "provider_options.openai"),
    ],
)
def test_a_wrong_type_is_refused_at_its_path(change, param):
    error = refused({"messages": [USER], **change})
    assert error.param == param
    assert error.message.startswith(param)


def test_streaming_is_the_default_and_the_caller_of_the_codec_has_the_last_word():
    assert decode({"messages": [USER]}).stream is True
    assert decode({"messages": [USER], "stream": False}).stream is False
    assert decode({"messages": [USER], "stream": True}, stream=False).stream is False
    assert DIALECT.peek(_json.dumps({"messages": [USER]})).stream is True


def test_routing_members_are_peeked_without_the_rest():
    peek = DIALECT.peek(
        b'{"messages": [1, 2], "model": "m", "max_tokens": 5, "tools": ["t"], "personaId": "p", "provider": "q", "stream": false}'
    )
    assert (peek.model, peek.max_tokens, peek.has_tools, peek.persona, peek.stream) == ("m", 5, True, "p", False)
    assert peek.provider == "q"


@pytest.mark.parametrize("name", ["persona", "personaId", "persona_id"])
def test_the_persona_has_three_spellings(name):
    request = decode({"messages": [USER], name: "architect"})
    assert request.persona == "architect"
    assert encode(request)["persona"] == "architect"
    assert request.extra == {}


def test_provider_and_workspace_are_for_the_platform_only():
    request = decode({"messages": [USER], "provider": "openai", "workspace": "/w"})
    assert platform_options(request).provider == "openai"
    assert platform_options(request).workspace == "/w"
    assert request.extra == {}
    assert platform_options(ChatRequest([Message("user", "x")])).provider is None


def test_null_is_absent_and_leaves_nothing_behind():
    request = decode(
        {"messages": [{"role": "user", "content": "x", "name": None}], "tools": None, "x": None, "stop": None}
    )
    assert (request.tools, request.stop, request.extra, request.messages[0].extra) == (None, None, {}, {})


def test_unknown_members_are_kept_at_every_level():
    body = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "a": 1}], "b": 2}],
        "tools": [{"name": "f", "c": 3}],
        "d": 4,
    }
    request = decode(body)
    assert request.extra == {"d": 4}
    assert request.messages[0].extra == {"b": 2}
    assert request.messages[0].parts[0].extra == {"a": 1}
    assert request.tools[0].extra == {"c": 3}


def test_an_unknown_part_is_kept_in_its_place():
    part = {"type": "hologram", "data": [1, None]}
    request = decode({"messages": [{"role": "user", "content": [part, "and text"]}]})
    assert request.messages[0].parts == (OpaquePart("native", part), TextPart("and text"))


def test_a_conversation_with_tools_round_trips():
    body = {
        "messages": [
            USER,
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [{"id": "c1", "name": "f", "arguments": '{"a": 1.0}'}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "tool", "tool_call_id": "c2", "name": "g", "is_error": True, "content": "no such file"},
        ],
        "stream": True,
    }
    request = decode(body)
    assert request.messages[1].parts == (TextPart("Let me see."), ToolCallPart("c1", "f", '{"a": 1.0}'))
    assert request.messages[2].parts == (ToolResultPart("c1", (TextPart("42"),)),)
    assert request.messages[3].parts == (ToolResultPart("c2", (TextPart("no such file"),), name="g", is_error=True),)
    assert encode(request) == body


def test_calls_may_be_written_as_events_or_chat_completions_write_them():
    calls = [
        {"id": "c1", "name": "f", "args": {"b": 1, "a": 2}},
        {"id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"a":'}},
        {"name": "f"},
    ]
    request = decode({"messages": [USER, {"role": "assistant", "content": None, "tool_calls": calls}]})
    assert [call.arguments for call in request.messages[1].tool_calls] == ['{"b":1,"a":2}', '{"a":', "{}"]
    assert [call.call_id for call in request.messages[1].tool_calls] == ["c1", "c2", "call_1_2"]
    assert [call.synthetic_id for call in request.messages[1].tool_calls] == [False, False, True]


def test_tools_may_be_bare_names_or_come_in_the_chat_completions_form():
    schema = {"type": "object", "properties": {"z": {}, "a": {}}}
    tools = [
        "fs_read",
        {"name": "g", "parameters": schema},
        {"type": "function", "function": {"name": "h", "description": "d", "parameters": schema, "strict": True}},
        {"name": "i", "json_schema": schema},
    ]
    found = decode({"messages": [USER], "tools": tools}).tools
    assert [tool.name for tool in found] == ["fs_read", "g", "h", "i"]
    assert found[0].input_schema is None
    assert [list(tool.input_schema["properties"]) for tool in found[1:]] == [["z", "a"]] * 3
    assert (found[2].description, found[2].strict) == ("d", True)


def test_no_tools_and_an_empty_list_of_tools_are_two_things():
    assert decode({"messages": [USER]}).tools is None
    assert decode({"messages": [USER], "tools": []}).tools == ()
    assert encode(decode({"messages": [USER], "tools": []}))["tools"] == []


def test_parameters_in_short_form_leave_as_a_schema():
    tool = ToolDefinition("f", parameters=[ToolParameter("path", description="where")])
    body = encode(ChatRequest([Message("user", "x")], tools=[tool]))
    assert body["tools"][0]["parameters"]["required"] == ["path"]


@pytest.mark.parametrize(
    ("wire", "choice"),
    [
        ("any", ToolChoice("required")),
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", ("f",))),
        ({"type": "tool", "name": "f"}, ToolChoice("named", ("f",))),
        ({"name": "f"}, ToolChoice("named", ("f",))),
        ({"allowed": ["f", "g"], "forced": True}, ToolChoice("allowed", ("f", "g"), forced=True)),
    ],
)
def test_tool_choice_is_read_in_every_common_form(wire, choice):
    assert decode({"messages": [USER], "tool_choice": wire}).tool_choice == choice


def test_forbidding_parallel_calls_needs_no_mode():
    request = decode({"messages": [USER], "parallel_tool_calls": False})
    assert request.tool_choice == ToolChoice(None, parallel=False)
    assert "tool_choice" not in encode(request)


@pytest.mark.parametrize("wire", ["json", {"type": "json"}, {"type": "json_object"}])
def test_json_mode_has_three_spellings(wire):
    request = decode({"messages": [USER], "response_format": wire})
    assert request.output == OutputFormat(kind="json")
    assert encode(request)["response_format"] == {"type": "json"}


def test_a_schema_may_stand_inside_or_beside():
    inside = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}
    beside = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    expected = OutputFormat(kind="json_schema", schema={"type": "object"}, name="n", strict=True)
    assert decode({"messages": [USER], "response_format": inside}).output == expected
    assert decode({"messages": [USER], "response_format": beside}).output == expected


@pytest.mark.parametrize(
    ("wire", "part"),
    [
        ({"type": "image_url", "image_url": "https://x.test/a.png"}, MediaPart("image", Url("https://x.test/a.png"))),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
            MediaPart("image", Inline("image/png", "iVBO"), detail="low"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "mp3"}},
            MediaPart("audio", Inline("audio/mpeg", "UklG")),
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
            MediaPart("document", Inline("application/pdf", "JVBE"), title="a.pdf"),
        ),
        (
            {"type": "file", "file": {"file_id": "file-1"}},
            MediaPart("document", FileRef("file-1", Origin(dialect="native"))),
        ),
    ],
)
def test_media_comes_in_the_chat_completions_forms(wire, part):
    assert decode({"messages": [{"role": "user", "content": [wire]}]}).messages[0].parts == (part,)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": "data:image/svg+xml,<svg/>"}, "image_url"),
        ({"type": "file", "file": {}}, "file"),
        ({"type": "media", "kind": "smell", "source": {}}, "kind"),
        ({"type": "media", "kind": "image", "source": {"type": "cloud"}}, "source.type"),
        ({"type": "input_audio", "input_audio": {"data": "x"}}, "input_audio.format"),
    ],
)
def test_media_that_cannot_be_read_is_refused(part, param):
    assert refused({"messages": [{"role": "user", "content": [part]}]}).param == f"messages[0].content[0].{param}"


def test_an_answer_with_signatures_goes_back_with_their_origin():
    signature = Signature("s\n", Origin(dialect="anthropic", provider="p", model="m"))
    parts = (ThinkingPart("hm", signature=signature), ToolCallPart("c", "f"), TextPart("after the call"))
    body = DIALECT.encode_request(ChatRequest([Message("user", "x"), Message("assistant", parts)]), ModelProfile()).body
    assert DIALECT.decode_request(body).messages[1].parts == parts


def test_members_of_another_dialect_are_losses_of_a_knob_not_silent():
    request = ChatRequest([Message("user", "x", extra={"odd": 1})], dialect="openai_chat", extra={"store": True})
    encoded = DIALECT.encode_request(request, ModelProfile())
    assert [(loss.path, loss.severity) for loss in encoded.losses] == [("messages[0].odd", "knob"), ("store", "knob")]
    assert "store" not in _json.loads(encoded.body)


def test_a_persons_options_for_the_dialect_are_merged_into_the_body():
    request = ChatRequest([Message("user", "x")], provider_options={"native": {"provider": "p"}, "openai": {"a": 1}})
    assert encode(request)["provider"] == "p"
    assert encode(request)["provider_options"] == {"openai": {"a": 1}}


def test_passthrough_changes_the_model_and_no_other_byte():
    body = b'{ "model" : "a", "messages":[ {"role":"user","content":"\\u0041"} ] }'
    assert DIALECT.patch(body, DIALECT.peek(body), "b") == body.replace(b'"a"', b'"b"')
