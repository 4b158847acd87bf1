"""Function tools: calls, choices, results."""

from collections.abc import Iterable

from execution_platform import _json
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Inline, MediaPart, TextPart, ToolCallPart, ToolResultPart
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse, FinishReason
from execution_platform.spi.tools import ToolChoice, ToolDefinition
from execution_platform.testing.scenario import PRESENT, Expected, Scenario, holds, like, one_of, says
from execution_platform.testing.scenarios.conversation import ANYTHING
from execution_platform.testing.script import Call, Script

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of a city"}},
    "required": ["city"],
}
WEATHER = ToolDefinition("get_weather", "The weather in a city.", json_schema=_SCHEMA)
_TIME = ToolDefinition("get_time", "The time in a city.", json_schema=_SCHEMA)
_ASK = Message("user", "What is the weather in Paris?")
_PARIS = Call("get_weather", {"city": "Paris"})
_ARGUMENTS = ('{"city":"Paris"}', '{"city":"Rome"}')
_DONE = (FinishReason.TOOL_CALLS,)


def _calls_weather(response: ChatResponse) -> Iterable[str]:
    calls = response.tool_calls
    if not calls or any(call.name != WEATHER.name for call in calls):
        yield f"calls are {[call.name for call in calls]}, expected get_weather"
    elif not isinstance(_json.loads(calls[0].arguments.encode()), dict):
        yield "the arguments are no object"


_LIVE_CALL = Expected(finish=(*_DONE, FinishReason.STOP), check=_calls_weather)


def _answered(*results: ToolResultPart) -> list[Message]:
    calls = [ToolCallPart(result.call_id, "get_weather", _ARGUMENTS[number]) for number, result in enumerate(results)]
    return [_ASK, Message("assistant", calls), Message("tool", results)]


def _result(call_id: str, text: str, *, is_error: bool | None = None) -> ToolResultPart:
    return ToolResultPart(call_id, (TextPart(text),), name="get_weather", is_error=is_error)


TOOLS = (
    Scenario(
        id="tool_call",
        title="Tool call, any tool required",
        request=ChatRequest([_ASK], tools=[WEATHER], tool_choice=ToolChoice("required")),
        reply=Script(_PARIS),
        expect=Expected(calls=[("get_weather", {"city": "Paris"})], finish=_DONE),
        sent={
            "openai_chat": {
                "tools.0.function.name": "get_weather",
                "tools.0.function.parameters.properties.city.type": "string",
                "tool_choice": one_of("required", "any"),
            },
            "anthropic": {
                "tools.0.name": "get_weather",
                "tools.0.input_schema.properties.city.type": "string",
                "tool_choice": like({"type": "any"}),
            },
            "gemini": {
                "tools.0.functionDeclarations.0.name": "get_weather",
                "toolConfig.functionCallingConfig.mode": "ANY",
            },
        },
        about=("tools", "tool_choice"),
        live=_LIVE_CALL,
    ),
    Scenario(
        id="parallel_calls",
        title="Several calls in one turn",
        request=ChatRequest([Message("user", "Weather in Paris and Rome?")], tools=[WEATHER]),
        reply=Script([_PARIS, Call("get_weather", {"city": "Rome"})]),
        expect=Expected(calls=[("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})], finish=_DONE),
        sent={
            "openai_chat": {"tools.0.type": "function"},
            "anthropic": {"tools.0.description": "The weather in a city."},
            "gemini": {"tools.0.functionDeclarations.0.description": "The weather in a city."},
        },
    ),
    Scenario(
        id="one_call_at_a_time",
        title="Parallel calls forbidden",
        request=ChatRequest([_ASK], tools=[WEATHER], tool_choice=ToolChoice("auto", parallel=False)),
        reply=Script(_PARIS),
        expect=Expected(calls=[("get_weather", {"city": "Paris"})], finish=_DONE),
        sent={
            "openai_chat": {"parallel_tool_calls": False},
            "anthropic": {"tool_choice.disable_parallel_tool_use": True},
        },
        about=("tool_choice",),
        live=Expected(finish=()),
    ),
    Scenario(
        id="forced_tool",
        title="One tool forced",
        request=ChatRequest([_ASK], tools=[_TIME, WEATHER], tool_choice=ToolChoice("named", ("get_weather",))),
        reply=Script(_PARIS),
        expect=Expected(calls=[("get_weather", {"city": "Paris"})], finish=(*_DONE, FinishReason.STOP)),
        sent={
            "openai_chat": {"tool_choice.function.name": "get_weather"},
            "anthropic": {"tool_choice": like({"type": "tool", "name": "get_weather"})},
            "gemini": {"toolConfig.functionCallingConfig.allowedFunctionNames": ["get_weather"]},
        },
        about=("tool_choice",),
        live=_LIVE_CALL,
    ),
    Scenario(
        id="tool_result",
        title="Tool result",
        request=ChatRequest(_answered(_result("call_1", "18 degrees")), tools=[WEATHER]),
        reply=Script("It is 18 degrees."),
        expect=Expected(text="It is 18 degrees."),
        sent={
            "openai_chat": {
                "messages.1.tool_calls.0.function.arguments": '{"city":"Paris"}',
                "messages.2.role": "tool",
                "messages.2.tool_call_id": PRESENT,
                "messages.2.content": says("18 degrees"),
            },
            "anthropic": {
                "messages.1.content.0.input": {"city": "Paris"},
                "messages.2.role": "user",
                "messages.2.content.0": like({"type": "tool_result", "tool_use_id": "call_1"}),
                "messages.2.content.0.content": says("18 degrees"),
            },
            "gemini": {
                "contents.1.parts.0.functionCall.args": {"city": "Paris"},
                "contents.2.parts.0.functionResponse.name": "get_weather",
                "contents.2.parts.0.functionResponse.response": holds("18 degrees"),
            },
        },
        about=("messages[1]", "messages[2]"),
        live=ANYTHING,
    ),
    Scenario(
        id="parallel_results",
        title="Results of several calls",
        request=ChatRequest(
            _answered(_result("call_1", "18 degrees"), _result("call_2", "25 degrees")), tools=[WEATHER]
        ),
        reply=Script("Rome is warmer."),
        expect=Expected(text="Rome is warmer."),
        sent={
            "openai_chat": {
                "messages.2.content": says("18 degrees"),
                "messages.3.role": "tool",
                "messages.3.content": says("25 degrees"),
            },
            "anthropic": {
                "messages.1.content.1.id": "call_2",
                "messages.2.content.1.tool_use_id": "call_2",
                "messages.2.content.1.content": says("25 degrees"),
            },
            "gemini": {
                "contents.1.parts.1.functionCall.args": {"city": "Rome"},
                "contents.2.parts.1.functionResponse.response": holds("25 degrees"),
            },
        },
        about=("messages[1]", "messages[2]"),
        live=ANYTHING,
    ),
    Scenario(
        id="tool_error",
        title="Tool result marked as an error",
        request=ChatRequest(_answered(_result("call_1", "no such city", is_error=True)), tools=[WEATHER]),
        reply=Script("I could not find it."),
        expect=Expected(text="I could not find it."),
        sent={
            "openai_chat": {"messages.2.content": holds("no such city")},
            "anthropic": {"messages.2.content.0.is_error": True},
            "gemini": {"contents.2.parts.0.functionResponse.response.error": holds("no such city")},
        },
        about=("messages[2]",),
        live=ANYTHING,
    ),
    Scenario(
        id="tool_result_image",
        title="Image in a tool result",
        request=ChatRequest(
            _answered(
                ToolResultPart(
                    "call_1",
                    (TextPart("a map"), MediaPart("image", Inline("image/png", PIXEL))),
                    name="get_weather",
                )
            ),
            tools=[WEATHER],
        ),
        reply=Script("I see the map."),
        expect=Expected(text="I see the map."),
        sent={
            "openai_chat": {"messages": holds(PIXEL)},
            "anthropic": {"messages.2.content.0": holds(PIXEL)},
            "gemini": {"contents": holds(PIXEL)},
        },
        about=("messages[2]",),
        need="vision",
    ),
)
