"""A provider that answers at once, in the OpenAI and the Anthropic dialect: `upstreams.py PORT [--delay SECONDS]`.

A request with `"stream": true` gets 53 SSE frames of about 200 bytes, each written by itself and, with a delay, that much
apart; every other gets one answer of about 1 KB. Requests are told apart by path and by that member alone: a load test
measures the gateway, so this end does as little as it can.
"""

import argparse
import asyncio
import json
from typing import cast

import httptools
import uvloop

WORDS = 50
TEXT = "The quick brown fox jumps over the lazy dog. " * 12


def _answer(body: object) -> bytes:
    data = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data) + data


def _chunks(frames: list[bytes]) -> list[bytes]:
    return [b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames]


def _openai_frame(delta: object, finish: str | None = None, usage: object = None) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}] if usage is None else []
    about = {"id": "chatcmpl-abc", "object": "chat.completion.chunk", "created": 1700000000, "model": "gpt-4o-mini"}
    return b"data: " + json.dumps({**about, "choices": choices, "usage": usage}).encode() + b"\n\n"


def _openai() -> tuple[bytes, list[bytes]]:
    usage = {"prompt_tokens": 25, "completion_tokens": WORDS, "total_tokens": 25 + WORDS}
    message = {"role": "assistant", "content": TEXT}
    whole = {
        "id": "chatcmpl-abc",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
    }
    words = [_openai_frame({"content": f"word{number} "}) for number in range(WORDS)]
    frames = [_openai_frame({"role": "assistant", "content": ""}), *words]
    return _answer(whole), [*frames, _openai_frame({}, "stop"), _openai_frame({}, usage=usage), b"data: [DONE]\n\n"]


def _anthropic_frame(name: str, **data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def _anthropic() -> tuple[bytes, list[bytes]]:
    about = {"id": "msg_abc", "type": "message", "role": "assistant", "model": "claude-haiku-4-5"}
    usage = {"input_tokens": 25, "output_tokens": WORDS}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    whole = {**about, "content": [{"type": "text", "text": TEXT}], **ended, "usage": usage}
    start = {**about, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    words = [
        _anthropic_frame("content_block_delta", index=0, delta={"type": "text_delta", "text": f"word{number} "})
        for number in range(WORDS)
    ]
    return _answer(whole), [
        _anthropic_frame("message_start", message=start),
        _anthropic_frame("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *words,
        _anthropic_frame("content_block_stop", index=0),
        _anthropic_frame("message_delta", delta=ended, usage={"output_tokens": WORDS}),
        _anthropic_frame("message_stop"),
    ]


HEALTH = _answer({"ok": True})
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"
OPENAI, OPENAI_FRAMES = _openai()
ANTHROPIC, ANTHROPIC_FRAMES = _anthropic()
OPENAI_CHUNKS = _chunks(OPENAI_FRAMES)
ANTHROPIC_CHUNKS = _chunks(ANTHROPIC_FRAMES)


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._parser = httptools.HttpRequestParser(self)
        self._parts: list[bytes] = []
        self._path = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._path = url

    def on_message_begin(self) -> None:
        self._parts = []

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)

    def on_message_complete(self) -> None:
        body = b"".join(self._parts)
        anthropic = b"messages" in self._path
        if not body:
            self._transport.write(HEALTH)
        elif b'"stream":true' in body or b'"stream": true' in body:
            self._stream(ANTHROPIC_CHUNKS if anthropic else OPENAI_CHUNKS)
        else:
            self._transport.write(ANTHROPIC if anthropic else OPENAI)

    def _stream(self, chunks: list[bytes]) -> None:
        if self._delay:
            task = asyncio.get_running_loop().create_task(self._slowly(chunks))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        self._transport.write(STREAM_HEAD)
        for chunk in chunks:
            self._transport.write(chunk)
        self._transport.write(STREAM_END)

    async def _slowly(self, chunks: list[bytes]) -> None:
        self._transport.write(STREAM_HEAD)
        for chunk in chunks:
            self._transport.write(chunk)
            await asyncio.sleep(self._delay)
        self._transport.write(STREAM_END)


async def serve(port: int, delay: float) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(delay), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A provider that answers at once.")
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between two frames of a stream")
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.delay))


if __name__ == "__main__":
    main()
