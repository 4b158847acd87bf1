"""The platform's tools for other people's MCP clients.

Theory of operation
-------------------
Every exchange stands for itself (M5): a server object is made for one caller and one request, so there is no session that
somebody else could take over, and the tools it knows are those the caller may use. What is authorised is the name in the body;
the SDK refuses a request whose headers say something else (M6). The Host and Origin headers are held to lists on every address
(M7); the SDK's default of no lists would be no check.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from execution_platform import __version__
from execution_platform.config.mcp import McpConfig
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.tool_bridge.mcp import extra
from execution_platform.tool_bridge.mcp.convert import answered, described, failed
from execution_platform.tool_bridge.protocol import ToolProtocol, ToolResult

if TYPE_CHECKING:
    from mcp.server import Server, ServerRequestContext
    from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams

Call = Callable[[str, Mapping[str, object]], Awaitable[ToolResult]]
"""Runs a tool for the caller. Raises `ExecutionPlatformError`."""
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_INSTRUCTIONS: Final = "Tools of the Execution Platform, those that your key and persona may use. Files are in the workspace of your tenant."


class Offered(NamedTuple):
    """The tools of one caller."""

    tools: Sequence[ToolProtocol]
    call: Call


def allowed_hosts(config: McpConfig) -> list[str]:
    """Host headers that are accepted, each with any port unless it says one."""
    hosts = config.hosts or LOOPBACK
    return [each for host in hosts for each in ((host,) if _has_port(host) else (host, f"{host}:*"))]


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit() and not host.endswith("]")


def platform_server(offered: Offered) -> "Server[Any]":
    """A server of the protocol for one caller. Raises `McpNotInstalled`."""
    extra.require()
    from mcp.server import Server
    from mcp_types import ListToolsResult

    schemas = {tool.name: tool.parameters for tool in offered.tools}

    async def list_tools(
        context: "ServerRequestContext[Any]", params: "PaginatedRequestParams | None"
    ) -> "ListToolsResult":
        del context, params
        return ListToolsResult(tools=[described(tool) for tool in offered.tools])

    async def call_tool(context: "ServerRequestContext[Any]", params: "CallToolRequestParams") -> "CallToolResult":
        del context
        try:
            result = await offered.call(params.name, params.arguments or {})
        except ExecutionPlatformError as error:
            return failed(error)
        return answered(result.output)

    return Server(
        "execution-platform",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        get_tool_input_schema=schemas.get,
    )


async def exchange(offered: Offered, config: McpConfig, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request of a client. Raises `McpNotInstalled`."""
    server = platform_server(offered)
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings

    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=allowed_hosts(config),
        allowed_origins=list(config.origins),
    )
    manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True, security_settings=security)
    async with manager.run():
        await manager.handle_request(scope, receive, send)


async def serve_stdio(offered: Offered) -> None:
    """Answer a client on standard input and output until it closes them. Raises `McpNotInstalled`."""
    server = platform_server(offered)
    from mcp.server.stdio import stdio_server

    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())
