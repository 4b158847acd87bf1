import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from execution_platform.exceptions import ProviderError
from execution_platform.transport.http import HttpCall, HttpTransport, Reply
from execution_platform.transport.timeouts import Timeouts

from .raw_upstream import PATIENCE, STREAM_END, STREAM_HEAD, Exchange, Handler, RawUpstream, chunk, ok, raw_upstream

CALM = Timeouts(connect=5, first_token=5, idle=5, total=10)
MUCH = 32 * 1024 * 1024


def with_upstream(handler: Handler, test: Callable[[HttpTransport, RawUpstream], Awaitable[object]]) -> None:
    async def main() -> None:
        async with raw_upstream(handler) as upstream:
            transport = HttpTransport()
            try:
                await test(transport, upstream)
            finally:
                await transport.aclose()

    asyncio.run(main())


async def post(transport: HttpTransport, upstream: RawUpstream, *, stream: bool = False) -> Reply:
    return await transport.send(HttpCall("POST", upstream.url, {}, b"{}", stream), timeouts=CALM)


@pytest.mark.parametrize("surplus", [b"x", b"\0", ok(b"second"), b"HTTP/1.1 200"])
def test_what_comes_behind_an_answer_is_never_read_as_the_next_one(surplus: bytes) -> None:
    async def handler(exchange: Exchange) -> None:
        with suppress(ConnectionError):
            await exchange.write(ok(b"first") + (surplus if exchange.number == 0 else b""))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for _ in range(2):
            assert await (await post(transport, upstream)).read(9) == b"first"
        assert [exchange.connection for exchange in upstream.exchanges] == [1, 2]

    with_upstream(handler, test)


def test_what_comes_while_nothing_is_awaited_ends_the_connection() -> None:
    unasked, gone = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b"x"))
        if exchange.number == 0:
            await unasked.wait()
            await exchange.write(ok(b"evil"))
            await exchange.peer_gone()
            gone.set()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        assert await (await post(transport, upstream)).read(9) == b"x"
        unasked.set()
        await gone.wait()
        assert await (await post(transport, upstream)).read(9) == b"x"
        assert upstream.connections == 2

    with_upstream(handler, test)


def test_an_answer_to_head_with_a_body_does_not_return_the_connection() -> None:
    async def handler(exchange: Exchange) -> None:
        with suppress(ConnectionError):
            await exchange.write(ok(b"1234567"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for method, expected in (("HEAD", b""), ("GET", b"1234567")):
            reply = await transport.send(HttpCall(method, upstream.url, {}), timeouts=CALM)
            assert await reply.read(10) == expected
        assert upstream.connections == 2

    with_upstream(handler, test)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_a_body_ends_with_its_head(status: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(f"HTTP/1.1 {status}\r\nx: y\r\n\r\n".encode())

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for _ in range(2):
            reply = await post(transport, upstream)
            assert (reply.status, await reply.read(9)) == (int(status[:3]), b"")
        assert upstream.connections == 1

    with_upstream(handler, test)


@pytest.mark.parametrize("head", ["connection: close", "connection: Close, x"])
def test_a_connection_that_the_upstream_is_about_to_close_is_not_kept(head: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b"x", head))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for _ in range(2):
            assert await (await post(transport, upstream)).read(9) == b"x"
        assert upstream.connections == 2

    with_upstream(handler, test)


def test_trailers_are_no_headers_and_no_body() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(b"x") + b"0\r\nx-late: 1\r\n\r\n")

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for _ in range(2):
            reply = await post(transport, upstream)
            assert await reply.read(9) == b"x"
            assert "x-late" not in reply.headers
        assert upstream.connections == 1

    with_upstream(handler, test)


def test_of_equal_headers_the_first_counts_in_any_case() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b"", "X-A: one", "x-a: two", "x-b: h\xe9"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        headers = (await post(transport, upstream)).headers
        assert headers["x-A"] == headers.get("X-a") == "one"
        assert "X-B" in headers
        assert list(headers) == ["content-length", "x-a", "x-b"]

    with_upstream(handler, test)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_where_an_answer_is_split_does_not_show(cut: int) -> None:
    answer = STREAM_HEAD + chunk(b"one") + chunk(b"two") + STREAM_END

    async def handler(exchange: Exchange) -> None:
        for start in range(0, len(answer), cut):
            await exchange.write(answer[start : start + cut])
            await asyncio.sleep(0)

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for _ in range(2):
            reply = await post(transport, upstream, stream=True)
            assert (reply.status, await reply.read(9)) == (200, b"onetwo")
        assert upstream.connections == 1

    with_upstream(handler, test)


def test_what_came_before_a_cut_is_read_before_the_failure_is_told() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(b"one"))
        exchange.writer.close()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, stream=True)
        got = b""
        with pytest.raises(ProviderError):
            async for data in reply.chunks():
                got += data
        assert got == b"one"

    with_upstream(handler, test)


def test_a_body_that_nobody_takes_stops_the_upstream() -> None:
    sent = 0
    stuck = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        nonlocal sent
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % MUCH)
        while sent < MUCH:
            exchange.writer.write(b"x" * 65536)
            sent += 65536
            writing = asyncio.ensure_future(exchange.writer.drain())
            done, _ = await asyncio.wait([writing], timeout=0.3)
            if not done:
                stuck.set()
                await writing

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream)
        async with asyncio.timeout(PATIENCE):
            await stuck.wait()
        assert sent < MUCH
        assert len(await reply.read(MUCH)) == MUCH

    with_upstream(handler, test)
