"""Request bodies: what is understood, what comes back for the same dialect, and what other dialects make of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.dialects import dialect
from execution_platform.dialects.openai_responses import DIALECT
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi import (
    ChatRequest,
    Inline,
    MediaPart,
    Message,
    ModelProfile,
    Origin,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolDefinition,
    ToolResultPart,
)
from execution_platform.spi.request import OutputFormat, Reasoning

PROFILE = ModelProfile(reasoning=True, developer_role=True)
PLAIN = ModelProfile()
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}


def body(**members):
    return json.dumps({"model": "m", **members}).encode()


def there_and_back(**members):
    request = DIALECT.decode_request(body(**members))
    encoded = DIALECT.encode_request(request, PROFILE)
    assert encoded.losses == ()
    return request, json.loads(encoded.body)


CALLS = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "weather?"}]},
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "look"}],
        "encrypted_content": "gAAA",
    },
    {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
    },
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": '{"at":"Rome"}'},
    {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "wind", "namespace": "air", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    {
        "type": "function_call_output",
        "call_id": "c2",
        "output": [{"type": "input_text", "text": "calm"}],
    },
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
    {"type": "custom_tool_call", "call_id": "c3", "name": "patch", "input": "*** Begin"},
    {"type": "custom_tool_call_output", "call_id": "c3", "output": "done"},
    {"type": "computer_call_output", "call_id": "c4", "output": {"type": "computer_screenshot"}},
]


def test_items_come_back_as_they_were():
    request, wire = there_and_back(input=CALLS)
    assert wire["input"] == CALLS
    assert [message.role for message in request.messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "tool",
        "user",
    ]
    said = request.messages[1].parts
    assert [type(part) for part in said] == [ThinkingPart, TextPart, ToolCallPart, ToolCallPart]
    assert said[0].signature == Signature("gAAA", Origin(dialect="openai_responses"), "encrypted")
    assert isinstance(said[3], ToolCallPart)
    assert said[3].name == "air.wind"


def test_a_string_is_one_user_message_and_instructions_are_system_text():
    request, wire = there_and_back(input="hi", instructions="Be brief.")
    assert request.messages == (Message("system", "Be brief.", placement="top"), Message("user", "hi"))
    assert wire == {"model": "m", "input": "hi", "instructions": "Be brief."}


SETTINGS = {
    "max_output_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_logprobs": 2,
    "include": ["message.output_text.logprobs", "reasoning.encrypted_content"],
    "reasoning": {"effort": "low", "summary": "auto", "context": "x"},
    "text": {
        "format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True},
        "verbosity": "low",
    },
    "tools": [
        WEATHER,
        {"type": "custom", "name": "patch", "description": "d", "format": {"type": "text"}},
        {
            "type": "namespace",
            "name": "air",
            "description": "d",
            "tools": [{"type": "function", "name": "wind"}, {"type": "function", "name": "rain"}],
        },
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "function", "name": "weather"},
    "parallel_tool_calls": False,
    "metadata": {"a": "b"},
    "store": False,
    "previous_response_id": "resp_0",
    "truncation": "auto",
    "service_tier": "flex",
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "safety_identifier": "s",
    "max_tool_calls": 3,
    "stream": True,
    "stream_options": {"include_obfuscation": False},
}


def test_settings_come_back_as_they_were():
    request, wire = there_and_back(input="hi", **SETTINGS)
    assert wire == {"model": "m", "input": "hi", **SETTINGS}
    assert request.reasoning == Reasoning(effort="low", summary="auto", extra={"context": "x"})
    assert [tool.name for tool in request.tools or ()] == ["weather", "patch", "air.wind", "air.rain", "web_search"]
    assert request.logprobs is True


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
        {"type": "mcp", "server_label": "s"},
        {"type": "web_search_preview"},
    ],
)
def test_every_form_of_tool_choice_comes_back(choice):
    _, wire = there_and_back(input="hi", tools=[WEATHER], tool_choice=choice)
    assert wire["tool_choice"] == choice


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({}, "input"),
        ({"input": 3}, "input"),
        ({"input": [{"type": "message", "role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "message", "role": "user"}]}, "input[0].content"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"input": "x", "tools": [{"name": "f"}]}, "tools[0].type"),
        ({"input": "x", "tool_choice": "sometimes"}, "tool_choice"),
        ({"input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"input": "x", "max_output_tokens": "many"}, "max_output_tokens"),
    ],
)
def test_a_wrong_member_is_named(members, param):
    with pytest.raises(InvalidRequest) as caught:
        DIALECT.decode_request(body(**members))
    assert caught.value.param == param


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda of: (
            st.lists(of, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "role", "content", "call_id", "output", "name", "text", "summary"]),
                of,
                max_size=4,
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_is_sent_as_input_is_understood_or_refused(value):
    data = body(input=value)
    try:
        request = DIALECT.decode_request(data)
    except InvalidRequest as error:
        assert error.param is None or error.param.startswith("input")
    else:
        assert json.loads(DIALECT.encode_request(request, PROFILE).body)


@pytest.mark.parametrize("target", ["openai_chat", "anthropic", "gemini"])
def test_other_dialects_take_the_conversation_without_losing_content(target):
    plain = [item for item in CALLS[:7] if item["type"] != "reasoning"]
    tools = [
        WEATHER,
        {"type": "namespace", "name": "air", "tools": [{"type": "function", "name": "wind"}]},
        {"type": "web_search"},
    ]
    request = DIALECT.decode_request(body(input=plain, tools=tools, instructions="Be brief.", store=False))
    encoded = dialect(target).encode_request(request, PLAIN)
    assert [loss for loss in encoded.losses if loss.severity == "content"] == []
    assert [loss.path for loss in encoded.losses if loss.severity == "knob" and "tool" in loss.path] == ["tools[2]"]
    assert b"I look." in encoded.body
    assert b"sunny" in encoded.body
    assert b"air.wind" in encoded.body or "air.wind" in encoded.tool_names.values()


def test_a_conversation_of_another_dialect_becomes_items():
    away = Signature("t", Origin(dialect="anthropic"))
    request = ChatRequest(
        [
            Message("system", "Be brief.", placement="top"),
            Message("user", [TextPart("see"), MediaPart("image", Inline("image/png", "QUI="))]),
            Message(
                "assistant", [ThinkingPart("hm", signature=away), TextPart("a"), ToolCallPart("c 1", "do.it", "{}")]
            ),
            Message("user", [ToolResultPart("c 1", (TextPart("ok"),)), TextPart("go on")]),
        ],
        "m",
        tools=[ToolDefinition("do.it", json_schema={"type": "object"})],
        output=OutputFormat(kind="json_schema", schema={"type": "object"}),
        dialect="anthropic",
    )
    encoded = DIALECT.encode_request(request, PROFILE)
    wire = json.loads(encoded.body)
    assert wire["instructions"] == "Be brief."
    kinds = [item["type"] for item in wire["input"]]
    assert kinds == ["message", "message", "function_call", "function_call_output", "message"]
    assert wire["input"][0]["content"][1] == {
        "type": "input_image",
        "image_url": "data:image/png;base64,QUI=",
        "detail": "auto",
    }
    call, result = wire["input"][2], wire["input"][3]
    assert call["call_id"] == result["call_id"] != "c 1"
    assert encoded.tool_names == {call["name"]: "do.it"}
    assert wire["store"] is False
    assert wire["text"]["format"]["type"] == "json_schema"
    assert {loss.severity for loss in encoded.losses} == {"opaque"}
