"""The mock: it keeps to what it is asked where it can, and tells where it cannot."""

import asyncio

import pytest

from execution_platform.exceptions import UnsupportedFeature
from execution_platform.providers.base import Exchange
from execution_platform.providers.mock import MockProvider
from execution_platform.spi import ChatRequest, ChatResponse, Inline, MediaPart, Message, ModelProfile, Reasoning
from execution_platform.spi.response import FinishReason


def ask(request: ChatRequest, *script: str) -> tuple[ChatResponse, list[str]]:
    exchange = Exchange("mock-1", ModelProfile())
    answer = asyncio.run(MockProvider("mock", script=script).complete(request, exchange))
    return answer, [loss.path for loss in exchange.losses]


def test_it_writes_no_more_words_than_it_may() -> None:
    answer, losses = ask(ChatRequest([Message("user", "hi")], max_tokens=2), "one two three")
    assert (answer.text, answer.finish.reason, losses) == ("one two", FinishReason.LENGTH, [])
    assert answer.usage is not None
    assert answer.usage.output_tokens == 2


def test_it_ends_before_the_first_stop_sequence() -> None:
    answer, _ = ask(ChatRequest([Message("user", "hi")], stop=["four", "two"]), "one two three four")
    assert answer.text == "one "
    assert (answer.finish.reason, answer.finish.stop_sequence) == (FinishReason.STOP_SEQUENCE, "two")


def test_what_it_does_not_look_at_is_a_recorded_loss() -> None:
    image = MediaPart("image", Inline("image/png", "AAAA"))
    request = ChatRequest([Message("user", [image])], logprobs=True, reasoning=Reasoning(effort="low"))
    assert ask(request)[1] == ["messages[0].content[0]", "reasoning", "logprobs"]


def test_several_answers_are_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="n: the mock gives one answer"):
        ask(ChatRequest([Message("user", "hi")], n=2))
