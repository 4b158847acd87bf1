"""Answers of other providers, encoded for a caller of this dialect, for the tests of this folder."""

import json
from collections.abc import Sequence
from typing import Any

from execution_platform.dialects.anthropic import DIALECT
from execution_platform.dialects.base import Downstream, Upstream
from execution_platform.spi import (
    ChatResponse,
    Finish,
    FinishReason,
    Message,
    Origin,
    Output,
    Part,
    accumulate,
    explode,
)
from execution_platform.spi.events import (
    Event,
)

AWAY = Origin(dialect="openai_chat", provider="openai", model="gpt")
GEMINI = Origin(dialect="gemini", provider="gemini")
DOWN = Downstream("asked", "req_7")
UP = Upstream(Origin(dialect="anthropic"))


def answer(*parts: Part, finish: Finish | None = None, origin: Origin = AWAY, **more: Any) -> ChatResponse:
    stop = finish or Finish(FinishReason.STOP, "stop")
    return ChatResponse(
        [Output(Message("assistant", parts), stop)], id="chatcmpl-1", model="gpt-x", origin=origin, **more
    )


def whole(response: ChatResponse) -> tuple[dict[str, Any], dict[str, str]]:
    encoded = DIALECT.encode_response(response, DOWN)
    return json.loads(encoded.body), {loss.path: loss.severity for loss in encoded.losses}


def streamed(events: Sequence[Event]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The frames of the events, each sent alone, checked for names and for one open block at a time."""
    encoder = DIALECT.stream_encoder(DOWN)
    data = b"".join(encoder.send([event]) for event in events) + encoder.close()
    frames: list[dict[str, Any]] = []
    for block in data.decode().split("\n\n")[:-1]:
        head, body = block.split("\n")
        frame = json.loads(body.removeprefix("data: "))
        assert head == f"event: {frame['type']}"
        frames.append(frame)
    opened: int | None = None
    following = 0
    for frame in frames:
        match frame["type"]:
            case "content_block_start":
                assert opened is None
                assert frame["index"] == following
                opened, following = following, following + 1
            case "content_block_delta":
                assert frame["index"] == opened
            case "content_block_stop":
                assert frame["index"] == opened
                opened = None
    return frames, {loss.path: loss.severity for loss in encoder.losses}


def read(response: ChatResponse) -> tuple[ChatResponse, ChatResponse]:
    """What a caller understands of the whole and of the streamed answer."""
    decoder = DIALECT.stream_decoder(UP)
    encoder = DIALECT.stream_encoder(DOWN)
    data = encoder.send(explode(response)) + encoder.close()
    by_stream = accumulate(decoder.feed(data) + decoder.close())
    return DIALECT.decode_response(DIALECT.encode_response(response, DOWN).body, UP), by_stream


def gathered(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content a client builds from a stream, as the vendor's SDK does."""
    content: list[dict[str, Any]] = []
    arguments = ""
    for frame in frames:
        if frame["type"] == "content_block_start":
            content.append(frame["content_block"])
            arguments = ""
        elif frame["type"] == "content_block_delta":
            delta = frame["delta"]
            if "text" in delta:
                content[-1]["text"] += delta["text"]
            elif "thinking" in delta:
                content[-1]["thinking"] += delta["thinking"]
            elif "signature" in delta:
                content[-1]["signature"] = delta["signature"]
            elif "partial_json" in delta:
                arguments += delta["partial_json"]
                content[-1]["input"] = arguments
        elif frame["type"] == "content_block_stop" and arguments:
            content[-1]["input"] = json.loads(arguments)
            arguments = ""
    return content
