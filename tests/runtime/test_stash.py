"""The stash puts back what clients of other dialects throw away, and nothing else."""

from execution_platform.runtime.stash import Stash
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Origin, Signature, TextPart, ThinkingPart, ToolCallPart
from execution_platform.spi.request import ChatRequest

SIGNED = Signature("opaque", Origin(dialect="anthropic", provider="anthropic"))
THOUGHT = ThinkingPart("hm", signature=SIGNED)


def turn(*parts) -> ChatRequest:
    return ChatRequest([Message("user", "hi"), Message("assistant", parts)])


def test_thinking_before_a_call_comes_back_with_the_call() -> None:
    stash = Stash()
    stash.keep("t", (THOUGHT, TextPart("let me see"), ToolCallPart("c1", "weather")))
    refilled = stash.refill("t", turn(TextPart("let me see"), ToolCallPart("c1", "weather")))
    assert refilled.messages[1].parts == (THOUGHT, TextPart("let me see"), ToolCallPart("c1", "weather"))


def test_a_signature_on_the_call_itself_comes_back() -> None:
    stash = Stash()
    stash.keep("t", (ToolCallPart("c1", "weather", signature=SIGNED),))
    assert stash.refill("t", turn(ToolCallPart("c1", "weather"))).messages[1].parts[0].signature == SIGNED


def test_another_tenant_gets_nothing() -> None:
    stash = Stash()
    stash.keep("t", (THOUGHT, ToolCallPart("c1", "weather")))
    request = turn(ToolCallPart("c1", "weather"))
    assert stash.refill("other", request) is request


def test_what_the_client_did_return_is_left_alone() -> None:
    stash = Stash()
    stash.keep("t", (THOUGHT, ToolCallPart("c1", "weather")))
    own = ThinkingPart("hm", signature=Signature("own", Origin(dialect="anthropic")))
    request = turn(own, ToolCallPart("c1", "weather"))
    assert stash.refill("t", request) is request


def test_the_memory_is_bounded() -> None:
    stash = Stash(most=2)
    for number in range(3):
        stash.keep("t", (THOUGHT, ToolCallPart(f"c{number}", "weather")))
    request = turn(ToolCallPart("c0", "weather"))
    assert stash.refill("t", request) is request
