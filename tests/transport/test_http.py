import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import uvloop

from execution_platform.exceptions import ErrorKind, ProtocolError, ProviderError, TimeoutError
from execution_platform.transport.http import HttpCall, HttpTransport, Reply
from execution_platform.transport.timeouts import Timeouts

from .raw_upstream import PATIENCE, STREAM_END, STREAM_HEAD, Exchange, Handler, RawUpstream, chunk, ok, raw_upstream

CALM = Timeouts(connect=5, first_token=5, idle=5, total=10)
SHORT = 0.15
LARGE = 16 * 1024 * 1024


def with_upstream(handler: Handler, test: Callable[[HttpTransport, RawUpstream], Awaitable[object]]) -> None:
    async def main() -> None:
        async with raw_upstream(handler) as upstream:
            transport = HttpTransport()
            try:
                await test(transport, upstream)
            finally:
                await transport.aclose()

    asyncio.run(main())


async def post(transport: HttpTransport, upstream: RawUpstream, body: bytes = b"{}", **options: object) -> Reply:
    stream = bool(options.get("stream"))
    timeouts = options.get("timeouts", CALM)
    assert isinstance(timeouts, Timeouts)
    call = HttpCall("POST", upstream.url + "/v1/x?y=1", {"content-type": "application/json", "x-a": "b"}, body, stream)
    return await transport.send(call, timeouts=timeouts)


def test_a_request_arrives_as_it_was_given_and_its_answer_comes_back() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b'{"a":1}', "content-type: application/json", "X-Request-Id: r1"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, b'{"model":"m"}')
        assert (reply.status, await reply.read(100)) == (200, b'{"a":1}')
        assert reply.headers["x-request-id"] == reply.headers["X-REQUEST-ID"] == "r1"
        assert reply.headers.get("set-cookie") is None
        sent = upstream.exchanges[0]
        assert sent.head.startswith("POST /v1/x?y=1 HTTP/1.1\r\n")
        assert sent.body == b'{"model":"m"}'
        assert sent.header("host") == [upstream.url.removeprefix("http://")]
        assert sent.header("accept-encoding") == ["identity"]
        assert sent.header("content-length") == ["13"]
        assert (sent.header("content-type"), sent.header("x-a")) == (["application/json"], ["b"])

    with_upstream(handler, test)


def test_headers_that_frame_the_request_are_not_the_callers() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b"x"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        headers = {
            "Content-Length": "99",
            "Transfer-Encoding": "chunked",
            "Host": "evil",
            "Accept-Encoding": "gzip",
            "Connection": "close",
        }
        reply = await transport.send(HttpCall("POST", upstream.url, headers, b"abc"), timeouts=CALM)
        assert await reply.read(10) == b"x"
        sent = upstream.exchanges[0]
        assert (sent.header("content-length"), sent.header("transfer-encoding")) == (["3"], [])
        assert "evil" not in sent.head
        assert sent.header("accept-encoding") == ["identity"]
        assert sent.header("connection") == []

    with_upstream(handler, test)


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b"])
def test_a_header_with_a_line_break_is_refused_before_anything_is_sent(value: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b""))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        with pytest.raises(ValueError, match="line break"):
            await transport.send(HttpCall("POST", upstream.url, {"x-a": value}, b""), timeouts=CALM)
        assert upstream.exchanges == []

    with_upstream(handler, test)


@pytest.mark.parametrize("url", ["ftp://h/x", "http:///x", "file:///etc/passwd", "http://user:pw@h/", "x"])
def test_a_url_that_is_no_upstreams_is_refused_without_repeating_it(url: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="upstream's URL") as caught:
            await HttpTransport().send(HttpCall("GET", url, {}), timeouts=CALM)
        assert "pw" not in str(caught.value)

    asyncio.run(main())


def test_a_get_has_no_body_and_a_head_answer_none() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(
            b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n" + (b"" if "HEAD" in exchange.head else b"1234567")
        )

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for method, expected in (("GET", b"1234567"), ("HEAD", b""), ("GET", b"1234567")):
            reply = await transport.send(HttpCall(method, upstream.url + "/models", {}), timeouts=CALM)
            assert await reply.read(10) == expected
        assert upstream.exchanges[0].header("content-length") == []
        assert upstream.connections == 1

    with_upstream(handler, test)


def test_connections_are_kept_and_used_again() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(b"a") + STREAM_END if exchange.number % 2 else ok(b"b"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for number in range(6):
            reply = await post(transport, upstream)
            assert b"".join([data async for data in reply.chunks()]) == (b"a" if number % 2 else b"b")
            reply.close()
        assert upstream.connections == 1

    with_upstream(handler, test)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_redirect_is_an_answer_and_not_followed(status: str) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b"", f"location: http://{exchange.header('host')[0]}/elsewhere", status=status))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream)
        assert reply.status == int(status[:3])
        assert len(upstream.exchanges) == 1

    with_upstream(handler, test)


def test_cookies_are_not_kept_and_the_environments_proxy_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """P7, H6: the transport has no jar and reads no environment."""

    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b"", "set-cookie: a=1; path=/"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        for _ in range(2):
            await (await post(transport, upstream)).read(1)
        assert upstream.exchanges[1].header("cookie") == []

    with_upstream(handler, test)


def test_what_arrives_together_is_one_item_and_nothing_waits_for_more() -> None:
    go_on = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + b"".join(chunk(b"data: %d\n\n" % number) for number in range(50)))
        await go_on.wait()
        await exchange.write(chunk(b"last") + STREAM_END)

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, stream=True)
        chunks = reply.chunks()
        first = await anext(chunks)
        assert first == b"".join(b"data: %d\n\n" % number for number in range(50))
        go_on.set()
        assert [data async for data in reply.chunks()] == [b"last"]
        assert [data async for data in chunks] == []

    with_upstream(handler, test)


def test_read_gives_what_the_chunks_have_left() -> None:
    go_on = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(b"one"))
        await go_on.wait()
        await exchange.write(chunk(b"two") + STREAM_END)

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, stream=True)
        assert await anext(reply.chunks()) == b"one"
        go_on.set()
        assert await reply.read(3) == b"two"

    with_upstream(handler, test)


@pytest.mark.parametrize("streamed", [True, False])
def test_close_before_the_end_aborts_the_connection_at_once(streamed: bool) -> None:
    left = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(b"x") if streamed else ok(b"x" * 10)[:-5])
        await exchange.peer_gone()
        left.set()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, stream=streamed)
        assert (await anext(reply.chunks()))[:1] == b"x"
        start = asyncio.get_running_loop().time()
        reply.close()
        reply.close()
        await left.wait()
        assert asyncio.get_running_loop().time() - start < 0.25
        with pytest.raises(ProviderError):
            await anext(reply.chunks())

    with_upstream(handler, test)


def test_close_wakes_who_still_reads() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(b"x"))
        await exchange.peer_gone()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, stream=True)
        assert await anext(reply.chunks()) == b"x"
        reading = asyncio.ensure_future(anext(reply.chunks()))
        await asyncio.sleep(0)
        reply.close()
        with pytest.raises(ProviderError) as caught:
            await reading
        assert caught.value.kind is ErrorKind.CONNECTION

    with_upstream(handler, test)


@pytest.mark.parametrize("size", [2, LARGE])
def test_a_cancelled_send_aborts_the_connection_and_leaves_the_rest_unsent(size: int) -> None:
    arrived, cancelled, left = asyncio.Event(), asyncio.Event(), asyncio.Event()
    received = 0

    async def reads_the_rest_when_told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await cancelled.wait()
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                received += len(data)
        left.set()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(reads_the_rest_when_told, "127.0.0.1", 0, limit=1024)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        transport = HttpTransport()
        sending = asyncio.ensure_future(transport.send(HttpCall("POST", url, {}, b"x" * size), timeouts=CALM))
        async with asyncio.timeout(PATIENCE):
            await arrived.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            cancelled.set()
            await left.wait()
        assert received < LARGE
        await transport.aclose()
        server.close()

    asyncio.run(main())


def test_a_refused_connection_was_never_sent() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        with pytest.raises(ProviderError, match="no connection") as caught:
            await HttpTransport().send(
                HttpCall("POST", f"http://127.0.0.1:{port}/p?key=s3cret", {}, b"{}"), timeouts=CALM
            )
        assert (caught.value.kind, caught.value.never_sent) == (ErrorKind.CONNECTION, True)
        assert "s3cret" not in str(caught.value)
        assert f"127.0.0.1:{port}" in str(caught.value)

    asyncio.run(main())


def test_a_server_that_does_not_accept_is_a_connect_time_out() -> None:
    async def main() -> None:
        transport = HttpTransport(connections=1)
        released = asyncio.Event()

        async def handler(exchange: Exchange) -> None:
            await exchange.write(STREAM_HEAD)
            await released.wait()

        async with raw_upstream(handler) as upstream:
            held = await post(transport, upstream, stream=True)
            with pytest.raises(TimeoutError, match="no connection in time") as caught:
                await post(transport, upstream, timeouts=Timeouts(connect=SHORT))
            assert (caught.value.kind, caught.value.never_sent) == (ErrorKind.TIMEOUT, True)
            released.set()
            held.close()
        await transport.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("timeouts", "stream"),
    [(Timeouts(first_token=SHORT, idle=SHORT), True), (Timeouts(total=SHORT), False), (Timeouts(total=SHORT), True)],
)
def test_silence_before_the_head_is_a_time_out_and_the_upstream_is_let_go(timeouts: Timeouts, stream: bool) -> None:
    left = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.peer_gone()
        left.set()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        with pytest.raises(TimeoutError) as caught:
            await post(transport, upstream, timeouts=timeouts, stream=stream)
        assert (caught.value.kind, caught.value.never_sent) == (ErrorKind.TIMEOUT, False)
        await left.wait()

    with_upstream(handler, test)


def test_an_answer_that_comes_whole_may_take_longer_than_a_stream_may_be_silent() -> None:
    async def handler(exchange: Exchange) -> None:
        await asyncio.get_running_loop().run_in_executor(None, asyncio.run, asyncio.sleep(3 * SHORT))
        await exchange.write(ok(b"late"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        timeouts = Timeouts(first_token=SHORT, idle=SHORT, total=PATIENCE)
        assert await (await post(transport, upstream, timeouts=timeouts)).read(10) == b"late"
        with pytest.raises(TimeoutError):
            await post(transport, upstream, timeouts=timeouts, stream=True)

    with_upstream(handler, test)


def test_silence_within_a_stream_is_a_time_out_and_the_upstream_is_let_go() -> None:
    """P6: silence is not an answer."""
    left = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(b"one"))
        await exchange.peer_gone()
        left.set()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, timeouts=Timeouts(idle=SHORT), stream=True)
        chunks = reply.chunks()
        assert await anext(chunks) == b"one"
        start = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError, match=r"silent for 0\.15 s"):
            await anext(chunks)
        assert SHORT * 0.9 < asyncio.get_running_loop().time() - start < SHORT + 1
        await left.wait()

    with_upstream(handler, test)


def test_a_slow_reader_is_not_the_upstreams_silence() -> None:
    waiting, busy = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await waiting.wait()
        await exchange.write(chunk(b"one"))
        await busy.wait()
        await exchange.write(chunk(b"two") + STREAM_END)

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, timeouts=Timeouts(first_token=SHORT, idle=SHORT), stream=True)
        chunks = reply.chunks()
        reading = asyncio.ensure_future(anext(chunks))
        asyncio.get_running_loop().call_soon(waiting.set)
        received = await reading
        asyncio.get_running_loop().call_later(3 * SHORT, busy.set)
        await busy.wait()
        assert received + b"".join([data async for data in chunks]) == b"onetwo"

    with_upstream(handler, test)


def test_a_reader_that_is_slow_from_the_start_is_not_the_upstreams_silence_either() -> None:
    left = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await exchange.peer_gone()
        left.set()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, timeouts=Timeouts(first_token=SHORT, idle=SHORT), stream=True)
        busy = asyncio.Event()
        asyncio.get_running_loop().call_later(3 * SHORT, busy.set)
        await busy.wait()
        assert not left.is_set()
        with pytest.raises(TimeoutError):
            await anext(reply.chunks())
        await left.wait()

    with_upstream(handler, test)


def test_a_dripping_stream_ends_with_the_calls_time() -> None:
    """P6: drops keep a call alive no longer than its time."""

    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        tick = asyncio.Event()
        with suppress(TimeoutError, ConnectionError):
            while not exchange.writer.is_closing():
                await exchange.write(chunk(b"."))
                with suppress(asyncio.TimeoutError):
                    async with asyncio.timeout(SHORT / 5):
                        await tick.wait()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        deadline = asyncio.get_running_loop().time() + 3 * SHORT
        call = HttpCall("POST", upstream.url, {}, b"{}", stream=True)
        reply = await transport.send(call, timeouts=Timeouts(idle=SHORT * 2), deadline=deadline)
        received = 0
        with pytest.raises(TimeoutError, match="the call has"):
            async for _ in reply.chunks():
                received += 1
        assert received > 3
        assert -0.01 < asyncio.get_running_loop().time() - deadline < 1

    with_upstream(handler, test)


def test_a_deadline_that_is_over_sends_nothing() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b""))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        call = HttpCall("POST", upstream.url, {}, b"{}")
        with pytest.raises(TimeoutError) as caught:
            await transport.send(call, timeouts=CALM, deadline=asyncio.get_running_loop().time() - 1)
        assert caught.value.never_sent
        assert upstream.exchanges == []

    with_upstream(handler, test)


def test_a_body_over_the_limit_is_refused_and_the_upstream_let_go() -> None:
    """P6, H5: an answer is read up to its limit."""
    left = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        with suppress(ConnectionError):
            await exchange.write(STREAM_HEAD + b"".join(chunk(b"x" * 1000) for _ in range(3)))
            await exchange.peer_gone()
        left.set()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream)
        with pytest.raises(ProtocolError, match="over 2500 bytes"):
            await reply.read(2500)
        await left.wait()

    with_upstream(handler, test)


def test_a_short_body_over_the_limit_is_refused_too() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b"12345"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        with pytest.raises(ProtocolError, match="over 4 bytes"):
            await (await post(transport, upstream)).read(4)
        assert await (await post(transport, upstream)).read(5) == b"12345"

    with_upstream(handler, test)


def test_a_stream_without_end_is_cut_at_the_transports_cap() -> None:
    """P6: a stream too."""

    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        with suppress(ConnectionError):
            while not exchange.writer.is_closing():
                await exchange.write(chunk(b"x" * 60_000))

    async def main() -> None:
        async with raw_upstream(handler) as upstream:
            transport = HttpTransport(most=1_000_000)
            size = 0
            with pytest.raises(ProtocolError, match="over 1000000 bytes"):
                async for data in (await post(transport, upstream, stream=True)).chunks():
                    size += len(data)
            assert size <= 1_000_000
            await transport.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP, gzip"])
def test_a_compressed_answer_is_refused(encoding: str) -> None:
    """P6, H5: nothing is inflated, so there is no bomb."""

    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(gzip.compress(b"x" * 1000), f"content-encoding: {encoding}"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        with pytest.raises(ProtocolError, match="compressed") as caught:
            await post(transport, upstream)
        assert caught.value.upstream_status == 200

    with_upstream(handler, test)


def test_an_answer_that_says_it_is_not_compressed_is_taken() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b"x", "content-encoding: Identity"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        assert await (await post(transport, upstream)).read(1) == b"x"

    with_upstream(handler, test)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 " + b"9" * 40_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_an_answer_that_is_not_http_within_bounds_is_a_protocol_error(answer: bytes) -> None:
    """P6: a head without end, headers without number."""

    async def handler(exchange: Exchange) -> None:
        with suppress(ConnectionError):
            await exchange.write(answer)
            await exchange.peer_gone()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        with pytest.raises(ProtocolError) as caught:
            await post(transport, upstream)
        assert caught.value.kind is ErrorKind.PROTOCOL

    with_upstream(handler, test)


def test_interim_answers_are_passed_over() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + ok(b"x"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream)
        assert (reply.status, await reply.read(9)) == (200, b"x")

    with_upstream(handler, test)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (STREAM_HEAD + chunk(b"one") + b"5\r\ntw", ErrorKind.CONNECTION),
        (STREAM_HEAD + chunk(b"one"), ErrorKind.CONNECTION),
        (ok(b"x" * 100)[:-10], ErrorKind.CONNECTION),
        (STREAM_HEAD + chunk(b"one") + b"zzz\r\n", ErrorKind.PROTOCOL),
    ],
)
@pytest.mark.parametrize("reset", [True, False])
def test_a_body_that_breaks_off_is_an_error_and_never_an_end(answer: bytes, kind: ErrorKind, reset: bool) -> None:
    head_seen = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        end_of_head = answer.index(b"\r\n\r\n") + 4
        await exchange.write(answer[:end_of_head])
        await head_seen.wait()
        await exchange.write(answer[end_of_head:])
        if reset:
            exchange.writer.transport.abort()
        else:
            exchange.writer.close()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, stream=True)
        head_seen.set()
        with pytest.raises(ProviderError) as caught:
            await reply.read(1000)
        assert caught.value.kind is kind or (reset and caught.value.kind is ErrorKind.CONNECTION)
        assert not caught.value.never_sent

    with_upstream(handler, test)


def test_an_answer_that_ends_with_the_connection_is_whole() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        exchange.writer.close()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        assert await (await post(transport, upstream)).read(100) == b"all of it"

    with_upstream(handler, test)


def test_a_connection_closed_before_the_answer_is_an_error_that_may_have_been_sent() -> None:
    async def handler(exchange: Exchange) -> None:
        exchange.writer.close()

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        with pytest.raises(ProviderError, match="before an answer") as caught:
            await post(transport, upstream)
        assert (caught.value.kind, caught.value.never_sent) == (ErrorKind.CONNECTION, False)
        assert len(upstream.exchanges) == 1

    with_upstream(handler, test)


@pytest.mark.parametrize("reset", [True, False])
def test_a_kept_connection_that_was_closed_is_replaced(reset: bool) -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.connection == 1 and exchange.number == 1:
            exchange.writer.transport.abort() if reset else exchange.writer.close()
        else:
            await exchange.write(ok(b"x"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for _ in range(2):
            assert await (await post(transport, upstream)).read(1) == b"x"
        assert [exchange.connection for exchange in upstream.exchanges] == [1, 1, 2]

    with_upstream(handler, test)


def test_a_kept_connection_that_closes_after_having_worked_is_not_replaced() -> None:
    worked = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        if exchange.number == 1:
            asyncio.get_running_loop().call_later(1.2, worked.set)
            await worked.wait()
            exchange.writer.close()
        else:
            await exchange.write(ok(b"x"))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        assert await (await post(transport, upstream)).read(1) == b"x"
        with pytest.raises(ProviderError, match="before an answer"):
            await post(transport, upstream)
        assert len(upstream.exchanges) == 2

    with_upstream(handler, test)


def test_an_answer_before_the_whole_request_was_taken_does_not_return_the_connection() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ok(b"no", status="413 Too Large"))
        with suppress(ConnectionError):
            await writer.drain()
        finished.append(writer)

    finished: list[asyncio.StreamWriter] = []

    async def main() -> None:
        server = await asyncio.start_server(early, "127.0.0.1", 0, limit=1024)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        transport = HttpTransport()
        async with asyncio.timeout(PATIENCE):
            for _ in range(2):
                reply = await transport.send(HttpCall("POST", url, {}, b"x" * LARGE), timeouts=CALM)
                assert (reply.status, await reply.read(10)) == (413, b"no")
        assert len(finished) == 2
        await transport.aclose()
        for writer in finished:
            writer.close()
        server.close()

    asyncio.run(main())


def test_an_answer_before_anything_was_written_does_not_return_the_connection() -> None:
    """What is written leaves at the end of the turn. Behind it the next request would get the answer to this one."""
    answered = ok(b"own")

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(PATIENCE)
            transport, call = (
                HttpTransport(),
                HttpCall("POST", f"http://127.0.0.1:{listening.getsockname()[1]}/", {}, b"1"),
            )

            async def asked() -> tuple[socket.socket, Reply]:
                """A call on a new connection, and its other end."""
                sending = asyncio.create_task(transport.send(call, timeouts=CALM))
                peer, _ = await asyncio.to_thread(listening.accept)
                peer.settimeout(PATIENCE)
                assert (await asyncio.to_thread(peer.recv, 4096)).endswith(b"1")
                peer.sendall(answered)
                return peer, await sending

            first, reply = await asked()
            assert await reply.read(10) == b"own"
            hasty = asyncio.create_task(transport.send(call, timeouts=CALM))
            await asyncio.sleep(0)  # it has its connection now, and has written to it
            first.sendall(ok(b"unasked"))
            assert await (await hasty).read(10) == b"unasked"
            second, reply = await asked()
            assert await reply.read(10) == b"own"
            with suppress(ConnectionResetError):
                assert await asyncio.to_thread(first.recv, 4096) == b""
            await transport.aclose()
            first.close()
            second.close()

    uvloop.run(main())


def test_a_large_request_arrives_whole() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(str(len(exchange.body)).encode()))

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        for _ in range(2):
            reply = await post(transport, upstream, b"y" * LARGE)
            assert await reply.read(100) == str(LARGE).encode()
        assert upstream.connections == 1

    with_upstream(handler, test)


def test_many_calls_at_once_get_each_their_own_answer() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD + chunk(exchange.body) + STREAM_END)

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        async def one(number: int) -> None:
            for turn in range(5):
                body = b"%d/%d" % (number, turn)
                reply = await post(transport, upstream, body, stream=True)
                assert await reply.read(100) == body

        await asyncio.gather(*(one(number) for number in range(40)))
        assert upstream.connections <= 40

    with_upstream(handler, test)


def test_one_transport_serves_one_event_loop_after_the_other() -> None:
    transport = HttpTransport()

    async def handler(exchange: Exchange) -> None:
        await exchange.write(ok(b"x"))

    async def main() -> None:
        async with raw_upstream(handler) as upstream:
            assert await (await post(transport, upstream)).read(1) == b"x"
            await transport.aclose()

    asyncio.run(main())
    asyncio.run(main())


@pytest.mark.parametrize("name", ["connect", "first_token", "idle", "total"])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_time_out_that_is_no_time_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"timeouts.{name}"):
        Timeouts(**{name: value})


def test_no_more_is_read_than_the_reader_takes() -> None:
    """R15: whoever reads slowly holds one read of the event loop, however fast the upstream sends."""
    piece, most = b"x" * 8192, 24 * 1024 + 32 * 1024

    async def handler(exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        for _ in range(256):
            await exchange.write(chunk(piece))
        await exchange.write(STREAM_END)

    async def test(transport: HttpTransport, upstream: RawUpstream) -> None:
        reply = await post(transport, upstream, stream=True)
        size = 0
        async with asyncio.timeout(PATIENCE):
            async for data in reply.chunks():
                size += len(data)
                for _ in range(20):
                    await asyncio.sleep(0)
                    assert reply.held_bytes <= most
        assert size == 256 * len(piece)

    with_upstream(handler, test)
