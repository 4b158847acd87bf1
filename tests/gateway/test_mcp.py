"""The platform's tools by MCP: real clients of the SDK, and requests that no client of good will sends."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from evil_mcp import tool
from execution_platform.config.problems import ConfigProblems
from execution_platform.config.settings import Settings
from execution_platform.dialects.toolnames import legal
from execution_platform.gateway.app import build
from execution_platform.gateway.matrix import matrix
from execution_platform.testing import Call, FakeUpstream, Script, Text
from loops import in_loop
from mcp_bench import evil_server
from serving import MODELS, Got, Served, serving, three_vendors, write_config

ALICE, BOB = "sk-of-alice-0123456789abcdef", "sk-of-bob-0123456789abcdefgh"
CONFIG: dict[str, Any] = {
    "providers": {"mock": {"kind": "mock"}},
    "keys": [{"name": "alice", "key": ALICE, "tenant": "a"}, {"name": "bob", "key": BOB, "tenant": "b"}],
    "personas": {"reader": {"prefer": ["mock"], "tools": ["fs_read", "fs_list"]}},
}
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
WRITE = {"name": "fs_write", "arguments": {"path": "note.txt", "content": "written"}}
PWN: dict[str, Any] = {"transport": "stdio", "command": "/bin/sh", "args": ["-c", "touch pwn"]}


@asynccontextmanager
async def gateway(folder: Path, **changes: Any) -> AsyncIterator[Served]:
    async with serving(folder, {**CONFIG, **changes}, {"EP_PROVIDER": "mock"}) as served:
        yield served


@asynccontextmanager
async def client(served: Served, key: str = ALICE, mode: str = "auto", **headers: str) -> AsyncIterator[Client]:
    """A client of the SDK with a key."""
    sent = {"authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with (
        httpx2.AsyncClient(headers=sent, trust_env=False) as http,
        Client(streamable_http_client(f"{served.url}/mcp", http_client=http), mode=mode) as connected,
    ):
        yield connected


async def send(
    served: Served, method: str, params: Mapping[str, Any], *, key: str | None = ALICE, **changes: str | None
) -> Got:
    """One request of the newest protocol; headers may be changed, or left out by None."""
    headers: dict[str, str | None] = {
        "accept": "application/json, text/event-stream",
        "mcp_protocol_version": MODERN,
        "mcp_method": method,
        "mcp_name": params.get("name"),
        "authorization": None if key is None else f"Bearer {key}",
        **changes,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    return await served.post("/mcp", body, **{name: value for name, value in headers.items() if value is not None})


def written(folder: Path) -> bool:
    """Whether a call of `WRITE` was carried out."""
    return any(folder.rglob("note.txt"))


def texts(answer: Any) -> str:
    return " ".join(getattr(each, "text", "") for each in answer.content)


@pytest.mark.parametrize(("mode", "version"), [("auto", MODERN), ("legacy", "2025-11-25")])
@in_loop
async def test_a_client_finds_the_tools_and_works_in_its_tenants_workspace(
    tmp_path: Path, mode: str, version: str
) -> None:
    async with gateway(tmp_path) as served, client(served, mode=mode) as alice:
        assert alice.protocol_version == version
        listed = {each.name: each for each in (await alice.list_tools()).tools}
        assert {"fs_read", "fs_write"} <= listed.keys()
        assert listed["fs_write"].input_schema["properties"].keys() == {"path", "content"}
        assert not (await alice.call_tool("fs_write", {"path": "note.txt", "content": "hello"})).is_error
        read = await alice.call_tool("fs_read", {"path": "note.txt"})
        assert read.structured_content["content"] == "hello"
        async with client(served, BOB, mode) as bob:
            other = await bob.call_tool("fs_read", {"path": "note.txt"})
            assert other.is_error
            assert texts(other).startswith("not_found:")


@in_loop
async def test_a_persona_has_its_tools_and_no_others(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served, client(served, x_ep_persona="reader") as alice:
        assert {each.name for each in (await alice.list_tools()).tools} == {"fs_read", "fs_list"}
        refused = await alice.call_tool("fs_write", {"path": "x", "content": "y"})
        assert refused.is_error
        assert texts(refused) == "permission_denied: this persona may not use tool fs_write"


@in_loop
async def test_wrong_arguments_are_told_to_the_clients_model(tmp_path: Path) -> None:
    async with gateway(tmp_path) as served, client(served) as alice:
        refused = await alice.call_tool("fs_read", {"file": "x"})
        assert refused.is_error
        assert "invalid_args" in texts(refused)
        assert "args.path: is required" in texts(refused)


@pytest.mark.parametrize("method", ["server/discover", "tools/list", "tools/call"])
@in_loop
async def test_without_a_right_key_there_is_nothing(tmp_path: Path, method: str) -> None:
    """M3: no header, a random key, Basic, and a key of a mebibyte are no caller."""
    params = WRITE if method == "tools/call" else {}
    async with gateway(tmp_path) as served:
        assert (await send(served, method, params, key=None)).status == 401
        for wrong in ("Bearer sk-somebody-else-000000000000", "Basic YWxpY2U6eA==", "Bearer "):
            assert (await send(served, method, params, authorization=wrong)).status == 401
        assert (await send(served, method, params, authorization="Bearer " + "x" * 1024 * 1024)).status in {401, 431}
        assert not written(tmp_path)


@in_loop
async def test_two_keys_in_one_request_are_refused(tmp_path: Path) -> None:
    """M3: which of two keys counts is not for two readers to decide."""
    async with gateway(tmp_path) as served:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**WRITE, "_meta": META}}
        headers = [("authorization", f"Bearer {ALICE}"), ("authorization", f"Bearer {BOB}")]
        async with served.http.post(f"{served.url}/mcp", json=body, headers=headers) as answer:
            assert answer.status == 400
        assert not written(tmp_path)


@pytest.mark.parametrize("changes", [{"mcp_name": "fs_read"}, {"mcp_method": None}, {"mcp_method": "tools/list"}])
@in_loop
async def test_headers_that_say_something_else_than_the_body_are_refused(
    tmp_path: Path, changes: dict[str, str | None]
) -> None:
    """M6: 400 with -32020, and nothing is executed."""
    async with gateway(tmp_path) as served:
        got = await send(served, "tools/call", WRITE, **changes)
        assert (got.status, got.json()["error"]["code"]) == (400, -32020)
        assert not written(tmp_path)
        assert (await send(served, "tools/call", WRITE)).status == 200
        assert written(tmp_path)


@in_loop
async def test_another_host_or_origin_reaches_no_tool(tmp_path: Path) -> None:
    """M7: a name that was made to lead here, and a page of somebody else, are refused before any tool."""
    async with gateway(tmp_path) as served:
        assert (await send(served, "tools/call", WRITE, host="evil.example")).status == 421
        assert (await send(served, "tools/call", WRITE, origin="http://evil.example")).status == 403
        assert not written(tmp_path)
        assert (await send(served, "tools/list", {})).status == 200


@in_loop
async def test_names_that_an_operator_lists_are_accepted(tmp_path: Path) -> None:
    section = {"hosts": ["tools.example"], "origins": ["https://app.example"]}
    async with gateway(tmp_path, mcp=section) as served:
        known = await send(served, "tools/list", {}, host="tools.example:8443", origin="https://app.example")
        assert known.status == 200
        assert (await send(served, "tools/list", {})).status == 421


def test_an_offer_to_every_address_without_a_list_does_not_start(tmp_path: Path) -> None:
    """M7: what a gateway is called has to be known where others can reach it."""
    write_config(tmp_path, {**CONFIG, "mcp": {"offer": True}})
    environ = {"EP_HOST": "0.0.0.0", "EP_CONFIG": str(tmp_path / "platform.yaml"), "EP_WORKSPACE_ROOT": str(tmp_path)}
    with pytest.raises(ConfigProblems, match=r"mcp\.offer"):
        build(Settings(environ))
    write_config(tmp_path, CONFIG)
    assert not build(Settings(environ)).state.snapshot.config.mcp.offer


@in_loop
async def test_the_offer_can_be_switched_off(tmp_path: Path) -> None:
    async with gateway(tmp_path, mcp={"offer": False}) as served:
        got = await send(served, "tools/list", {})
        assert (got.status, got.json()["error"]["code"]) == (403, "mcp_not_offered")


@in_loop
async def test_nothing_is_remembered_from_one_request_to_the_next(tmp_path: Path) -> None:
    """M5: no session is given out, and one that somebody brings opens nothing of another's."""
    async with gateway(tmp_path) as served:
        first = await send(served, "tools/call", WRITE)
        assert first.header("mcp-session-id") is None
        body = {"name": "fs_read", "arguments": {"path": "note.txt"}}
        for version in (MODERN, "2025-11-25"):
            got = await send(served, "tools/call", body, key=BOB, mcp_protocol_version=version, mcp_session_id="1" * 32)
            assert got.json()["result"]["isError"]


def nested(depth: int) -> Any:
    value: Any = PWN
    for _ in range(depth):
        value = {"definition": value} if depth % 2 else {"list": [value]}
    return value


@in_loop
async def test_no_path_takes_a_program_to_start(tmp_path: Path) -> None:
    """M1: whoever asks, wherever the definition is, no program starts, and the answer says why."""
    started: list[str] = []
    watching = True

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if watching and event in {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.system"}:
            started.append(event)

    sys.addaudithook(watch)
    paths = ["/mcp", "/v1/tools/invoke", "/v1/config/rollback", "/v1/personas"]
    async with serving(tmp_path, {**CONFIG, "keys": []}, {"EP_PROVIDER": "mock", "EP_MASTER_KEY": "m" * 32}) as served:
        for path in paths:
            for depth in range(5):
                got = await served.post(path, nested(depth), authorization="Bearer " + "m" * 32)
                assert (got.status, got.json()["error"]["code"]) == (422, "stdio_not_permitted"), (path, depth)
        given = {"mcpServers": {"x": {"command": "/bin/sh", "args": []}}}
        assert (await served.post("/mcp", given, authorization="Bearer " + "m" * 32)).status == 422
        document = (await served.get("/openapi.json", authorization="Bearer " + "m" * 32)).json()
    watching = False
    assert started == []
    assert "command" not in set(properties(document))


def properties(value: Any) -> Any:
    """The names of all properties in a document."""
    if isinstance(value, dict):
        found: dict[str, Any] = value
        yield from found.get("properties", {}) if isinstance(found.get("properties"), dict) else ()
        for each in found.values():
            yield from properties(each)
    elif isinstance(value, list):
        for each in value:
            yield from properties(each)


@in_loop
async def test_the_tools_of_configured_servers_are_tools_like_others(tmp_path: Path) -> None:
    """M10: through the API, by their MCP address and by MCP; the caller's key is not in what the server gets."""
    evil = evil_server(tmp_path, tool("echo"))
    async with gateway(tmp_path, mcp={"servers": {"helper": evil.config()}}) as served:
        await served.gateway.state.mcp.look()
        key = f"Bearer {ALICE}"
        names = {each["name"] for each in (await served.get("/v1/tools", authorization=key)).json()["tools"]}
        assert "helper.echo" in names
        for name in ("helper.echo", "mcp://helper/echo"):
            body = {"name": name, "args": {"text": "hello"}}
            got = await served.post("/v1/tools/invoke", body, authorization=key)
            assert got.json() == {"ok": True, "result": "hello"}
        async with client(served) as alice:
            assert texts(await alice.call_tool("helper.echo", {"text": "by MCP"})) == "by MCP"


def test_the_path_has_the_row_of_calls_of_tools() -> None:
    rows = matrix()
    assert rows["POST /mcp"] == rows["POST /v1/tools/invoke"]


@pytest.mark.parametrize("named", ["helper.echo", "mcp://helper/echo"])
@in_loop
async def test_a_model_uses_a_servers_tool_in_a_run_of_any_vendor(tmp_path: Path, named: str) -> None:
    evil = evil_server(tmp_path, tool("echo"))
    persona = {"prefer": ["openai"], "tools": [named], "permissions": {named: "full"}}
    servers = {"servers": {"helper": evil.config()}}
    async with (
        FakeUpstream() as upstream,
        serving(tmp_path, three_vendors(upstream, mcp=servers, personas={"dev": persona})) as served,
    ):
        await served.gateway.state.mcp.look()
        for vendor, model in MODELS.items():
            wire = "helper.echo" if vendor == "gemini" else legal("helper.echo")
            upstream.script(Script(Call(wire, {"text": "hello"})), Script(Text("It says hello.", chunks=1)))
            question = [{"role": "user", "content": "Say hello"}]
            asked = {"messages": question, "persona": "dev", "model": model, "stream": False}
            got = await served.post("/v1/chat", asked)
            assert got.json()["text"] == "It says hello.", got.body
        assert evil.calls == ["echo"] * 3
