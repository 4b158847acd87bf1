"""Bytes without end, from callers and from providers: refused within bounds, and the memory stays what it was."""

import asyncio
import gzip
import http.client
import json
import socket
from pathlib import Path

import pytest

from child import ChildGateway
from execution_platform.testing import FakeUpstream, RawSocket, Script
from gateway.books import stored
from serving import MODELS, chat_body, serving, three_vendors

MIB = 1024 * 1024
CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CONTENT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
HOSTILE = {
    "a line without end": HEAD + b"\r\n" + b"data: " + b"a" * (3 * MIB),
    "a line without end behind content": HEAD + b"\r\n" + CONTENT + b"data: " + b"a" * (3 * MIB),
    "no UTF-8": HEAD + b'\r\ndata: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\n',
    "a bomb": HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(bytes(50 * MIB)),
    "a bomb that says nothing": HEAD + b"\r\n" + gzip.compress(bytes(50 * MIB)),
    "headers without number": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000 + b"\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nx: " + b"a" * MIB,
    "depth without end": HEAD + b"\r\ndata: " + b"[" * 100_000 + b"\n\n",
    "a length that lies": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n{",
    "usage beyond all numbers": HEAD + b"\r\n" + CONTENT + b'data: {"choices":[],"usage":{"prompt_tokens":1e999}}\n\n',
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_an_upstream_that_breaks_every_rule_is_an_error_in_the_callers_words(hostile: bytes, tmp_path: Path) -> None:
    """P6: never a failure of ours, never a clean end, and what may have cost something is in the books as an estimate."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            upstream.script(Script(RawSocket(hostile)))
            for client in CLIENTS:
                for stream in (False, True):
                    got = await gateway.post(*chat_body(client, "hi", MODELS["openai_chat"], stream=stream))
                    assert got.status in {200, 502, 503, 504}, (client, got.status, got.body[:500])
                    assert b'"error"' in got.body or b"event: error" in got.body, (client, got.body[:500])
                    assert b"[DONE]" not in got.body
                    if got.status != 200:
                        assert json.loads(got.body)["error"], (client, got.body)
            for row in await stored(gateway):
                assert row["status"] != "ok"
                assert row["confidence"] == "estimated" or row["cost_nanos"] == 0

    asyncio.run(run())


def resident(pid: int) -> int:
    """Bytes of memory of a process, at their highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM in /proc/<pid>/status")


def flood(port: int, head: bytes, piece: bytes, times: int) -> bytes:
    """Send `head` and then `piece` again and again until the other side has had enough; what it answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as to:
        try:
            to.sendall(head)
            for _ in range(times):
                to.sendall(piece)
        except ConnectionError:
            pass  # refused before the end, as it should be
        try:
            return to.recv(65536)
        except ConnectionError:
            return b""


def test_bombs_from_callers_and_providers_leave_the_memory_as_it_was() -> None:
    """E10, E11, P6, H5: a gigabyte in pieces, a million members, a hundred thousand parts, and answers without end."""

    async def run() -> None:
        async with FakeUpstream() as upstream:
            config = three_vendors(upstream, limits={"body": 4 * MIB}, circuit_breaker={"failure_threshold": 10_000})
            with ChildGateway(config) as gateway:
                await asyncio.to_thread(attack, gateway, upstream)

    asyncio.run(run())


POST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


def attack(gateway: ChildGateway, upstream: FakeUpstream) -> None:
    path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"], stream=True)
    assert ask(gateway, path, json.dumps(body).encode())[0] == 200
    before = resident(gateway.pid)

    piece = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    chunked = flood(gateway.port, POST + b"transfer-encoding: chunked\r\n\r\n", piece, 16384)
    assert chunked.startswith(b"HTTP/1.1 413") or chunked == b"", chunked
    lying = flood(gateway.port, POST + b"content-length: 1073741824\r\n\r\n", b"a" * 65536, 1)
    assert lying.startswith(b"HTTP/1.1 413"), lying
    members = b"{" + b",".join(b'"%d":0' % number for number in range(300_000)) + b"}"
    assert ask(gateway, path, members)[0] in {400, 413, 422}
    parts = b"--b\r\nx: y\r\n" * 100_000
    assert ask(gateway, "/v1/explain", parts, **{"content-type": "multipart/form-data; boundary=b"})[0] in {400, 422}
    form = b"&".join(b"%d=1" % number for number in range(100_000))
    assert ask(gateway, "/v1/explain", form, **{"content-type": "application/x-www-form-urlencoded"})[0] in {400, 422}
    ranges = ",".join(f"{number}-{number}" for number in range(1000, 3000))
    assert ask(gateway, "/openapi.json", None, range=f"bytes={ranges}")[0] == 200
    bomb = gzip.compress(bytes(100 * MIB))
    assert ask(gateway, path, bomb, **{"content-encoding": "gzip"})[0] == 415

    for hostile in HOSTILE.values():
        upstream.clear()
        upstream.script(Script(RawSocket(hostile)))
        assert ask(gateway, path, json.dumps(body).encode())[0] in {200, 502, 503, 504}
    upstream.clear()
    assert ask(gateway, path, json.dumps(body).encode())[0] == 200
    grown = resident(gateway.pid) - before
    assert grown < 64 * MIB, f"{grown / MIB:.0f} MiB more"


def ask(gateway: ChildGateway, path: str, body: bytes | None, **headers: str) -> tuple[int, bytes]:
    """One request, and the status and body of its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    try:
        sent = {"content-type": "application/json", **headers}
        connection.request("GET" if body is None else "POST", path, body, sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
