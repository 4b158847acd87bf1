"""A socket client that hides nothing: it keeps every byte and tells how the connection ended."""

import asyncio
import json
from dataclasses import dataclass, field

ANTHROPIC = {"anthropic-version": "2026-10-21"}
SAY_HI = [{"role": "user", "content": "say hi"}]
OPENAI_PATH = "/v1/chat/completions"
ANTHROPIC_PATH = "/v1/messages"
GEMINI_PATH = "/v1beta/models/gemini-2.5-flash:generateContent"
GEMINI_SSE = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
GEMINI_ARRAY = "/v1/models/gemini-2.5-flash:streamGenerateContent"


@dataclass
class Received:
    raw: bytes
    was_reset: bool = False
    status: int = 0
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False

    def json(self):
        return json.loads(self.body)

    def events(self):
        """The decoded `data:` payloads of server-sent events; `[DONE]` stays text."""
        text = self.body.decode().replace("\r\n", "\n")
        lines = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


def parse(raw, was_reset=False):
    received = Received(raw, was_reset)
    head, separator, rest = raw.partition(b"\r\n\r\n")
    if not separator:
        return received
    lines = head.decode("latin-1").split("\r\n")
    received.status = int(lines[0].split(" ")[1])
    received.headers = dict(line.split(": ", 1) for line in lines[1:])
    if received.headers.get("transfer-encoding") != "chunked":
        received.body = rest
        received.is_whole = len(rest) == int(received.headers.get("content-length", "-1"))
        return received
    while rest:
        size_line, _, rest = rest.partition(b"\r\n")
        try:
            size = int(size_line, 16)
        except ValueError:
            return received
        if size == 0:
            received.is_whole = rest == b"\r\n"
            return received
        received.body += rest[:size]
        if len(rest) < size + 2:
            return received
        rest = rest[size + 2 :]
    return received


def request_bytes(path, body, headers=None, *, method="POST", keep=False):
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: upstream", f"content-length: {len(payload)}"]
    lines += [] if keep else ["connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + payload


async def send(upstream, path, body, headers=None, *, method="POST"):
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(request_bytes(path, body, headers, method=method))
    raw, was_reset = b"", False
    try:
        async with asyncio.timeout(10):
            while data := await reader.read(65536):
                raw += data
    except ConnectionResetError:
        was_reset = True
    writer.close()
    return parse(raw, was_reset)


def openai(**members):
    return {"model": "gpt-4o-mini", "messages": SAY_HI} | members


def anthropic(**members):
    return {"model": "claude-sonnet-4-5", "messages": SAY_HI, "max_tokens": 100} | members


def gemini(**members):
    return {"contents": [{"role": "user", "parts": [{"text": "say hi"}]}]} | members


STREAMS = {
    "openai_chat": (OPENAI_PATH, openai(stream=True), {}),
    "anthropic": (ANTHROPIC_PATH, anthropic(stream=True), ANTHROPIC),
    "gemini": (GEMINI_SSE, gemini(), {}),
}
UNARY = {
    "openai_chat": (OPENAI_PATH, openai(), {}),
    "anthropic": (ANTHROPIC_PATH, anthropic(), ANTHROPIC),
    "gemini": (GEMINI_PATH, gemini(), {}),
}
