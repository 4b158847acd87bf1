"""A provider for load: `python -m capacity.upstream PORT`. What a request asks for stands in its text, as `Ask` writes it.

It does as little as it can, since it shares the processor with what is measured. `GET /stats` tells how many answers are
under way, are whole, and were left by whoever asked.
"""

import asyncio
import re
import socket
import sys
from dataclasses import dataclass

import httptools
import uvloop

from execution_platform import _json

_ASKED = re.compile(rb"load:([\d.]+),(\d+),([\d.]+),(\d+),([\d.]+)")
_AT_ONCE = 100_000
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Ask:
    """An answer to order: it begins after `delay` seconds and has `frames` of `pad` bytes, `gap` seconds apart."""

    delay: float = 0.0
    frames: int = 10
    gap: float = 0.0
    pad: int = 5
    failing: float = 0.0
    """Share of the requests that get 503."""

    @property
    def text(self) -> str:
        """The user's message."""
        return f"load:{self.delay:g},{self.frames},{self.gap:g},{self.pad},{self.failing:g}"

    @classmethod
    def read(cls, body: bytes) -> "Ask":
        """What a request asks for."""
        found = _ASKED.search(body)
        if found is None:
            return cls()
        return cls(float(found[1]), int(found[2]), float(found[3]), int(found[4]), float(found[5]))


def _answer(body: object, status: bytes = b"200 OK") -> bytes:
    data = _json.dumps(body)
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(data), data)


def _openai_frame(delta: object, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-a",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": [choice],
    }
    return b"data: %b\n\n" % _json.dumps(chunk)


USAGE = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
_END = (
    _openai_frame({}, "stop")
    + b"data: %b\n\n" % _json.dumps({"id": "chatcmpl-a", "model": "gpt-4o", "choices": [], "usage": USAGE})
    + b"data: [DONE]\n\n"
)
_MESSAGE = {"role": "assistant", "content": "fine"}
_CHOICE = {"index": 0, "message": _MESSAGE, "finish_reason": "stop"}
OPENAI = _answer(
    {"id": "chatcmpl-a", "object": "chat.completion", "model": "gpt-4o", "choices": [_CHOICE], "usage": USAGE}
)
_SAID = {"id": "msg_a", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
ANTHROPIC = _answer(
    {
        **_SAID,
        "content": [{"type": "text", "text": "fine"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 10},
    }
)
FAILED = _answer({"error": {"message": "down", "type": "server_error"}}, b"503 Service Unavailable")


@dataclass
class Stats:
    """What the upstream has seen."""

    open: int = 0
    whole: int = 0
    left: int = 0


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._count = 0
        self._task: asyncio.Task[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._parser = httptools.HttpRequestParser(self)

    def connection_lost(self, _: Exception | None) -> None:
        """asyncio's."""
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """asyncio's."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """asyncio's."""
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """asyncio's."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        """httptools'."""
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        """httptools'."""
        self._url = url

    def on_body(self, data: bytes) -> None:
        """httptools'."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """httptools'."""
        if self._url == b"/stats":
            self._transport.write(_answer(vars(self._stats)))
            return
        # Of this request: once it is read, the parser tells of the next one.
        self._is_last = not self._parser.should_keep_alive()
        body = b"".join(self._body)
        ask = Ask.read(body)
        self._count += 1
        if ask.failing and (hash((id(self), self._count)) % 1000) < ask.failing * 1000:
            self._transport.write(FAILED)
            return
        whole = ANTHROPIC if self._url.endswith(b"/messages") else OPENAI
        if b'"stream":true' in body or b'"stream": true' in body:
            self._task = asyncio.get_running_loop().create_task(self._stream(ask))
        elif ask.delay:
            self._task = asyncio.get_running_loop().create_task(self._whole(ask, whole))
        else:
            self._transport.write(whole)
            self._end()

    def _end(self) -> None:
        """Whoever said that it is the last request of the connection waits for its end."""
        if self._is_last:
            self._transport.close()

    async def _whole(self, ask: Ask, whole: bytes) -> None:
        with _Counted(self._stats):
            await asyncio.sleep(ask.delay)
            self._transport.write(whole)
        self._end()

    async def _stream(self, ask: Ask) -> None:
        frame = _openai_frame({"content": "x" * ask.pad})
        chunk = b"%x\r\n%b\r\n" % (len(frame), frame)
        with _Counted(self._stats):
            await asyncio.sleep(ask.delay)
            self._transport.write(_HEAD)
            if not ask.gap and ask.frames * ask.pad < _AT_ONCE:
                self._transport.write(chunk * ask.frames)
            else:
                await self._in_pieces(ask, chunk)
            self._transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(_END), _END))
        self._end()

    async def _in_pieces(self, ask: Ask, chunk: bytes) -> None:
        for _ in range(ask.frames):
            await self._may_write.wait()
            self._transport.write(chunk)
            if ask.gap:
                await asyncio.sleep(ask.gap)


class _Counted:
    """An answer under way."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def __enter__(self) -> None:
        self._stats.open += 1

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stats.open -= 1
        if kind is None:
            self._stats.whole += 1
        else:
            self._stats.left += 1


async def serve(port: int) -> None:
    """Serve until cancelled."""
    stats = Stats()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(stats), "127.0.0.1", port, backlog=4096)
    for sock in server.sockets:
        # Otherwise it is busy for seconds with megabytes for each gateway's connection that nobody reads.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 64 * 1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
