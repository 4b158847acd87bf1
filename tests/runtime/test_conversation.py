from typing import Any

import pytest

from execution_platform import _json
from execution_platform.runtime.conversation import HEADERS, conversation_key

SYSTEM = {"role": "system", "content": "Today is Monday."}
QUESTION = {"role": "user", "content": "Why is the sky blue?"}


def key(body: Any, headers: dict[bytes, bytes] | None = None, *, tenant: str = "default", derived: bool = True) -> Any:
    return conversation_key(headers or {}, _json.dumps(body), tenant, derived=derived)


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_names_the_conversation(name: bytes) -> None:
    found = key({"messages": [QUESTION]}, {name: b"one"}, derived=False)
    assert found == key({"messages": []}, {HEADERS[0]: b"one"})
    assert found != key({"messages": [QUESTION]}, {name: b"two"})
    assert len(found) == 16


def test_our_own_header_comes_first() -> None:
    both = {b"x-claude-code-session-id": b"agent", b"x-ep-conversation": b"mine"}
    assert key({}, both) == key({}, {b"x-ep-conversation": b"mine"})


@pytest.mark.parametrize("body", [{"prompt_cache_key": "one"}, {"metadata": {"user_id": "one"}}])
def test_a_member_of_the_body_names_the_conversation(body: Any) -> None:
    assert key(body, derived=False) == key({}, {b"x-ep-conversation": b"one"})


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [QUESTION]},
        {"metadata": {"other": "user_id"}},
        {"metadata": "user_id"},
        {"prompt_cache_key": 7},
        {"prompt_cache_key": ""},
        {},
    ],
)
def test_a_caller_that_does_not_say_has_no_given_key(body: Any) -> None:
    assert key(body, derived=False) is None


def test_first_words_hold_over_the_turns_of_a_conversation() -> None:
    first = key({"messages": [SYSTEM, QUESTION]})
    later_system = {"role": "system", "content": "Today is Tuesday."}
    answer = {"role": "assistant", "content": "Because of Rayleigh scattering."}
    assert (
        key({"model": "x", "messages": [later_system, QUESTION, answer, {"role": "user", "content": "Go on."}]})
        == first
    )
    assert key({"messages": [SYSTEM, {"role": "user", "content": "Why is grass green?"}]}) != first


def test_cache_marks_do_not_change_the_first_words() -> None:
    part = {"type": "text", "text": "Why is the sky blue?"}
    marked = {**part, "cache_control": {"type": "ephemeral"}}
    assert key({"messages": [{"role": "user", "content": [marked]}]}) == key(
        {"messages": [{"role": "user", "content": [part]}]}
    )


def test_gemini_contents_have_first_words_too() -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    assert key(body) == key({**body, "contents": [*body["contents"], {"role": "model", "parts": [{"text": "ho"}]}]})
    assert key(body) is not None


def test_a_message_without_words_is_known_by_its_bytes() -> None:
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}
    assert key({"messages": [image]}) is not None


@pytest.mark.parametrize(
    "body", [{}, {"messages": []}, {"messages": "none"}, {"messages": [1]}, {"messages": [SYSTEM]}]
)
def test_without_words_there_is_no_key(body: Any) -> None:
    assert key(body) is None


def test_tenants_do_not_share_keys() -> None:
    assert key({"messages": [QUESTION]}) != key({"messages": [QUESTION]}, tenant="other")
