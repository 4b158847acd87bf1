"""Servers of tools that are functions of this program, and their calls."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


@dataclass
class SdkMcpTool:
    """A function as a tool. `input_schema` is a JSON Schema, or names with their types."""

    name: str
    description: str
    input_schema: Any
    handler: Handler

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        schema: object = self.input_schema
        given = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}
        if not given:
            return {"type": "object", "properties": {}}
        if given.get("type") == "object" or "properties" in given or "$ref" in given:
            return {"type": "object", **given}
        properties = {name: {"type": _TYPES.get(kind, "string")} for name, kind in given.items()}
        return {"type": "object", "properties": properties, "required": list(given)}


@dataclass
class SdkMcpServer:
    """Tools under one name."""

    name: str
    version: str
    tools: list[SdkMcpTool] = field(default_factory=list[SdkMcpTool])


def tool(name: str, description: str, input_schema: Any) -> Callable[[Handler], SdkMcpTool]:
    """Make a coroutine function a tool: it gets the arguments and gives `{"content": [{"type": "text", "text"}], "is_error"?}`."""

    def decorate(handler: Handler) -> SdkMcpTool:
        return SdkMcpTool(name, description, input_schema, handler)

    return decorate


def create_sdk_mcp_server(name: str, version: str = "1.0.0", tools: list[SdkMcpTool] | None = None) -> dict[str, Any]:
    """A server for `mcp_servers`: it runs in this program, and its tools are `mcp__<key>__<tool>`."""
    return {"type": "sdk", "name": name, "instance": SdkMcpServer(name, version, list(tools or ()))}


def own_tools(servers: dict[str, Any]) -> dict[str, SdkMcpTool]:
    """The tools of servers in this program by their whole names. Raises `ValueError` for a server that is none."""
    found: dict[str, SdkMcpTool] = {}
    for key, server in servers.items():
        instance = cast("dict[str, Any]", server).get("instance") if isinstance(server, dict) else None
        if not isinstance(instance, SdkMcpServer):
            raise ValueError(  # noqa: TRY004 - the server is a dictionary, as it has to be, with something else in it
                f"mcp_servers[{key!r}] is not of create_sdk_mcp_server; programs and addresses are configured in platform.yaml, "
                "section mcp"
            )
        found |= {f"mcp__{key}__{each.name}": each for each in instance.tools}
    return found


def first_line(tools: dict[str, SdkMcpTool]) -> bytes:
    """What the command is told of the tools."""
    told = [
        {"name": name, "description": each.description, "input_schema": each.schema()} for name, each in tools.items()
    ]
    return json.dumps({"tools": told}).encode() + b"\n"


class Calls:
    """The calls of one run, run side by side in this program."""

    def __init__(self, tools: dict[str, SdkMcpTool], to: Any) -> None:
        self._tools = tools
        self._to = to
        self._tasks: set[asyncio.Task[None]] = set()

    def hear(self, value: dict[str, Any]) -> bool:
        """Begin to answer a call; False for another line."""
        if value.get("type") != "caller_call":
            return False
        task = asyncio.ensure_future(self._answer(value))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """End what still runs."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._to is not None:
            self._to.close()

    async def _answer(self, call: dict[str, Any]) -> None:
        known = self._tools.get(call["name"])
        if known is None:
            told: dict[str, Any] = {"content": f"there is no tool {call['name']}", "is_error": True}
        else:
            running = asyncio.ensure_future(_run(known, call["input"]))
            try:
                await asyncio.wait({running})
            finally:
                running.cancel()
            error = running.exception()
            told = _told(running.result()) if error is None else _failed(error)
        self._to.write(json.dumps({"id": call["id"], **told}).encode() + b"\n")
        await self._to.drain()


async def _run(known: SdkMcpTool, arguments: dict[str, Any]) -> Any:
    return await known.handler(arguments)


def _failed(error: BaseException) -> dict[str, Any]:
    return {"content": f"{type(error).__name__}: {error}", "is_error": True}


def _told(result: Any) -> dict[str, Any]:
    """What a handler gave, as one text."""
    given = cast("dict[str, Any]", result) if isinstance(result, dict) else {}
    if not isinstance(given.get("content"), list):
        return {"content": result if isinstance(result, str) else json.dumps(result, default=str), "is_error": False}
    content = cast("list[dict[str, Any]]", given["content"])
    blocks = [str(each["text"]) if each.get("type") == "text" else json.dumps(each, default=str) for each in content]
    return {"content": "\n".join(blocks), "is_error": bool(given.get("is_error") or given.get("isError"))}
