"""Servers at an address: what is sent, where it goes, and what a hostile one gets."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from evil_mcp import tool
from execution_platform.exceptions import ExecutionPlatformError
from loops import in_loop
from mcp_bench import Bench, bench
from serving import serving

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """A server that answers the handshake of 2025-11-25, and calls as a test says."""

    answer: Answer
    tools: list[dict[str, Any]] = field(default_factory=lambda: [tool("echo")])
    seen: list[web.Request] = field(default_factory=list[web.Request])
    others: list[str] = field(default_factory=list[str])
    """Requests to other paths: what a server tempts a client to fetch."""
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/mcp":
            self.others.append(request.path)
            return web.Response(status=404)
        self.seen.append(request)
        if request.method != "POST":
            return web.Response(status=405)
        body = await request.json()
        results: dict[str, Any] = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "site", "version": "1"},
            },
            "tools/list": {"tools": self.tools},
        }
        if body.get("method") == "tools/call":
            return await self.answer(request, body)
        if "id" not in body:
            return web.Response(status=202)
        if body["method"] not in results:
            error = {"code": -32601, "message": "no such method"}
            return web.json_response({"jsonrpc": "2.0", "id": body["id"], "error": error})
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": results[body["method"]]})


@asynccontextmanager
async def site(answer: Answer) -> AsyncIterator[Site]:
    made = Site(answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", 0)
    await place.start()
    port = runner.addresses[0][1]
    made.url = f"http://127.0.0.1:{port}"
    try:
        yield made
    finally:
        await runner.cleanup()


def said(body: dict[str, Any], text: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": body["id"], "result": {"content": [{"type": "text", "text": text}]}}


async def echo(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    del request
    return web.json_response(said(body, body["params"]["arguments"]["text"]))


async def failure(it: Bench, **args: object) -> ExecutionPlatformError:
    with pytest.raises(ExecutionPlatformError) as failed:
        await it.call("site.echo", **args)
    return failed.value


@in_loop
async def test_a_call_carries_the_operators_headers_and_nothing_of_the_caller(tmp_path: Path) -> None:
    """M10: what authorises is the operator's header alone."""
    async with site(echo) as there:
        config = {"url": f"{there.url}/mcp", "internal": True, "headers": {"authorization": "Bearer of-the-operator"}}
        async with bench(tmp_path, {"site": config}) as it:
            for _ in range(20):
                assert await it.call("site.echo", text="hello") == "hello"
        assert {request.headers["authorization"] for request in there.seen} == {"Bearer of-the-operator"}
        assert not any("x-api-key" in request.headers or "cookie" in request.headers for request in there.seen)


@in_loop
async def test_another_gateway_is_a_server_of_the_newest_protocol(tmp_path: Path) -> None:
    config = {"providers": {"mock": {"kind": "mock"}}}
    (tmp_path / "there").mkdir()
    async with serving(tmp_path / "there", config, {"EP_PROVIDER": "mock"}) as served:
        server = {"url": f"{served.url}/mcp", "internal": True, "tools": ["fs_write", "fs_read"]}
        async with bench(tmp_path, {"site": server}) as it:
            assert it.names == {"site.fs_write", "site.fs_read"}
            await it.call("site.fs_write", path="a.txt", content="hello")
            assert (await it.call("site.fs_read", path="a.txt"))["content"] == "hello"
            assert it.servers.server("site").version == "2026-07-28"


@in_loop
async def test_proxies_of_the_environment_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H6: the protocol's client goes by the guarded way out, whatever the environment names."""
    async with site(echo) as there, site(echo) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with bench(tmp_path, {"site": {"url": f"{there.url}/mcp", "internal": True}}) as it:
            assert await it.call("site.echo", text="hello") == "hello"
        assert (proxy.seen, proxy.others) == ([], [])


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/mcp", "https://127.0.0.1:{port}/mcp", "http://10.0.0.1/mcp"])
@in_loop
async def test_an_address_that_is_not_public_is_not_called_unless_the_operator_says_so(
    tmp_path: Path, url: str
) -> None:
    """M4: nothing is accepted at the other end."""
    async with site(echo) as there:
        config = {"url": url.format(port=there.url.rpartition(":")[2])}
        async with bench(tmp_path, {"site": config}) as it:
            assert it.names == set()
            assert dict(it.told)["mcp_server_failed"]["code"] == "egress_blocked"
        assert there.seen == []


@pytest.mark.parametrize(
    "endpoint", ["a:$(touch pwn)", "file:///etc/passwd", "javascript:1", "http://169.254.169.254/latest/meta-data"]
)
@in_loop
async def test_what_a_server_names_for_a_login_is_not_fetched(tmp_path: Path, endpoint: str) -> None:
    """M2, M4: an answer 401 is told as that; the metadata it names is neither read nor handed to anything."""

    async def login(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        del request, body
        return web.Response(status=401, headers={"www-authenticate": f'Bearer resource_metadata="{endpoint}"'})

    async with site(login) as there:
        async with bench(tmp_path, {"site": {"url": f"{there.url}/mcp", "internal": True}}) as it:
            assert (await failure(it, text="x")).code == "mcp_login_needed"
        assert there.others == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@in_loop
async def test_a_redirect_to_another_place_is_not_followed(tmp_path: Path, status: int) -> None:
    """M4: neither to an address inside nor to another server."""
    reached: list[str] = []

    async def canary(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        reached.append(request.path)
        return web.json_response(said(body, "reached"))

    async with site(canary) as other:

        async def away(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
            del request, body
            return web.Response(status=status, headers={"location": f"{other.url}/mcp"})

        async with site(away) as there, bench(tmp_path, {"site": {"url": f"{there.url}/mcp", "internal": True}}) as it:
            assert (await failure(it, text="x")).code == "mcp_server_failed"
        assert (reached, other.seen) == ([], [])


async def torn(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "application/json", "content-length": "1000"})
    await response.prepare(request)
    await response.write(b'{"jsonrpc": "2.0", "id": ' + str(body["id"]).encode())
    assert request.transport is not None
    request.transport.abort()
    return response


async def endless(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    del body
    response = web.StreamResponse(headers={"content-type": "application/json"})
    await response.prepare(request)
    try:
        for _ in range(2048):
            await response.write(b" " * 1024 * 1024)
    except ConnectionError:
        pass
    return response


async def chatter(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    del body
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    note = b'data: {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}\n\n'
    try:
        for _ in range(1_000_000):
            await response.write(note)
    except ConnectionError:
        pass
    return response


@pytest.mark.parametrize("way", [torn, endless, chatter], ids=["torn", "endless", "chatter"])
@in_loop
async def test_a_hostile_answer_is_an_error_of_the_call(tmp_path: Path, way: Answer) -> None:
    """M11: half an answer, one without end, and a million messages end the call; the next is served."""
    async with site(way) as there:
        config = {"url": f"{there.url}/mcp", "internal": True, "seconds": 10}
        async with bench(tmp_path, {"site": config}) as it:
            assert (await failure(it, text="x")).code in {"mcp_server_failed", "result_too_large"}
            there.answer = echo
            assert await it.call("site.echo", text="again") == "again"


@in_loop
async def test_a_server_that_is_not_there_is_told_of_and_found_when_it_comes(tmp_path: Path) -> None:
    async with site(echo) as there:
        url = there.url
        tools = there.tools
    async with bench(tmp_path, {"site": {"url": f"{url}/mcp", "internal": True}}) as it:
        assert it.names == set()
        assert dict(it.told).keys() == {"mcp_server_failed"}
    assert tools
