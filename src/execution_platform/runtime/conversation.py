"""Which conversation a request belongs to, for `sticky` routes and for the arms of experiments.

A caller that knows says so: by our own header, by the session headers that coding agents send, by OpenAI's
`prompt_cache_key` or by Anthropic's `metadata.user_id`. Where it does not, a conversation is known by its first words, which
every later turn repeats: the texts of the first message that is no instruction. Instructions are left out because agents put
dates and file lists into them, and everything but texts because cache marks move from turn to turn.

Nothing is looked at before a route asks.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final, cast

from execution_platform import _json
from execution_platform.router.selection import Conversation
from execution_platform.runtime.marks import contains_any

HEADERS: Final = (
    b"x-ep-conversation",
    # Claude Code, from 2.1.86; Codex, today's and the older spelling; opencode; and what several clients share (2026-11).
    b"x-claude-code-session-id",
    b"session-id",
    b"session_id",
    b"x-opencode-session",
    b"x-session-affinity",
    b"x-session-id",
)
_TURNS: Final = ("messages", "contents")
_INSTRUCTIONS: Final = frozenset({"system", "developer"})
_LOOKED_AT: Final = 8
"""Messages among which the first one that is no instruction is looked for."""
_TEXTS: Final = ("text", "content", "parts")
_LONGEST: Final = 4096
_SIZE: Final = 16


def given_key(headers: Mapping[bytes, bytes], body: bytes) -> bytes | None:
    """What the caller calls its conversation; None when it does not say."""
    for name in HEADERS:
        value = headers.get(name)
        if value:
            return value[:_LONGEST]
    if not contains_any(body, (b'"prompt_cache_key"', b'"user_id"')):
        return None
    members = _json.members(body)
    key = _text(members.get("prompt_cache_key"))
    if key is None and "metadata" in members:
        metadata = _json.loads(bytes(members["metadata"]))
        key = cast("dict[str, object]", metadata).get("user_id") if isinstance(metadata, dict) else None
    return key.encode()[:_LONGEST] if isinstance(key, str) and key else None


def _text(raw: _json.Raw | None) -> object:
    return None if raw is None else _json.loads(bytes(raw))


def first_words(body: bytes) -> bytes | None:
    """The texts of the first message that is no instruction; None when there is none."""
    members = _json.members(body)
    for name in _TURNS:
        if name in members:
            for turn in _json.items(members[name], most=_LOOKED_AT):
                message = _json.loads(turn)
                if isinstance(message, dict):
                    told = cast("dict[str, object]", message)
                    if told.get("role") not in _INSTRUCTIONS:
                        return "\0".join(_texts(told)).encode() or bytes(turn)
    return None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _texts(item)
    elif isinstance(value, dict):
        part = cast("dict[str, object]", value)
        for name in _TEXTS:
            if name in part:
                yield from _texts(part[name])


def conversation_of(headers: Mapping[bytes, bytes], body: bytes, tenant: str) -> Conversation:
    """The conversation of a request with these headers and this body."""

    def key(derived: bool) -> bytes | None:  # noqa: FBT001 - the signature of `Conversation`
        return conversation_key(headers, body, tenant, derived=derived)

    return key


def conversation_key(headers: Mapping[bytes, bytes], body: bytes, tenant: str, *, derived: bool) -> bytes | None:
    """The key the caller gave, else, if `derived`, one of the conversation's first words; of fixed size, and none of another tenant's."""
    key = given_key(headers, body)
    if key is None and derived:
        key = first_words(body)
    return None if key is None else hashlib.blake2b(key, key=tenant.encode()[:64], digest_size=_SIZE).digest()
