"""What is read and written quickly is what the full reading and writing says, and nothing where that is not sure."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialects.anthropic.test_plain import MESSAGES, ODD_CALLS, ODD_RESULTS, ODD_TEXTS
from dialects.anthropic.test_properties import bodies
from execution_platform import _json
from execution_platform.dialects import dialect
from execution_platform.dialects.openai_chat import DIALECT, turns
from execution_platform.dialects.openai_chat.messages import decode_message
from execution_platform.dialects.openai_chat.plain import plain_message
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi import ChatRequest, Message, ModelProfile, TextPart, ToolCallPart, ToolResultPart

TEXT = st.text(max_size=5)
ANY = st.none() | st.booleans() | st.integers() | TEXT | st.just([]) | st.just({})
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", 1])}, optional={"text": TEXT | ANY, "x": ANY}
)
FUNCTION = st.fixed_dictionaries({}, optional={"name": TEXT | ANY, "arguments": TEXT | ANY, "x": ANY})
CALL = st.fixed_dictionaries(
    {},
    optional={"id": TEXT | ANY, "type": st.sampled_from(["function", "custom", None]), "function": FUNCTION, "x": ANY},
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool", "function", "nobody", 1])},
    optional={
        "content": TEXT | ANY | st.lists(ITEM, max_size=3),
        "tool_calls": st.lists(CALL, max_size=2) | ANY,
        "tool_call_id": TEXT | ANY,
        "name": TEXT | ANY,
    },
)


@given(MESSAGE)
def test_a_plain_message_is_what_it_is_in_full(wire: dict[str, Any]) -> None:
    quick = plain_message(wire)
    if quick is None:
        return
    try:
        full = decode_message(wire, 0, [])
    except InvalidRequest as error:
        pytest.fail(f"read although {error.message}")
    assert quick == full


CALLS = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    "wire",
    [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": ""},
        {"role": "user", "content": "u"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": []},
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "assistant", "content": "a", "tool_calls": CALLS * 2},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
    ],
)
def test_the_forms_of_long_conversations_are_plain(wire: dict[str, Any]) -> None:
    quick = plain_message(wire)
    assert quick is not None
    assert quick == decode_message(wire, 0, [])


@pytest.mark.parametrize("wire", [None, [], "x", {}, {"role": "user"}, {"role": "tool", "content": ""}])
def test_what_is_no_message_is_left_to_the_full_reading(wire: Any) -> None:
    assert plain_message(wire) is None


PROFILES = [ModelProfile(), ModelProfile(prefill=False, mid_system="inline", tool_result_media=True)]


def both_ways(request: ChatRequest) -> None:
    """Written with and without the plain forms: the same bytes, the same losses."""
    for profile in PROFILES:
        quick = DIALECT.encode_request(request, profile)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(turns, "plain_wires", lambda *_: None)
            full = DIALECT.encode_request(request, profile)
        assert quick == full


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bodies)
def test_a_request_of_another_dialect_is_written_as_in_full(body: dict[str, Any]) -> None:
    both_ways(dialect("anthropic").decode_request(_json.dumps(body)))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MESSAGES, max_size=5))
def test_canonical_messages_are_written_as_in_full(messages: list[Message]) -> None:
    both_ways(ChatRequest(messages, "m"))


@pytest.mark.parametrize("odd", [*ODD_RESULTS, *ODD_CALLS, *ODD_TEXTS])
@pytest.mark.parametrize("role", ["user", "assistant", "tool"])
def test_an_odd_part_is_written_as_in_full(odd: Any, role: Any) -> None:
    words = TextPart("w")
    both_ways(ChatRequest([Message(role, (odd,))], "m"))
    both_ways(ChatRequest([Message(role, (odd, words)), Message("user", "?")], "m"))


def test_results_and_words_of_one_turn_become_messages_in_their_order() -> None:
    turn = Message(
        "user", (TextPart("w"), ToolResultPart("c1", (TextPart("r"),)), ToolResultPart("c2", (TextPart(""),)))
    )
    calls = Message("assistant", (ToolCallPart("c1", "f", ""), ToolCallPart("c2", "f")))
    encoded = DIALECT.encode_request(ChatRequest([calls, turn], "m", dialect="anthropic"), ModelProfile())
    said = _json.loads(encoded.body)
    assert isinstance(said, dict)
    assert said["messages"][1:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "user", "content": "w"},
    ]
    assert said["messages"][0]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
