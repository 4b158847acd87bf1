"""The memory of what the platform did behind a call of the caller's own."""

import pytest

from execution_platform.exceptions import InvalidRequest
from execution_platform.runtime.agent.aside import Asides, Work, marked, token
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import TextPart, ToolCallPart, ToolResultPart
from execution_platform.spi.request import ChatRequest
from execution_platform.tool_bridge.provenance import Provenance


def work(of: str, text: str = "found") -> Work:
    """A turn with one call of each kind, and the result of the platform's."""
    turn = Message("assistant", (ToolCallPart("p1", "fs_read"), ToolCallPart("c1", "ask")))
    result = Message("tool", (ToolResultPart("p1", (TextPart(text),)),))
    return Work((turn, result), {marked(of, 0): "c1"}, Provenance(private=True).as_json())


def back(of: str) -> ChatRequest:
    """The request of a caller that comes back."""
    name = marked(of, 0)
    said = Message("assistant", (TextPart("hm"), ToolCallPart(name, "ask")))
    return ChatRequest((Message("user", "hi"), said, Message("tool", "green", tool_call_id=name)))


def test_the_turns_stand_where_the_answer_stood() -> None:
    asides, of = Asides(), token()
    asides.keep("t", of, work(of))
    unfolded = asides.unfold("t", back(of))
    assert [message.role for message in unfolded.request.messages] == ["user", "assistant", "tool", "tool"]
    assert [call.name for call in unfolded.request.messages[1].tool_calls] == ["fs_read", "ask"]
    assert unfolded.request.messages[3].tool_call_id == "c1"
    assert unfolded.seen.private


def test_words_that_a_dialect_gave_as_a_message_of_their_own_are_not_said_twice() -> None:
    asides, of = Asides(), token()
    asides.keep("t", of, work(of))
    user, said, result = back(of).messages
    split = ChatRequest((user, Message("assistant", "hm"), Message("assistant", said.parts[1:]), result))
    assert asides.unfold("t", split).request == asides.unfold("t", back(of)).request


def test_a_request_without_such_ids_stays_as_it_is() -> None:
    request = ChatRequest((Message("user", "hi"), Message("assistant", (ToolCallPart("c1", "ask"),))))
    assert Asides().unfold("t", request).request is request


def test_another_tenant_and_a_made_up_token_are_refused() -> None:
    """K4, A5: what one tenant's run has read does not come into another's conversation; the token of another tenant's work is as unknown as any."""
    asides, of = Asides(), token()
    asides.keep("t", of, work(of))
    for tenant, name in (("other", of), ("t", token())):
        with pytest.raises(InvalidRequest, match="not kept here") as refused:
            asides.unfold(tenant, back(name))
        assert refused.value.code == "tool_results_not_kept"


@pytest.mark.parametrize("asides", [Asides(most=2), Asides(largest=30)], ids=["number", "size"])
def test_the_memory_is_bounded_and_the_oldest_go_first(asides: Asides) -> None:
    names = [token() for _ in range(3)]
    for of in names:
        asides.keep("t", of, work(of, "x" * 10))
    with pytest.raises(InvalidRequest):
        asides.unfold("t", back(names[0]))
    for of in names[1:]:
        asides.unfold("t", back(of))
