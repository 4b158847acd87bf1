"""The configured servers of one process, and their approved tools as tools of the platform."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, cast

from execution_platform import _json
from execution_platform.config.mcp import McpServerConfig
from execution_platform.exceptions import ConfigError, ExecutionPlatformError, ToolError
from execution_platform.observability.logging import Tell
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.mcp.logins import Logins
from execution_platform.tool_bridge.mcp.names import full_name
from execution_platform.tool_bridge.mcp.pins import Pin, Pins
from execution_platform.tool_bridge.mcp.remote import FRESH_SECONDS, RemoteServer, Reveal, changed
from execution_platform.tool_bridge.protocol import SideEffect, ToolResult
from execution_platform.tool_bridge.schema import ArgumentCheck, Schema

LOOK_SECONDS: Final = 10.0
"""How often approvals are looked at, and servers that never answered are tried."""


class Offer(NamedTuple):
    """What the servers bring."""

    tools: tuple["McpTool", ...]
    absent: Mapping[str, ToolError]
    """Tools in quarantine, by full name."""


class McpTool:
    """An approved tool of a server, described as it was approved."""

    repeatable = False

    def __init__(self, server: RemoteServer, pin: Pin) -> None:
        definition = pin.definition
        self.name = full_name(server.name, str(definition["name"]))
        self.description = str(definition.get("description") or definition.get("title") or "")
        self.parameters = cast("Schema", definition["inputSchema"])
        self.returns = cast("Schema", definition.get("outputSchema") or {})
        self.side_effect: SideEffect = server.config.side_effect
        self.seconds = server.config.seconds * 2
        """A call may have to open the conversation first."""
        self._server = server
        self._pin = pin
        self._check = ArgumentCheck(self.name, self.parameters)

    def validate_args(self, args: Mapping[str, object]) -> None:
        """Refuse arguments that do not fit the schema. Raises `InvalidToolArguments`."""
        self._check(args)

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        """Not without somebody to do it for. Raises `ToolError`."""
        del args
        raise ToolError(
            f"tool {self.name!r} works on behalf of a tenant and was called without one; pass a ToolContext",
            code="workspace_missing",
        )

    async def execute_in(self, context: ToolContext, args: Mapping[str, object]) -> ToolResult:
        """Ask the server. Raises `ToolError`; `ToolDenied` where the run has seen too much to send it anything (H4)."""
        config = self._server.config
        if config.sends:
            context.provenance.check(f"mcp://{config.name}", trusted=config.trusted, size=len(_json.dumps(args)))
        # Whatever comes, the words of a failure included, is the server's.
        context.provenance.untrusted = True
        return await self._server.call(self._pin, args, context)


class McpServers:
    """Keeps conversations, approvals and logins. `pepper` is what logins are sealed with; `taken` are the names of other tools; `offered` is told when the tools change."""

    def __init__(
        self,
        root: Path,
        secret: Reveal,
        tell: Tell,
        *,
        pepper: Callable[[], str],
        taken: Callable[[], Iterable[str]] = tuple,
        offered: Callable[[Offer], None] = lambda _offer: None,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self.pins = Pins(root)
        self._logins = Logins(root, pepper)
        self._secret = secret
        self._tell = tell
        self._taken = taken
        self._offered = offered
        self._fresh = fresh_seconds
        self._servers: dict[str, RemoteServer] = {}
        self._left: list[RemoteServer] = []
        """Servers of earlier configurations, which nobody has begun to end."""
        self._leaving: dict[asyncio.Task[None], RemoteServer] = {}
        """Servers of earlier configurations that end with their last call."""
        self._told: dict[str, str] = {}
        self._following: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    def use(self, servers: Mapping[str, McpServerConfig]) -> None:
        """Serve new calls by this configuration."""
        kept = {name: each for name, each in self._servers.items() if servers.get(name) == each.config}
        self._left += [each for name, each in self._servers.items() if name not in kept]
        self._servers = {
            name: kept.get(name)
            or RemoteServer(config, self.pins, self._secret, self._logins, self._others, fresh_seconds=self._fresh)
            for name, config in servers.items()
        }
        self.tell_offer()
        self._wake.set()

    def server(self, name: str) -> RemoteServer:
        """One server. Raises `ToolError`."""
        found = self._servers.get(name)
        if found is None:
            known = ", ".join(sorted(self._servers)) or "none"
            raise ToolError(f"no MCP server {name!r} is configured; there are: {known}", code="not_found")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The configured servers."""
        return tuple(self._servers)

    def offer(self) -> Offer:
        """The approved tools of every server, and those in quarantine as far as is known."""
        tools: list[McpTool] = []
        absent: dict[str, ToolError] = {}
        for server in self._servers.values():
            tools += [McpTool(server, pin) for pin in (server.pinned() or {}).values()]
            if server.judged is not None:
                for tool, reason in server.judged.changed.items():
                    absent[full_name(server.name, tool)] = changed(server.name, tool, reason)
        return Offer(tuple(tools), absent)

    def tell_offer(self) -> None:
        """Tell who wants to know what there is now; nothing, while the approvals cannot be read."""
        offer = Offer((), {})
        try:
            offer = self.offer()
        except ConfigError as error:
            self._tell_once("", error)
        self._offered(offer)

    def start(self) -> None:
        """Look after approvals and silent servers from now on."""
        if self._following is None:
            self._following = asyncio.create_task(self._follow(), name="mcp servers")

    async def look(self) -> None:
        """Take over approvals, and list the servers that were never listed."""
        self._retire()
        news = self.pins.refresh()
        unknown = [server for server in self._servers.values() if server.pinned() is None]
        found = await asyncio.gather(*(self._first(server) for server in unknown))
        if news or any(found):
            self.tell_offer()

    async def aclose(self) -> None:
        """End every conversation."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
            self._following = None
        leaving, self._leaving = self._leaving, {}
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await asyncio.gather(*(server.aclose() for server in (*self._servers.values(), *self._left, *leaving.values())))
        self._left = []

    def _retire(self) -> None:
        for server in self._left:
            task = asyncio.create_task(server.retire(), name=f"mcp server {server.name} leaves")
            self._leaving[task] = server
            task.add_done_callback(lambda done: self._leaving.pop(done, None))
        self._left = []

    async def _follow(self) -> None:
        while True:
            self._wake.clear()
            if self._servers or self._left:
                try:
                    await self.look()
                except ConfigError as error:
                    self._tell_once("", error)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if self._servers else None):
                    await self._wake.wait()

    async def _first(self, server: RemoteServer) -> bool:
        """List a server for the first time; whether that worked."""
        try:
            judged = await server.look()
        except ExecutionPlatformError as error:
            self._tell_once(server.name, error)
            return False
        self._told.pop(server.name, None)
        for tool, reason in judged.refused.items():
            self._tell("mcp_tool_refused", "warning", server=server.name, tool=tool[:64], reason=reason)
        self._tell("mcp_server_listed", server=server.name, tools=len(judged.approved))
        return True

    def _tell_once(self, server: str, error: ExecutionPlatformError) -> None:
        """A line for the operator, unless the last one about this server said the same."""
        if self._told.get(server) != error.message:
            self._told[server] = error.message
            self._tell("mcp_server_failed", "warning", server=server, code=error.code, reason=error.message)

    def _others(self) -> Iterable[str]:
        """Names that no server's tool may look like."""
        return self._taken()
