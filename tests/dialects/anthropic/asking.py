"""Requests of another dialect, encoded for this API, for the tests of this folder."""

import json
from typing import Any

from execution_platform.dialects.anthropic import DIALECT
from execution_platform.dialects.base import Encoded
from execution_platform.spi import ChatRequest, Message, ModelProfile, Origin

PROFILE = ModelProfile(
    extra={"provider": "anthropic"},
    thinking_replay="native",
    tool_result_media=True,
    url_media=frozenset({"image", "document"}),
    tool_name_max=128,
    effort_levels=("low", "medium", "high"),
)
HOME = Origin(dialect="anthropic", provider="anthropic")
AWAY = Origin(dialect="gemini", provider="gemini")
ASK = Message("user", "?")


def encode(request: ChatRequest, profile: ModelProfile = PROFILE) -> tuple[dict[str, Any], dict[str, str], Encoded]:
    encoded = DIALECT.encode_request(request, profile)
    return json.loads(encoded.body), {loss.path: loss.severity for loss in encoded.losses}, encoded


def openai(*messages: Message, **settings: Any) -> ChatRequest:
    return ChatRequest(list(messages), "claude-x", dialect="openai_chat", **settings)
