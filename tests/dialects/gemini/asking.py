"""Requests for the tests of the encoder."""

import json

from execution_platform.dialects.gemini import DIALECT
from execution_platform.spi import (
    ChatRequest,
    Message,
    ModelProfile,
    Origin,
)

AWAY = Origin(dialect="anthropic", provider="anthropic")
HOME = Origin(dialect="gemini", provider="gemini")
PROFILE = ModelProfile(
    schema_flavor="openapi",
    url_media=frozenset(),
    thinking_replay="native",
    mid_system="inline",
    max_stop_sequences=5,
    logprobs=True,
    extra={"provider": "gemini"},
)


def encode(request, profile=PROFILE):
    encoded = DIALECT.encode_request(request, profile)
    return json.loads(encoded.body), [f"{loss.severity} {loss.path}" for loss in encoded.losses], encoded


def ask(*messages, **settings):
    return ChatRequest(
        messages or [Message("user", "hi")],
        "gemini-2.5-flash",
        dialect=settings.pop("dialect", "openai_chat"),
        **settings,
    )


def contents(*messages, profile=PROFILE):
    wire, losses, _ = encode(ask(*messages), profile)
    return wire["contents"], losses


def from_part(part, role="user", profile=PROFILE):
    found, losses = contents(Message(role, [part]), profile=profile)
    return (found[0]["parts"] if found else []), losses


def turn(role, *parts):
    return {"role": role, "parts": list(parts)}
