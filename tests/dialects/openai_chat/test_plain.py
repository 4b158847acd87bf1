"""The quick reading of plain messages says what the full reading says, and nothing where it is not sure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.dialects.openai_chat.messages import decode_message
from execution_platform.dialects.openai_chat.plain import plain_message
from execution_platform.exceptions import InvalidRequest

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
