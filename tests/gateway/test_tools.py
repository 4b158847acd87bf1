"""The paths of the platform's tools, over the registry of the gateway."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from execution_platform.client import AsyncExecutionPlatformClient, GatewayClient
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.tool_bridge import FunctionTool
from loops import in_loop
from serving import Served, serving

PERSONAS = {
    "helper": {"prefer": ["mock"], "tools": ["add", "Read"]},
    "reader": {"prefer": ["mock"], "tools": ["fs_read", "fs_write"], "permissions": {"Write": "read_only"}},
    "watcher": {"prefer": ["mock"], "tools": []},
    "anyone": {"prefer": ["mock"]},
}


async def add(a: int, b: int = 1) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


def divide(a: int, b: int) -> float:
    """Divide one number by another."""
    return a / b


@asynccontextmanager
async def with_tools(folder: Path, *functions: Callable[..., object]) -> AsyncIterator[Served]:
    """A gateway with these functions as its tools."""
    config = {
        "providers": {
            "mock": {"kind": "mock"},
            "mute": {
                "kind": "openai_compatible",
                "base_url": "http://127.0.0.1:9/v1",
                "models": ["m"],
                "profiles": {"*": {"tool_calling": "none"}},
            },
        },
        "personas": PERSONAS,
    }
    async with serving(folder, config, {"EP_PROVIDER": "mock"}) as served:
        for function in functions:
            served.gateway.state.tools.register(FunctionTool(function))
        yield served


async def names(gateway: Served, path: str) -> list[str]:
    """The tools listed besides the platform's own."""
    answer = await gateway.get(path)
    assert answer.status == 200, answer.body
    return [tool["name"] for tool in answer.json()["tools"] if tool["name"] in {"add", "divide"}]


async def listed(gateway: Served, name: str) -> Any:
    """One tool of the listing."""
    tools = (await gateway.get("/v1/tools/list")).json()["tools"]
    return next(tool for tool in tools if tool["name"] == name)


@pytest.mark.parametrize("path", ["/v1/tools", "/v1/tools/list"])
@in_loop
async def test_a_gateway_lists_the_tools_of_the_platform(tmp_path: Path, path: str) -> None:
    async with with_tools(tmp_path) as gateway:
        tools = {tool["name"]: tool for tool in (await gateway.get(path)).json()["tools"]}
        assert {"fs_read", "fs_write", "fs_edit", "fs_list", "fs_delete", "fs_stat", "dir_glob"} <= set(tools)
        assert (tools["fs_read"]["side_effect"], tools["fs_read"]["level"]) == ("read", "read_only")
        assert (tools["fs_edit"]["side_effect"], tools["fs_edit"]["aliases"]) == ("write", ["Edit"])


@in_loop
async def test_a_listed_tool_has_its_schema_and_the_providers_that_can_call_it(tmp_path: Path) -> None:
    async with with_tools(tmp_path, add) as gateway:
        tool = await listed(gateway, "add")
        assert {"name", "description", "parameters", "returns", "supported_providers"} <= set(tool)
        assert tool["name"] == "add"
        assert tool["description"] == "Add two numbers."
        assert tool["parameters"]["required"] == ["a"]
        assert "mock" in tool["supported_providers"]
        assert "mute" not in tool["supported_providers"]


@in_loop
async def test_a_listing_is_of_a_provider_and_a_persona(tmp_path: Path) -> None:
    async with with_tools(tmp_path, add, divide) as gateway:
        assert await names(gateway, "/v1/tools?provider=mock") == ["add", "divide"]
        assert await names(gateway, "/v1/tools?provider=mute") == []
        assert await names(gateway, "/v1/tools?persona=helper") == ["add"]
        assert await names(gateway, "/v1/tools?persona=watcher") == []
        assert await names(gateway, "/v1/tools?persona=anyone") == ["add", "divide"]
        for query, near in (("provider=mok", "not configured"), ("persona=helpr", "helper")):
            answer = await gateway.get(f"/v1/tools?{query}")
            assert answer.status == 404
            assert near in answer.json()["error"]["message"]


@pytest.mark.parametrize("named", ["name", "tool_name"])
@in_loop
async def test_a_tool_runs(tmp_path: Path, named: str) -> None:
    async with with_tools(tmp_path, add) as gateway:
        answer = await gateway.post("/v1/tools/invoke", {named: "add", "args": {"a": 2, "b": 3}})
        assert (answer.status, answer.json()) == (200, {"ok": True, "result": {"sum": 5}})


@in_loop
async def test_a_call_that_cannot_run_says_why(tmp_path: Path) -> None:
    async with with_tools(tmp_path, add, divide) as gateway:
        cases = [
            ({"name": "ad", "args": {}}, 404, "not_found", "Did you mean add?"),
            ({"name": "add", "args": {"a": "x"}}, 400, "invalid_args", "args.a"),
            ({"name": "divide", "args": {"a": 1, "b": 0}}, 502, "tool_error", "ZeroDivisionError"),
            ({"args": {}}, 422, "invalid_request", "name:"),
            ({"name": "add", "args": [1]}, 422, "invalid_request", "args:"),
        ]
        for body, status, code, text in cases:
            answer = await gateway.post("/v1/tools/invoke", body)
            error = answer.json()["error"]
            assert (answer.status, error["code"]) == (status, code), error
            assert text in error["message"]


@in_loop
async def test_the_clients_find_the_paths(tmp_path: Path) -> None:
    async with with_tools(tmp_path, add) as gateway:
        async with AsyncExecutionPlatformClient(gateway.url, persona="helper") as client:
            assert [tool.name for tool in await client.tools()] == ["fs_read", "add"]
        async with GatewayClient(gateway.url) as client:
            assert await client.invoke_tool("add", {"a": 1}) == {"ok": True, "result": {"sum": 2}}
            with pytest.raises(ExecutionPlatformError, match="no tool has the name 'sub'"):
                await client.invoke_tool("sub")


@in_loop
async def test_tools_need_a_key_where_keys_are_needed(tmp_path: Path) -> None:
    config = {
        "providers": {"mock": {"kind": "mock"}},
        "personas": PERSONAS,
        "keys": [{"name": "k", "key": "ep-key-0123456789", "personas": ["watcher"]}],
    }
    async with serving(tmp_path, config) as gateway:
        assert (await gateway.get("/v1/tools")).status == 401
        assert (await gateway.post("/v1/tools/invoke", {"name": "x"})).status == 401
        key = {"authorization": "Bearer ep-key-0123456789"}
        assert (await gateway.get("/v1/tools?persona=watcher", **key)).status == 200
        assert (await gateway.get("/v1/tools?persona=helper", **key)).status == 403


@in_loop
async def test_a_file_tool_works_in_the_workspace_of_the_tenant(tmp_path: Path) -> None:
    config = {
        "providers": {"mock": {"kind": "mock"}},
        "keys": [{"name": name, "key": f"ep-key-of-{name}-012345", "tenant": name} for name in ("one", "two/../one")],
    }
    async with serving(tmp_path, config) as gateway:
        one, two = ({"authorization": f"Bearer ep-key-of-{name}-012345"} for name in ("one", "two/../one"))
        written = {"name": "fs_write", "args": {"path": "notes/a.txt", "content": "mine"}}
        answer = await gateway.post("/v1/tools/invoke", written, **one)
        assert answer.json()["result"] == {"path": "notes/a.txt", "bytes": 4, "created": True}
        assert (tmp_path / "tenants/one/shared/notes/a.txt").read_text() == "mine"
        read = {"name": "Read", "args": {"file_path": str(tmp_path / "tenants/one/shared/notes/a.txt")}}
        assert (await gateway.post("/v1/tools/invoke", read, **one)).json()["result"]["content"] == "mine"
        for path in ("notes/a.txt", "../one/shared/notes/a.txt", read["args"]["file_path"]):
            refused = await gateway.post("/v1/tools/invoke", {"name": "fs_read", "args": {"path": path}}, **two)
            assert refused.status in {403, 404}, refused.body


@in_loop
async def test_a_call_for_a_persona_is_held_to_its_tools_and_levels(tmp_path: Path) -> None:
    async with with_tools(tmp_path) as gateway:
        written = {"name": "Write", "args": {"file_path": "a", "content": "x"}}
        assert (await gateway.post("/v1/tools/invoke", written)).status == 200
        refused = await gateway.post("/v1/tools/invoke", {**written, "persona": "reader"})
        assert (refused.status, refused.json()["error"]["code"]) == (403, "permission_denied")
        assert "needs the permission level write, and it is read_only here" in refused.json()["error"]["message"]
        by_header = await gateway.post("/v1/tools/invoke", written, x_ep_persona="watcher")
        assert (by_header.status, by_header.json()["error"]["code"]) == (403, "permission_denied")
        read = {"name": "fs_read", "args": {"path": "a"}, "personaId": "reader"}
        assert (await gateway.post("/v1/tools/invoke", read)).json()["result"]["content"] == "x"


@in_loop
async def test_a_key_that_is_limited_to_personas_cannot_leave_them_out(tmp_path: Path) -> None:
    keys = [
        {"name": "single", "key": "ep-key-single-012345", "personas": ["watcher"]},
        {"name": "several", "key": "ep-key-several-012345", "personas": ["watcher", "reader"]},
    ]
    config = {"providers": {"mock": {"kind": "mock"}}, "personas": PERSONAS, "keys": keys}
    async with serving(tmp_path, config) as gateway:
        call = {"name": "fs_write", "args": {"path": "a", "content": "x"}}
        for name, text in (("single", "this persona may not use tool fs_write"), ("several", "name one of them")):
            answer = await gateway.post("/v1/tools/invoke", call, authorization=f"Bearer ep-key-{name}-012345")
            assert answer.status == 403
            assert text in answer.json()["error"]["message"]


@in_loop
async def test_a_refused_call_leaves_a_line_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """F7: reading a secret that lies in the workspace is denied, and the operator can see that it was tried."""
    async with with_tools(tmp_path) as gateway:
        (tmp_path / "tenants/default/shared").mkdir(parents=True)
        (tmp_path / "tenants/default/shared/.env").write_text("KEY=canary-of-the-file")
        answer = await gateway.post("/v1/tools/invoke", {"name": "fs_read", "args": {"path": ".env"}})
        assert (answer.status, answer.json()["error"]["code"]) == (403, "path_protected")
        assert b"canary" not in answer.body
    line = next(line for line in capfd.readouterr().out.splitlines() if "tool_refused" in line)
    assert '"code":"path_protected"' in line
    assert '"tenant":"default"' in line
