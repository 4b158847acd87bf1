"""Text in and out: turns, system text, limits and sampling."""

from collections.abc import Iterable

from execution_platform.spi.messages import Message
from execution_platform.spi.parts import CacheMark, TextPart
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse, FinishReason
from execution_platform.testing.scenario import ABSENT, PRESENT, Expected, Scenario, holds, one_of, says
from execution_platform.testing.script import Script, Text, Tokens

_HELLO = "Say hello."
_RULE = "From now on answer in German."
_ENDED = (FinishReason.STOP, FinishReason.LENGTH)


def _says_something(response: ChatResponse) -> Iterable[str]:
    if not response.text.strip():
        yield "the answer is empty"


ANYTHING = Expected(finish=_ENDED, check=_says_something)


def _ended_by_sequence(response: ChatResponse) -> Iterable[str]:
    finish = response.finish
    if finish.reason is FinishReason.STOP_SEQUENCE and finish.stop_sequence != "END":
        yield f"the matched stop sequence is {finish.stop_sequence!r}, expected 'END'"


def _has_no_end(response: ChatResponse) -> Iterable[str]:
    if "END" in response.text:
        yield "the stop sequence is in the text"


def _at_most_eight(response: ChatResponse) -> Iterable[str]:
    if response.usage is not None and (response.usage.output_tokens or 0) > 8:
        yield f"{response.usage.output_tokens} tokens were written, 8 allowed"


_TURNS = (Message("user", "I am Ada."), Message("assistant", "Hello Ada."), Message("user", "Who am I?"))

CONVERSATION = (
    Scenario(
        id="plain_text",
        title="Text",
        request=ChatRequest([Message("user", _HELLO)]),
        reply=Script(Text("Hello there, dear friend.", chunks=4), usage=Tokens(input=11, output=4)),
        expect=Expected(text="Hello there, dear friend.", usage={"input_tokens": 11, "output_tokens": 4}),
        sent={
            "openai_chat": {"messages.0.role": "user", "messages.0.content": says(_HELLO)},
            "anthropic": {
                "messages.0.role": "user",
                "messages.0.content": says(_HELLO),
                "max_tokens": PRESENT,
                "system": ABSENT,
            },
            "gemini": {"contents.0.role": "user", "contents.0.parts.0.text": _HELLO},
        },
        live=ANYTHING,
    ),
    Scenario(
        id="streaming",
        title="Streaming",
        request=ChatRequest([Message("user", _HELLO)]),
        reply=Script(Text("Grüße: eins 🦜 zwei drei vier", chunks=6), usage=Tokens(input=3, output=6)),
        expect=Expected(text="Grüße: eins 🦜 zwei drei vier", deltas=5, usage={"input_tokens": 3, "output_tokens": 6}),
        ways=("stream",),
        live=Expected(finish=_ENDED, deltas=2, check=_says_something),
    ),
    Scenario(
        id="system_prompt",
        title="System prompt",
        request=ChatRequest([Message("user", _HELLO)], system="Answer in French."),
        reply=Script("Bonjour."),
        expect=Expected(text="Bonjour."),
        sent={
            "openai_chat": {
                "messages.0.role": one_of("system", "developer"),
                "messages.0.content": says("Answer in French."),
                "messages.1.role": "user",
            },
            "anthropic": {"system": says("Answer in French."), "messages.0.role": "user"},
            "gemini": {"systemInstruction.parts.0.text": "Answer in French.", "contents.0.role": "user"},
        },
        about=("messages[0]",),
        live=ANYTHING,
    ),
    Scenario(
        id="mid_system",
        title="System text in mid-conversation",
        request=ChatRequest([*_TURNS[:2], Message("system", _RULE), _TURNS[2]]),
        reply=Script("Du bist Ada."),
        expect=Expected(text="Du bist Ada."),
        sent={
            "openai_chat": {"messages.2.content": holds(_RULE), "messages.0.role": "user"},
            "anthropic": {"messages.2.content": holds(_RULE), "system": ABSENT},
            "gemini": {"contents.2.parts": holds(_RULE), "systemInstruction": ABSENT},
        },
        about=("messages[2]",),
        live=ANYTHING,
    ),
    Scenario(
        id="multi_turn",
        title="Several turns",
        request=ChatRequest(_TURNS),
        reply=Script("You are Ada."),
        expect=Expected(text="You are Ada."),
        sent={
            "openai_chat": {"messages.1.role": "assistant", "messages.2.content": says("Who am I?")},
            "anthropic": {"messages.1.role": "assistant", "messages.2.content": says("Who am I?")},
            "gemini": {"contents.1.role": "model", "contents.2.parts.0.text": "Who am I?"},
        },
        live=ANYTHING,
    ),
    Scenario(
        id="prefill",
        title="Continue an assistant message",
        request=ChatRequest([Message("user", "Count to three."), Message("assistant", "One, two,")]),
        reply=Script(" three."),
        expect=Expected(text=" three."),
        sent={
            "openai_chat": {"messages.-1.role": "assistant", "messages.-1.content": says("One, two,")},
            "anthropic": {"messages.-1.role": "assistant", "messages.-1.content": says("One, two,")},
            "gemini": {"contents.-1.role": "model", "contents.-1.parts.0.text": "One, two,"},
        },
        about=("messages[1]",),
        live=ANYTHING,
    ),
    Scenario(
        id="stop_sequence",
        title="Stop sequence",
        request=ChatRequest([Message("user", _HELLO)], stop=["END"]),
        reply=Script("one two", finish="stop_sequence", stop_sequence="END"),
        expect=Expected(
            text="one two", finish=(FinishReason.STOP, FinishReason.STOP_SEQUENCE), check=_ended_by_sequence
        ),
        sent={
            "openai_chat": {"stop": one_of(["END"], "END")},
            "anthropic": {"stop_sequences": ["END"]},
            "gemini": {"generationConfig.stopSequences": ["END"]},
        },
        about=("stop",),
        live=Expected(finish=(*_ENDED, FinishReason.STOP_SEQUENCE), check=_has_no_end),
    ),
    Scenario(
        id="max_tokens",
        title="Output limit",
        request=ChatRequest([Message("user", "Tell me a long story about the sea.")], max_tokens=8),
        reply=Script("one two three", finish="length"),
        expect=Expected(text="one two three", finish=(FinishReason.LENGTH,)),
        sent={
            "openai_chat": {"max_tokens|max_completion_tokens": 8},
            "anthropic": {"max_tokens": 8},
            "gemini": {"generationConfig.maxOutputTokens": 8},
        },
        about=("max_tokens",),
        live=Expected(finish=(FinishReason.LENGTH,), check=_at_most_eight),
    ),
    Scenario(
        id="temperature",
        title="Temperature",
        request=ChatRequest([Message("user", _HELLO)], temperature=0.25),
        reply=Script("Hello."),
        expect=Expected(text="Hello."),
        sent={
            "openai_chat": {"temperature": 0.25},
            "anthropic": {"temperature": 0.25},
            "gemini": {"generationConfig.temperature": 0.25},
        },
        about=("temperature",),
        live=ANYTHING,
    ),
    Scenario(
        id="seed",
        title="Seed",
        request=ChatRequest([Message("user", _HELLO)], seed=7),
        reply=Script("Hello."),
        expect=Expected(text="Hello."),
        sent={"openai_chat": {"seed|random_seed": 7}, "gemini": {"generationConfig.seed": 7}},
        about=("seed",),
        live=ANYTHING,
    ),
    Scenario(
        id="penalties",
        title="Presence and frequency penalties",
        request=ChatRequest([Message("user", _HELLO)], presence_penalty=0.5, frequency_penalty=0.25),
        reply=Script("Hello."),
        expect=Expected(text="Hello."),
        sent={
            "openai_chat": {"presence_penalty": 0.5, "frequency_penalty": 0.25},
            "gemini": {"generationConfig.presencePenalty": 0.5, "generationConfig.frequencyPenalty": 0.25},
        },
        about=("presence_penalty", "frequency_penalty"),
        live=ANYTHING,
    ),
    Scenario(
        id="cache_marks",
        title="Prompt cache marks",
        request=ChatRequest(
            [Message("system", [TextPart("Long rules.", cache=CacheMark())], placement="top"), Message("user", _HELLO)]
        ),
        reply=Script("Hello.", usage=Tokens(input=100, output=1, cached=60)),
        expect=Expected(text="Hello.", usage={"input_tokens": 100, "cache_read_tokens": 60}),
        sent={
            "openai_chat": {"messages.0.content.0": holds("cache")},
            "anthropic": {"system.0.cache_control.type": "ephemeral"},
        },
        about=("messages[0]", "cache"),
        live=ANYTHING,
    ),
)
