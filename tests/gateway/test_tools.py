"""The paths of the platform's tools, over the registry of the gateway."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from execution_platform.client import AsyncExecutionPlatformClient, GatewayClient
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.tool_bridge import FunctionTool
from loops import in_loop
from serving import Served, serving

PERSONAS = {
    "helper": {"prefer": ["mock"], "tools": ["add"]},
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
    answer = await gateway.get(path)
    assert answer.status == 200, answer.body
    return [tool["name"] for tool in answer.json()["tools"]]


@pytest.mark.parametrize("path", ["/v1/tools", "/v1/tools/list"])
@in_loop
async def test_a_gateway_without_tools_lists_none(tmp_path: Path, path: str) -> None:
    async with with_tools(tmp_path) as gateway:
        answer = await gateway.get(path)
        assert (answer.status, answer.json()) == (200, {"tools": []})


@in_loop
async def test_a_listed_tool_has_its_schema_and_the_providers_that_can_call_it(tmp_path: Path) -> None:
    async with with_tools(tmp_path, add) as gateway:
        tool = (await gateway.get("/v1/tools/list")).json()["tools"][0]
        assert set(tool) == {"name", "description", "parameters", "returns", "supported_providers"}
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
            assert [tool.name for tool in await client.tools()] == ["add"]
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
