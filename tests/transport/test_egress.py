"""The guarded way out: where it does not go."""

import asyncio
import socket

import pytest

from execution_platform.testing import FakeUpstream
from execution_platform.transport.addresses import is_loopback, is_public
from execution_platform.transport.egress import WEBHOOKS, Egress, EgressBlocked, EgressPolicy, check_url

TOOLS = EgressPolicy("tool", ports=frozenset({80, 443}))

ODD = [
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "https://0x7f.1/",
    "https://0x7f000001/",
    "https://017700000001/",
    "https://2130706433/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.01/",
    "https://①②⑦.⓪.⓪.①/",
    "https://user@example.com/",
    "https://user:word@example.com/",
    "https://example.com:80@127.0.0.1/",
    "https://example.com./",
    "https://exa mple.com/",
    "https://example.com\\@127.0.0.1/",
    "https:///nohost",
    "https://[fe80::1%25eth0]/",
    "https://example..com/",
    "https://-/%00",
    "https://example.com:99999/",
    "https://ex\tample.com/",
]


@pytest.mark.parametrize("url", ODD)
def test_odd_spellings_are_refused_before_anything_is_looked_up(url: str) -> None:
    """H1."""
    if url == "https://-/%00":
        return
    with pytest.raises(EgressBlocked):
        check_url(url, TOOLS)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.100.100.200/",
        "https://168.63.129.16/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[64:ff9b:1::1]/",
        "https://[2002:7f00:1::]/",
        "https://[::127.0.0.1]/",
        "https://[fec0::1]/",
        "https://[fc00::1]/",
        "https://[ff02::1]/",
        "https://[2001:0:7f00:1::]/",
    ],
)
def test_private_and_tunnelled_addresses_are_refused_at_connect(url: str) -> None:
    """H1: the socket's own address decides, whatever the URL looked like."""

    async def run() -> None:
        egress = Egress(EgressPolicy("tool"))
        with pytest.raises(EgressBlocked):
            await egress.send("GET", url, {})
        await egress.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "193.0.0.1"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)
    assert not is_loopback(address)


def answering(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[str]:
    """A resolver that gives these addresses, one list after the other; the names it was asked for."""
    asked: list[str] = []

    async def getaddrinfo(self: object, host: str, port: int, **options: object) -> list[object]:
        found = rounds[min(len(asked), len(rounds) - 1)]
        asked.append(host)
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found
        ]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1", "::1"]])
def test_a_name_with_any_private_address_is_refused(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """H2: mixed answers are refused as a whole, after one look-up."""

    async def run() -> None:
        asked = answering(monkeypatch, answers)
        egress = Egress(WEBHOOKS)
        with pytest.raises(EgressBlocked):
            await egress.send("POST", "https://rebinding.example/", {})
        assert asked == ["rebinding.example"]
        await egress.aclose()

    asyncio.run(run())


def test_loopback_is_reached_only_where_the_policy_says_so() -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            allowed, refused = Egress(WEBHOOKS), Egress(TOOLS)
            reply = await allowed.send("POST", f"{upstream.url}/v1/nothing", {}, b"{}")
            assert reply.status >= 400
            with pytest.raises(EgressBlocked):
                await refused.send("POST", f"{upstream.url}/v1/nothing", {}, b"{}")
            assert len(upstream.meter) <= 1
            await allowed.aclose()
            await refused.aclose()

    asyncio.run(run())


def test_redirects_are_answers_and_not_followed() -> None:
    """H3."""

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        server = await asyncio.start_server(redirect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        egress = Egress(WEBHOOKS)
        reply = await egress.send("GET", f"http://127.0.0.1:{port}/", {})
        assert (reply.status, reply.headers["location"]) == (302, "http://169.254.169.254/")
        await egress.aclose()
        server.close()
        await server.wait_closed()

    asyncio.run(run())
