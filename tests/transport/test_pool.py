"""Connections are lent one call at a time, wait in line, are kept and closed, and lead to whom their certificate names."""

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from execution_platform.exceptions import ErrorKind, ProviderError, TimeoutError
from execution_platform.testing.certificates import Authority, Flaw
from execution_platform.transport.http import HttpCall, HttpTransport, Reply
from execution_platform.transport.pool import Dial, Pool
from execution_platform.transport.resolver import Address
from execution_platform.transport.timeouts import Timeouts
from execution_platform.transport.wire import Wire

from .raw_upstream import PATIENCE, STREAM_END, STREAM_HEAD, Exchange, ok, raw_upstream
from .test_addresses import loop, run

CALM = Timeouts(connect=5, first_token=5, idle=5, total=10)


async def get(transport: HttpTransport, url: str, timeouts: Timeouts = CALM) -> Reply:
    return await transport.send(HttpCall("GET", url, {}), timeouts=timeouts)


class Held:
    """An upstream whose answers end when they are told to."""

    def __init__(self) -> None:
        self.ends = [asyncio.Event() for _ in range(4)]

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.write(STREAM_HEAD)
        await self.ends[exchange.number].wait()
        await exchange.write(STREAM_END)


def patient(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(4 * PATIENCE):
            await work

    asyncio.run(bounded())


async def waiting(pool: Pool, count: int) -> None:
    """Until so many wait for a place."""
    async with asyncio.timeout(PATIENCE):
        while len(pool._waiting) < count:
            await asyncio.sleep(0)


def test_who_is_one_too_many_waits_and_gets_the_connection_that_comes_back() -> None:
    async def work() -> None:
        held = Held()
        async with raw_upstream(held) as upstream:
            transport = HttpTransport(connections=1)
            first = await get(transport, upstream.url)
            order: list[int] = []

            async def one(number: int) -> None:
                reply = await get(transport, upstream.url)
                order.append(number)
                await reply.read(1)

            pool = transport._opened().pool
            others = []
            for number in (1, 2):
                others.append(asyncio.create_task(one(number)))
                await waiting(pool, number)
            for end in held.ends:
                end.set()
            await first.read(1)
            await asyncio.gather(*others)
            assert order == [1, 2]
            assert (upstream.connections, len(upstream.exchanges)) == (1, 3)
            await transport.aclose()

    patient(work())


def test_who_stops_waiting_takes_nobodys_turn() -> None:
    async def work() -> None:
        held = Held()
        async with raw_upstream(held) as upstream:
            transport = HttpTransport(connections=1)
            first = await get(transport, upstream.url)
            pool = transport._opened().pool
            gone = asyncio.create_task(get(transport, upstream.url))
            await waiting(pool, 1)
            late = asyncio.create_task(get(transport, upstream.url))
            await waiting(pool, 2)
            for end in held.ends:
                end.set()
            # The place is free in the same moment in which the first in line gives up.
            first.close()
            gone.cancel()
            await (await late).read(1)
            await asyncio.gather(gone, return_exceptions=True)
            assert gone.cancelled()
            assert not pool._lent
            await transport.aclose()

    patient(work())


def test_who_waits_for_a_place_when_all_is_closed_is_told_so_at_once() -> None:
    async def work() -> None:
        held = Held()
        async with raw_upstream(held) as upstream:
            transport = HttpTransport(connections=1)
            first = await get(transport, upstream.url)
            late = asyncio.create_task(get(transport, upstream.url))
            await waiting(transport._opened().pool, 1)
            await transport.aclose()
            with pytest.raises(ProviderError) as caught:
                await late
            assert (caught.value.kind, caught.value.never_sent) == (ErrorKind.CONNECTION, True)
            first.close()
            assert upstream.connections == 1

    patient(work())


def test_who_waits_too_long_for_a_place_is_told_so_and_nothing_was_sent() -> None:
    async def work() -> None:
        held = Held()
        async with raw_upstream(held) as upstream:
            transport = HttpTransport(connections=1)
            first = await get(transport, upstream.url)
            with pytest.raises(TimeoutError, match="no connection in time") as caught:
                await get(transport, upstream.url, Timeouts(connect=0.05))
            assert caught.value.never_sent
            first.close()
            for end in held.ends:
                end.set()
            await (await get(transport, upstream.url)).read(1)
            await transport.aclose()

    patient(work())


def test_an_answer_that_nobody_closes_gives_its_place_back_when_its_connection_ends() -> None:
    async def work() -> None:
        held = Held()
        async with raw_upstream(held) as upstream:
            transport = HttpTransport(connections=1)
            forgotten = await get(transport, upstream.url)
            assert forgotten.status == 200
            waits = asyncio.create_task(get(transport, upstream.url))
            await waiting(transport._opened().pool, 1)
            upstream.exchanges[0].writer.transport.abort()
            held.ends[1].set()
            await (await waits).read(1)
            await transport.aclose()

    patient(work())


def test_a_connection_nobody_needs_is_closed_in_time() -> None:
    async def work() -> None:
        left = asyncio.Event()

        async def handler(exchange: Exchange) -> None:
            await exchange.write(ok(b"x"))
            await exchange.peer_gone()
            left.set()

        async with raw_upstream(handler) as upstream:
            transport = HttpTransport(keep_alive=0.05)
            await (await get(transport, upstream.url)).read(1)
            await asyncio.wait_for(left.wait(), PATIENCE)
            assert not transport._opened().pool._wires
            await transport.aclose()

    patient(work())


def test_the_newest_connection_is_used_again_first() -> None:
    async def work() -> None:
        held = Held()
        async with raw_upstream(held) as upstream:
            transport = HttpTransport()
            replies = [await get(transport, upstream.url) for _ in range(2)]
            for end in held.ends:
                end.set()
            for reply in replies:
                await reply.read(1)
            await (await get(transport, upstream.url)).read(1)
            assert [each.connection for each in upstream.exchanges] == [1, 2, 2]
            await transport.aclose()

    patient(work())


def test_calls_at_the_same_time_ask_for_a_name_once() -> None:
    async def work() -> None:
        async def handler(exchange: Exchange) -> None:
            await exchange.write(ok(b"x"))

        async with raw_upstream(handler) as upstream:
            loop().answer = "127.0.0.1"
            transport = HttpTransport()
            url = upstream.url.replace("127.0.0.1", "upstream.test")
            replies = await asyncio.gather(*(get(transport, url) for _ in range(5)))
            for reply in replies:
                await reply.read(1)
            assert loop().asked == 1
            await transport.aclose()

    run(work())


def test_where_every_connection_has_to_ask_each_does() -> None:
    """H2: what was allowed once is not believed the next time."""

    async def work() -> None:
        class Asked:
            count = 0

            async def resolve(self, host: str, port: int) -> Any:
                Asked.count += 1
                return await loop().getaddrinfo(host, port)

        async def handler(exchange: Exchange) -> None:
            await exchange.write(ok(b"x", "connection: close"))

        async with raw_upstream(handler) as upstream:
            loop().answer = "127.0.0.1"
            transport = HttpTransport(dial=Dial(Asked(), _socket))
            url = upstream.url.replace("127.0.0.1", "upstream.test")
            for _ in range(3):
                await (await get(transport, url)).read(1)
            assert Asked.count == 3
            await transport.aclose()

    run(work())


def _socket(address: Address) -> socket.socket:
    return socket.socket(*address[:3])


async def _over_tls(context: ssl.SSLContext, url: str = "https://127.0.0.1:{}/") -> bytes:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ok(b"secret"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    transport = HttpTransport()
    try:
        port = server.sockets[0].getsockname()[1]
        first = await (await get(transport, url.format(port))).read(10)
        assert await (await get(transport, url.format(port))).read(10) == first
        (wire,) = transport._opened().pool._wires
        assert isinstance(wire, Wire)
        return first
    finally:
        await transport.aclose()
        server.close()
        await asyncio.sleep(0)


def test_a_certificate_of_a_known_authority_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    assert asyncio.run(_over_tls(authority.server())) == b"secret"


@pytest.mark.parametrize(
    ("known", "flaw", "reason"),
    [
        (False, "none", "unable to get local issuer certificate|self-signed certificate"),
        (True, "expired", "certificate has expired"),
        (True, "wrong_name", "is not valid for|doesn't match"),
    ],
)
def test_any_other_certificate_is_refused_and_nothing_is_sent(
    known: bool, flaw: Flaw, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R28: the reason is told, and the connection is not used."""
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "a stranger")
    monkeypatch.setenv("SSL_CERT_FILE", str((authority if known else stranger).path))
    with pytest.raises(ProviderError, match=f"the TLS certificate is not accepted.*({reason})") as caught:
        asyncio.run(_over_tls(authority.server(flaw=flaw)))
    assert (caught.value.kind, caught.value.never_sent) == (ErrorKind.CONNECTION, True)


def test_a_server_without_tls_is_told_from_one_with_a_bad_certificate() -> None:
    async def work() -> None:
        async def handler(exchange: Exchange) -> None:
            await exchange.write(ok(b"x"))

        async with raw_upstream(handler) as upstream:
            with pytest.raises(ProviderError, match=r"TLS could not be agreed on|no connection"):
                await get(HttpTransport(), upstream.url.replace("http:", "https:"))

    patient(work())
