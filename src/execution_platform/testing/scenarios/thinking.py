"""Reasoning: how much of it, seeing it, and giving it back."""

from collections.abc import Iterable

from execution_platform.spi.messages import Message
from execution_platform.spi.parts import TextPart, ToolResultPart
from execution_platform.spi.request import ChatRequest, Reasoning
from execution_platform.spi.response import ChatResponse, FinishReason
from execution_platform.testing.scenario import ABSENT, Expected, Scenario, Test, find, holds
from execution_platform.testing.scenarios.tools import WEATHER
from execution_platform.testing.script import Call, Script, Text, Thinking, Tokens

_THOUGHT = "Let me think about it."
_SIGNED = "c2lnbmVkLWJ5LXRoZS12ZW5kb3I="
_ASK = Message("user", "What is the weather in Paris?")
_EFFORT = Test(
    "has a thinking budget or level",
    lambda config: any(find(config, name) is not ABSENT for name in ("thinkingBudget", "thinkingLevel")),
)


def _next_turn(response: ChatResponse) -> ChatRequest:
    """The history with the model's own message and the result it waits for."""
    results = [ToolResultPart(call.call_id, (TextPart("18 degrees"),), name=call.name) for call in response.tool_calls]
    return ChatRequest(
        [_ASK, response.message, Message("tool", results)],
        tools=[WEATHER],
        reasoning=Reasoning(effort="low", include=True),
    )


def _is_18(response: ChatResponse) -> Iterable[str]:
    if response.text != "It is 18 degrees.":
        yield f"text is {response.text!r}"


THINKING = (
    Scenario(
        id="reasoning_effort",
        title="Reasoning effort",
        request=ChatRequest([Message("user", "Think hard.")], reasoning=Reasoning(effort="low")),
        reply=Script("Done.", usage=Tokens(input=5, output=30, reasoning=20)),
        expect=Expected(text="Done.", usage={"output_tokens": 30, "reasoning_tokens": 20}),
        sent={
            "openai_chat": {"reasoning_effort|reasoning.effort": "low"},
            "anthropic": {"thinking.type": "enabled", "thinking.budget_tokens": 4096},
            "gemini": {"generationConfig.thinkingConfig": _EFFORT},
        },
        about=("reasoning",),
        need="reasoning",
    ),
    Scenario(
        id="thinking",
        title="Thinking shown",
        request=ChatRequest([Message("user", "Think aloud.")], reasoning=Reasoning(effort="low", include=True)),
        reply=Script(
            [Thinking(_THOUGHT, signature=_SIGNED, chunks=3), Text("Done.")], usage=Tokens(5, 30, reasoning=20)
        ),
        expect=Expected(text="Done.", thinking=_THOUGHT, usage={"reasoning_tokens": 20}),
        sent={
            "anthropic": {"thinking.type": "enabled"},
            "gemini": {"generationConfig.thinkingConfig.includeThoughts": True},
        },
        about=("reasoning",),
        need="reasoning",
    ),
    Scenario(
        id="thinking_replay",
        title="Thinking given back with a tool result",
        request=ChatRequest([_ASK], tools=[WEATHER], reasoning=Reasoning(effort="low", include=True)),
        reply=[
            Script([Thinking(_THOUGHT, signature=_SIGNED), Call("get_weather", {"city": "Paris"}, id="toolu_1")]),
            Script("It is 18 degrees."),
        ],
        expect=Expected(finish=(FinishReason.STOP,), check=_is_18),
        sent={
            "openai_chat": {"messages.1": holds(_THOUGHT)},
            "anthropic": {
                "messages.1.content.0": {"type": "thinking", "thinking": _THOUGHT, "signature": _SIGNED},
                "messages.1.content.1.type": "tool_use",
            },
            "gemini": {"contents.1.parts": holds(_SIGNED)},
        },
        about=("messages[1]", "reasoning"),
        need="reasoning",
        then=_next_turn,
    ),
)
