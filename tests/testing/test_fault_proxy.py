"""The fault proxy: what a client really sees of each fault, and that the upstream behind it is left in peace."""

import asyncio
import errno
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from execution_platform.testing import FakeUpstream, FaultProxy, Script, Text
from execution_platform.testing.certificates import Authority
from execution_platform.testing.proxy_faults import Delay, Garbage, HalfCharacter, NeverEnding, Stop, Throttle

SAID = "one two three four"


@asynccontextmanager
async def behind(text: str = SAID) -> AsyncIterator[tuple[FakeUpstream, FaultProxy]]:
    async with FakeUpstream(default=Script(Text(text))) as upstream, FaultProxy(upstream.url) as proxy:
        yield upstream, proxy


def test_events_of_a_dialect_with_crlf_are_counted_too() -> None:
    async def run() -> None:
        async with behind() as (_, proxy):
            proxy.script([Stop(after_events=2)])
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            body = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'
            path = b"/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
            writer.write(b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (path, len(body), body))
            got = await reader.read()
            assert got.count(b"data: ") == 2
            assert got.endswith(b"}\r\n\r\n")
            writer.close()

    asyncio.run(run())


def request(*, stream: bool = True) -> bytes:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":%b}' % (b"false", b"true")[stream]
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def talk(proxy: FaultProxy, *, stream: bool = True) -> tuple[bytes, str]:
    """What one request brings, and how it ended: `fin`, `rst`, or `silence` where nothing more came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(request(stream=stream))
    got = b""
    try:
        while b"0\r\n\r\n" not in got:
            data = await asyncio.wait_for(reader.read(65536), 0.3)
            if not data:
                return got, "fin"
            got += data
    except TimeoutError:
        return got, "silence"
    except ConnectionResetError:
        return got, "rst"
    finally:
        writer.close()
    return got, "whole"


def test_nothing_is_changed_without_a_script() -> None:
    async def run() -> None:
        async with behind() as (upstream, proxy):
            got, end = await talk(proxy)
            assert end == "whole"
            assert got.count(b"data: ") == upstream.meter[0].events_sent
            assert proxy.passages[0].requests == 1
            assert proxy.passages[0].bytes_down == len(got)

    asyncio.run(run())


@pytest.mark.parametrize("goes", ["fin", "rst", "silence"])
@pytest.mark.parametrize("events", [0, 1, 3])
def test_an_answer_stops_after_so_many_events(goes: str, events: int) -> None:
    async def run() -> None:
        async with behind() as (_, proxy):
            proxy.script([Stop(after_events=events, goes=goes)])
            got, end = await talk(proxy)
            assert end == goes
            if goes != "rst":  # a reset may overtake what was sent before it
                assert got.count(b"\n\n") == events
                assert got.startswith(b"HTTP/1.1 200")

    asyncio.run(run())


def test_an_answer_stops_after_so_many_bytes() -> None:
    async def run() -> None:
        async with behind() as (_, proxy):
            proxy.script([Stop(after_bytes=7)])
            assert await talk(proxy) == (b"HTTP/1.", "fin")

    asyncio.run(run())


def test_a_swallowed_request_never_reaches_the_upstream() -> None:
    async def run() -> None:
        async with behind() as (upstream, proxy):
            proxy.script([Stop(goes="silence", swallow=True)])
            assert await talk(proxy) == (b"", "silence")
            assert len(upstream.meter) == 0

    asyncio.run(run())


def test_half_a_character_is_sent() -> None:
    async def run() -> None:
        async with behind("naïve œuvre") as (_, proxy):
            proxy.script([HalfCharacter()])
            got, end = await talk(proxy)
            assert (end, got[-1]) == ("fin", 0xC3)

    asyncio.run(run())


def test_garbage_can_keep_or_break_the_framing() -> None:
    async def run() -> None:
        async with behind() as (_, proxy):
            proxy.script([Garbage(b"data: {broken\n\n", after_events=1, framed=True)], [Garbage(b"!!", after_events=1)])
            got, end = await talk(proxy)
            assert end == "whole"
            assert b"\r\nf\r\ndata: {broken\n\n\r\n" in got
            got, _ = await talk(proxy)
            assert b"\n\n\r\n!!" in got

    asyncio.run(run())


def test_an_answer_never_ends_until_the_client_leaves() -> None:
    async def run() -> None:
        async with behind() as (_, proxy):
            proxy.script([NeverEnding(after_events=2)])
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(request())
            for _ in range(20):
                await reader.readuntil(b": and on")
            writer.transport.abort()
            while proxy.connections_open:
                await asyncio.sleep(0)

    asyncio.run(run())


def test_bytes_come_slowly_and_late() -> None:
    async def run() -> None:
        async with behind() as (_, proxy):
            loop = asyncio.get_running_loop()
            proxy.script([Throttle(2000, only_head=True)], [Delay(0.1)], [Delay(0.1, before="request")])
            for _ in range(3):
                before = loop.time()
                assert (await talk(proxy))[1] == "whole"
                assert loop.time() - before >= 0.05

    asyncio.run(run())


def test_faults_take_turns_over_the_requests_of_one_connection_and_the_last_one_stays() -> None:
    async def run() -> None:
        async with behind() as (upstream, proxy):
            proxy.script([], [], [Stop(after_bytes=3)])
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            for _ in range(2):
                writer.write(request())
                assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200")
            writer.write(request())
            assert await reader.read() == b"HTT"
            writer.close()
            assert (await talk(proxy))[0] == b"HTT"
            assert len(upstream.meter) == 4
            proxy.script()
            assert (await talk(proxy))[1] == "whole"

    asyncio.run(run())


def test_ways_of_listening_change_on_one_port() -> None:
    async def run() -> None:
        async with behind() as (_, proxy):
            await proxy.listen("refuse")
            with pytest.raises(ConnectionRefusedError):
                await talk(proxy)
            await proxy.listen("drop")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(talk(proxy), 0.3)
            await proxy.listen("reset")
            try:
                assert (await talk(proxy))[1] == "rst"
            except OSError as error:
                assert error.errno == errno.ECONNRESET
            await proxy.listen("silent")
            assert await talk(proxy) == (b"", "silence")
            await proxy.listen("serve")
            assert (await talk(proxy))[1] == "whole"

    asyncio.run(run())


def test_open_connections_can_be_broken() -> None:
    async def run() -> None:
        async with behind() as (_, proxy):
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            writer.write(request())
            await reader.readuntil(b"0\r\n\r\n")
            proxy.break_all()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    asyncio.run(run())


def test_an_upstream_without_a_port_and_two_places_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a host and a port"):
        FaultProxy("http://127.0.0.1")


@pytest.mark.parametrize("flaw", ["none", "expired", "wrong_name", "unknown"])
def test_certificates_are_good_or_bad_in_one_way(flaw: str, tmp_path: Path) -> None:
    async def run() -> None:
        known, other = Authority(tmp_path, "known"), Authority(tmp_path, "other")
        served = other.server() if flaw == "unknown" else known.server(flaw=flaw)
        trusting = ssl.create_default_context(cafile=str(known.path))
        async with FakeUpstream() as upstream, FaultProxy(upstream.url, tls=served) as proxy:
            assert proxy.url.startswith("https://")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=trusting)
            except ssl.SSLCertVerificationError as error:
                reasons = {"expired": "expired", "wrong_name": "mismatch", "unknown": "unable to get local issuer"}
                assert reasons[flaw] in str(error)
            else:
                assert flaw == "none"
                writer.close()
                await writer.wait_closed()

    asyncio.run(run())
