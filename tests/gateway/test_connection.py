"""One client connection: framing that could be read in two ways, deadlines, limits, and addresses that are believed."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from execution_platform import _json
from execution_platform.testing import FakeUpstream, Script, Text
from gateway.watching import Log, metrics, total
from serving import MODELS, Served, chat_body, serving, three_vendors
from transport.raw_upstream import STREAM_HEAD, Exchange, chunk, raw_upstream

HOST = b"Host: localhost\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
BODY = b'{"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "hi"}]}'
SMUGGLED = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: smuggled\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def sized(length: bytes) -> bytes:
    return b"Content-Length: " + length + b"\r\n"


AMBIGUOUS = {
    "both framings": POST + HOST + sized(b"3") + CHUNKED + b"\r\n0\r\n\r\n",
    "both framings, the other way round": POST + HOST + CHUNKED + sized(b"3") + b"\r\n0\r\n\r\n",
    "two equal lengths": POST + HOST + sized(b"3") + sized(b"3") + b"\r\nabc",
    "two lengths": POST + HOST + sized(b"3") + sized(b"4") + b"\r\nabc",
    "a list of lengths": POST + HOST + sized(b"3, 3") + b"\r\nabc",
    "a signed length": POST + HOST + sized(b"+3") + b"\r\nabc",
    "a negative length": POST + HOST + sized(b"-3") + b"\r\nabc",
    "a hexadecimal length": POST + HOST + sized(b"0x3") + b"\r\nabc",
    "an empty length": POST + HOST + sized(b"") + b"\r\nabc",
    "a length beyond all numbers": POST + HOST + sized(b"9" * 23) + b"\r\nabc",
    "a length in words": POST + HOST + sized(b"three") + b"\r\nabc",
    "bare line feeds": b"POST /v1/chat HTTP/1.1\nHost: localhost\nContent-Length: 3\n\nabc",
    "one bare line feed": POST + b"Host: localhost\n" + sized(b"3") + b"\r\nabc",
    "a bare carriage return": POST + HOST + b"X: a\rb\r\n\r\n",
    "a folded header": POST + HOST + b"X: a\r\n b\r\n" + sized(b"3") + b"\r\nabc",
    "a folded framing": POST + HOST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + HOST + b"Content-Length : 3\r\n\r\nabc",
    "a space before the first header": POST + b" " + HOST + b"\r\n",
    "a NUL in a name": POST + HOST + b"Content\x00-Length: 3\r\n\r\nabc",
    "a NUL in a value": POST + HOST + b"X: a\x00b\r\n\r\n",
    "no name": POST + HOST + b": b\r\n\r\n",
    "no colon": POST + HOST + b"nothing\r\n\r\n",
    "an unknown coding": POST + HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
    "a coding behind chunked": POST + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n",
    "identity": POST + HOST + b"Transfer-Encoding: identity\r\n\r\nabc",
    "chunked twice": POST + HOST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "a vertical tab before chunked": POST + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /v1/chat HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
    "an underscore for the dash": POST + HOST + b"Transfer_Encoding: chunked\r\n" + sized(b"3") + b"\r\nabc",
    "an underscore in the length": POST + HOST + b"Content_Length: 3\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "a chunk size with a bare line feed": POST + HOST + CHUNKED + b"\r\n3\nabc\r\n0\r\n\r\n",
    "a chunk extension with a bare line feed": POST + HOST + CHUNKED + b"\r\n3;a\nb\r\nabc\r\n0\r\n\r\n",
    "a prefixed chunk size": POST + HOST + CHUNKED + b"\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size and a space": POST + HOST + CHUNKED + b"\r\n3 \r\nabc\r\n0\r\n\r\n",
    "a chunk longer than told": POST + HOST + CHUNKED + b"\r\n3\r\nabcXX0\r\n\r\n",
    "a chunk size beyond all numbers": POST + HOST + CHUNKED + b"\r\nffffffffffffffffff\r\nabc",
    "two hosts": POST + HOST + b"Host: b\r\n" + sized(b"3") + b"\r\nabc",
    "no host": POST + sized(b"3") + b"\r\nabc",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/2.0": b"GET /health HTTP/2.0\r\n" + HOST + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": b"GET /health HTTP/1.2\r\n" + HOST + b"\r\n",
    "words behind the target": b"GET /health a HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"G@T /health HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes that are no target": b"GET /\x7f\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@asynccontextmanager
async def edge(folder: Path, **limits: Any) -> AsyncIterator[Served]:
    async with FakeUpstream() as upstream, serving(folder, three_vendors(upstream, limits=limits)) as gateway:
        yield gateway


@asynccontextmanager
async def connected(gateway: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def to_the_end(reader: asyncio.StreamReader, seconds: float = 10) -> bytes:
    """All that comes until the connection is closed, however it is."""
    seen = b""
    async with asyncio.timeout(seconds):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                seen += data
    return seen


def test_a_request_that_can_be_read_in_two_ways_gets_one_400_and_a_closed_connection(tmp_path: Path) -> None:
    """E5: each payload is followed by a request that a confused server would answer."""

    async def run() -> None:
        assert len(AMBIGUOUS) >= 40
        async with edge(tmp_path) as gateway:
            for name, payload in AMBIGUOUS.items():
                async with connected(gateway) as (reader, writer):
                    writer.write(payload + SMUGGLED)
                    seen = await to_the_end(reader)
                assert seen.startswith(b"HTTP/1.1 400 "), (name, seen)
                assert seen.count(b"HTTP/1.1 ") == 1, (name, seen)
                assert b"connection: close" in seen, (name, seen)
                assert b"smuggled" not in seen, (name, seen)
                assert _json.loads(seen.partition(b"\r\n\r\n")[2]), (name, seen)
            assert (await gateway.get("/health")).status == 200

    asyncio.run(run())


def test_garbage_behind_a_whole_request_ends_the_connection_after_its_answer(tmp_path: Path) -> None:
    async def run() -> None:
        async with edge(tmp_path) as gateway, connected(gateway) as (reader, writer):
            writer.write(POST + HOST + sized(b"%d" % len(BODY)) + b"\r\n" + BODY + b"G@RBAGE\r\n\r\n")
            seen = await to_the_end(reader)
            assert seen.startswith(b"HTTP/1.1 200 ")
            assert seen.count(b"HTTP/1.1 ") == 1

    asyncio.run(run())


def test_requests_sent_ahead_are_answered_in_their_order(tmp_path: Path) -> None:
    async def run() -> None:
        async with edge(tmp_path) as gateway, connected(gateway) as (reader, writer):
            asked = [b"GET /health HTTP/1.1\r\n" + HOST + b"X-Request-Id: n%d\r\n\r\n" % n for n in range(5)]
            writer.write(b"".join(asked[:-1]) + asked[-1].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            seen = await to_the_end(reader)
            assert seen.count(b"HTTP/1.1 200") == 5
            places = [seen.index(b"x-request-id: n%d" % n) for n in range(5)]
            assert places == sorted(places)

    asyncio.run(run())


def test_too_many_requests_sent_ahead_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with edge(tmp_path) as gateway, connected(gateway) as (reader, writer):
            writer.write((b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n") * 200)
            seen = await to_the_end(reader)
            assert 1 <= seen.count(b"HTTP/1.1 ") <= 33

    asyncio.run(run())


@pytest.mark.parametrize("split", [0, 20, 150])
def test_an_offer_of_another_protocol_is_passed_over_and_the_body_is_kept(split: int, tmp_path: Path) -> None:
    """Java's HTTP client offers h2c with every first request."""

    async def run() -> None:
        async with edge(tmp_path) as gateway, connected(gateway) as (reader, writer):
            offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
            whole = POST + HOST + offer + sized(b"%d" % len(BODY)) + b"\r\n" + BODY
            writer.write(whole[:split])
            await writer.drain()
            await gateway.get("/health")
            writer.write(whole[split:] + b"GET /health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            seen = await to_the_end(reader)
            assert seen.count(b"HTTP/1.1 200 ") == 2, seen
            assert b"chat.completion" in seen

    asyncio.run(run())


# Sizes


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 33_000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 6000 + b"\r\n", 431),
        (b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 100_000, 431),
        (b"GET /" + b"a" * 100_000, 431),
    ],
)
def test_a_head_over_its_limit_is_refused_before_it_is_whole(head: bytes, status: int, tmp_path: Path) -> None:
    """E10: by the length of the target, of one header, and of all of them."""

    async def run() -> None:
        async with edge(tmp_path) as gateway, connected(gateway) as (reader, writer):
            writer.write(head)
            seen = await to_the_end(reader)
            assert seen.startswith(b"HTTP/1.1 %d " % status), seen[:200]
            assert b"request_head_too_large" in seen

    asyncio.run(run())


def test_a_long_head_within_the_limits_is_served(tmp_path: Path) -> None:
    async def run() -> None:
        async with edge(tmp_path) as gateway:
            got = await gateway.get("/health?" + "a" * 7000, x="b" * 7000, y="c" * 8000, z="d" * 8000)
            assert got.status == 200

    asyncio.run(run())


# Deadlines


def test_a_head_that_drips_is_ended_by_408_and_silence_is_just_closed(tmp_path: Path) -> None:
    """E9, R14."""

    async def run() -> None:
        async with edge(tmp_path, head_seconds=0.4) as gateway:
            async with connected(gateway) as (reader, writer), connected(gateway) as (silent, _):
                ended = asyncio.create_task(to_the_end(reader))
                writer.write(POST)
                while not ended.done():
                    with contextlib.suppress(ConnectionError):
                        writer.write(b"X: y\r\n")
                        await writer.drain()
                    await asyncio.wait([ended], timeout=0.05)
                assert (await ended).startswith(b"HTTP/1.1 408 ")
                assert await to_the_end(silent) == b""
            found = await metrics(gateway)
            assert total(found, "ep_slow_clients_total", what="head") == 2

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", b'"code":"request_timeout"'),
        ("/v1/messages", b'"type":"error"'),
        ("/v1beta/models/m:generateContent", b'"status":'),
        ("/v1/explain", b"request_timeout"),
    ],
)
@pytest.mark.parametrize("framing", [sized(b"5000"), CHUNKED])
def test_a_body_that_drips_is_ended_by_408_in_the_callers_dialect(
    path: str, shape: bytes, framing: bytes, tmp_path: Path
) -> None:
    """E9, R14."""

    async def run() -> None:
        async with edge(tmp_path, body_seconds=0.4) as gateway, connected(gateway) as (reader, writer):
            log = Log(gateway, tmp_path)
            writer.write(f"POST {path} HTTP/1.1\r\n".encode() + HOST + framing + b"\r\n")
            ended = asyncio.create_task(to_the_end(reader))
            while not ended.done():
                with contextlib.suppress(ConnectionError):
                    writer.write(b"1\r\n \r\n" if framing is CHUNKED else b" ")
                    await writer.drain()
                await asyncio.wait([ended], timeout=0.05)
            seen = await ended
            assert seen.startswith(b"HTTP/1.1 408 "), seen
            assert shape in seen
            (line,) = await log.requests(1)
            assert line["status"] == 408

    asyncio.run(run())


def test_the_deadlines_do_not_touch_an_answer_that_takes_long(tmp_path: Path) -> None:
    async def run() -> None:
        limits = {"head_seconds": 0.2, "body_seconds": 0.2, "idle_seconds": 0.2}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, limits=limits)) as gateway:
            gate = upstream.gate("slow")
            from execution_platform.testing import Stall

            upstream.script(Script(Text("one two"), faults=[Stall(gate=gate)]))
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
            asked = asyncio.create_task(gateway.post(path, body))
            done, _ = await asyncio.wait([asked], timeout=1.5)
            assert not done
            gate.release()
            assert (await asked).status == 200

    asyncio.run(run())


def test_a_connection_between_two_requests_is_closed_after_its_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with edge(tmp_path, idle_seconds=0.3) as gateway, connected(gateway) as (reader, writer):
            writer.write(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
            seen = await to_the_end(reader)
            assert seen.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" not in seen

    asyncio.run(run())


def never_reading(gateway: Served) -> socket.socket:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    return sock


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_client_that_never_reads_is_cut_and_its_upstream_closed(stream: bool, tmp_path: Path) -> None:
    """T6, R15."""

    async def run() -> None:
        limits = {"write_seconds": 0.4}
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, limits=limits)) as gateway:
            upstream.script(Script(Text("word " * 2_400_000, chunks=1200)))
            path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"], stream=stream)
            data = _json.dumps(body)
            with never_reading(gateway) as sock:
                sock.sendall(
                    f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data
                )
                async with asyncio.timeout(10):
                    while total(await metrics(gateway), "ep_slow_clients_total", what="read") != 1:
                        await asyncio.sleep(0.02)
                    while gateway.gateway.state.admission.in_flight > 0:
                        await asyncio.sleep(0.02)
            if stream:
                async with asyncio.timeout(5):
                    while upstream.meter[0].end is None:
                        await asyncio.sleep(0.02)
                assert upstream.meter[0].end == "client"
            assert gateway.gateway.state.admission.in_flight == 0
            assert total(await metrics(gateway), "ep_slow_clients_total", what="read") == 1

    asyncio.run(run())


def test_the_kernel_keeps_little_for_a_client_that_never_reads(tmp_path: Path) -> None:
    """R15: without a bound it takes megabytes for each."""
    sent: list[int] = []
    frame = chunk(b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 16_000))

    async def handler(exchange: Exchange) -> None:
        exchange.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        await exchange.write(STREAM_HEAD)
        for _ in range(1000):
            await exchange.write(frame)
            sent.append(len(frame))

    async def run() -> None:
        async with raw_upstream(handler) as upstream:
            openai = {"kind": "openai", "api_key": "sk-1", "base_url": upstream.url, "models": ["gpt-4o"]}
            config = {"limits": {"write_seconds": 0.4}, "providers": {"openai": openai}}
            async with serving(tmp_path, config) as gateway:
                data = _json.dumps(chat_body("openai_chat", "hi", "openai/gpt-4o", stream=True)[1])
                with never_reading(gateway) as sock:
                    sock.sendall(POST + HOST + sized(b"%d" % len(data)) + b"\r\n" + data)
                    async with asyncio.timeout(10):
                        while total(await metrics(gateway), "ep_slow_clients_total", what="read") != 1:
                            await asyncio.sleep(0.02)

    uvloop.run(run())
    assert 0 < sum(sent) < 1024 * 1024, sum(sent)


# Who may connect


def test_one_address_may_hold_only_so_many_connections(tmp_path: Path) -> None:
    async def run() -> None:
        async with edge(tmp_path, connections_per_peer=3) as gateway:
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(3):
                    await stack.enter_async_context(connected(gateway))
                async with connected(gateway) as (reader, writer):
                    writer.write(POST + HOST + sized(b"3") + b"\r\n")
                    seen = await to_the_end(reader)
                    assert seen.startswith(b"HTTP/1.1 503 ")
                    assert b"retry-after: 2" in seen
            async with asyncio.timeout(5):
                while (await gateway.get("/health")).status != 200:
                    pass

    asyncio.run(run())


def test_a_forwarded_address_is_believed_of_trusted_proxies_only(tmp_path: Path) -> None:
    """E12."""

    async def run() -> None:
        for trusted, expected in (
            ([], "127.0.0.1"),
            (["10.0.0.0/8"], "127.0.0.1"),
            (["127.0.0.1", "10.0.0.0/8"], "203.0.113.9"),
        ):
            folder = tmp_path / str(len(trusted))
            folder.mkdir()
            async with FakeUpstream() as upstream:
                async with serving(folder, three_vendors(upstream, trusted_proxies=trusted)) as gateway:
                    log = Log(gateway, folder)
                    path, body = chat_body("openai_chat", "hi", MODELS["openai_chat"])
                    forwarded = "198.51.100.1, 203.0.113.9:4711, 10.1.2.3"
                    await gateway.post(path, body, x_forwarded_for=forwarded)
                    (line,) = await log.requests(1)
                    assert line["client"] == expected

    asyncio.run(run())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/explain"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_a_compressed_body_is_refused_unread(path: str, coding: str, tmp_path: Path) -> None:
    """E11."""
    import gzip

    async def run() -> None:
        async with edge(tmp_path) as gateway:
            bomb = gzip.compress(gzip.compress(b" " * 4_000_000))
            got = await gateway.post(path, data=bomb, content_encoding=coding)
            assert got.status == 415

    asyncio.run(run())
