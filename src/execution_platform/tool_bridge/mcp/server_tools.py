"""What a server offers besides tools, as tools: its resources and its prompts.

They are described here and not by the server, and they are approved like its tools: a server that comes to have resources
later is asked about first.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from execution_platform.tool_bridge.mcp.convert import prompt_of, resources_of, result_of
from execution_platform.tool_bridge.mcp.pins import Definition
from execution_platform.tool_bridge.protocol import ToolResult

if TYPE_CHECKING:
    from mcp import Client

Question = Callable[["Client"], Awaitable[ToolResult]]
_OURS: Final = "execution-platform"
_MOST_PAGES: Final = 20


def _own(name: str, description: str, properties: Mapping[str, object], required: list[str]) -> Definition:
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"name": name, "description": description, "inputSchema": schema, "_meta": {_OURS: True}}


_RESOURCES: Final = (
    _own("resource_list", "List the resources of this server: address, name and type of each.", {}, []),
    _own("resource_read", "Read one resource of this server by its address.", {"uri": {"type": "string"}}, ["uri"]),
)
_PROMPTS: Final = (
    _own("prompt_list", "List the prompts of this server, with their arguments.", {}, []),
    _own(
        "prompt_get",
        "Get the messages of one prompt of this server.",
        {"name": {"type": "string"}, "arguments": {"type": "object", "additionalProperties": {"type": "string"}}},
        ["name"],
    ),
)


async def features(client: "Client") -> tuple[Definition, ...]:
    """The tools for what a server has besides tools. Many servers say that they have resources and prompts, and have none."""
    capabilities = client.server_capabilities
    found: tuple[Definition, ...] = ()
    if capabilities.resources and (
        (await client.list_resources()).resources or (await client.list_resource_templates()).resource_templates
    ):
        found += _RESOURCES
    if capabilities.prompts and (await client.list_prompts()).prompts:
        found += _PROMPTS
    return found


def question(server: str, definition: Definition, args: Mapping[str, object], most: int) -> Question:
    """What to ask a server for one call of a tool with this definition. Results are at most `most` bytes."""
    name = str(definition["name"])
    if definition in (*_RESOURCES, *_PROMPTS):
        return _feature(server, name, args, most)

    async def called(client: "Client") -> ToolResult:
        return result_of(server, await client.call_tool(name, dict(args)), most)

    return called


def _feature(server: str, name: str, args: Mapping[str, object], most: int) -> Question:
    async def listed(client: "Client") -> ToolResult:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            if name == "resource_list":
                resources = await client.list_resources(cursor=cursor)
                found += [
                    each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in resources.resources
                ]
                cursor = resources.next_cursor
            else:
                prompts = await client.list_prompts(cursor=cursor)
                found += [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in prompts.prompts]
                cursor = prompts.next_cursor
            if cursor is None:
                break
        return ToolResult(found)

    async def read(client: "Client") -> ToolResult:
        return resources_of(server, await client.read_resource(str(args["uri"])), most)

    async def prompted(client: "Client") -> ToolResult:
        given = cast("dict[str, str]", args.get("arguments", {}))
        return prompt_of(server, await client.get_prompt(str(args["name"]), given), most)

    if name == "resource_read":
        return read
    return prompted if name == "prompt_get" else listed
