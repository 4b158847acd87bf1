"""`ep mcp`: servers of the Model Context Protocol whose tools are used, and the own tools for its clients."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast
from urllib.parse import quote

import typer

from execution_platform.cli.asking import Url, ask
from execution_platform.cli.outcome import told
from execution_platform.cli.output import ConfigFile, Json, print_json, print_table
from execution_platform.cli.snapshot import open_config, read_settings

if TYPE_CHECKING:
    from execution_platform.tool_bridge.mcp import McpServers
    from execution_platform.tool_bridge.mcp.pins import Judged
    from execution_platform.tool_bridge.protocol import ToolResult

app = typer.Typer(help="MCP: servers whose tools are used, and the own tools for clients.", no_args_is_help=True)
Server = Annotated[str, typer.Argument(help="Name of the server, as in the configuration.")]
T = TypeVar("T")
_LONGEST = 60


@app.command("list")
def list_servers(config: ConfigFile = None, *, as_json: Json = False) -> None:
    """List the configured servers and the tools of them that are approved. Nothing is started or called."""
    with told():
        rows = _with_servers(config, _listing)
    if as_json:
        print_json({"servers": rows})
        return
    print_table(
        "",
        ("server", "where", "approved tools"),
        [(row["name"], row["where"], ", ".join(row["tools"]) or "never listed") for row in rows],
    )


@app.command("test")
def examine(server: Server, config: ConfigFile = None, *, as_json: Json = False) -> None:
    """Speak to a server of the configuration, and say which of its tools may be used."""
    with told():

        async def look(servers: "McpServers") -> "tuple[str, Judged]":
            found = servers.server(server)
            judged = await found.look()
            return found.version, judged

        version, judged = _with_servers(config, look)
    _show(server, version, judged, as_json=as_json)


@app.command("approve")
def approve(
    server: Server,
    tools: Annotated[list[str] | None, typer.Argument(help="Tools to approve; all that it has unless given.")] = None,
    config: ConfigFile = None,
    *,
    as_json: Json = False,
) -> None:
    """Approve the tools of a server as they are now. `ep mcp test` shows what is in quarantine."""
    with told():

        async def approved(servers: "McpServers") -> "tuple[str, Judged]":
            found = servers.server(server)
            judged = await found.approve(None if not tools else frozenset(tools))
            return found.version, judged

        version, judged = _with_servers(config, approved)
    _show(server, version, judged, as_json=as_json)


@app.command("login")
def log_in(server: Server, config: ConfigFile = None) -> None:
    """Log in at a server that wants a person. The address to open is printed, and the browser comes back to this machine."""
    with told():

        async def login(servers: "McpServers") -> None:
            await servers.server(server).log_in(_show_address)

        _with_servers(config, login)
        typer.echo(f"Logged in at {server}. The login is kept sealed below EP_WORKSPACE_ROOT and renewed by itself.")


@app.command("logout")
def log_out(server: Server, config: ConfigFile = None) -> None:
    """Forget the login at a server. Tokens that were given live on at the issuer until they expire."""
    with told():

        async def logout(servers: "McpServers") -> bool:
            return servers.server(server).log_out()

        known = _with_servers(config, logout)
        typer.echo(f"Logged out of {server}." if known else f"There was no login at {server}.")


async def _show_address(url: str) -> None:
    """It goes to the terminal and nowhere else: an opener would be a program that somebody else's text is given to (M2)."""
    typer.echo(f"Open this address in a browser on this machine and log in:\n\n{url}\n")


@app.command("serve")
def serve(
    url: Url = None,
    persona: Annotated[str | None, typer.Option(help="Persona to act as.")] = None,
    config: ConfigFile = None,
) -> None:
    """Offer the tools of a running gateway on standard input and output, under the key in EP_API_KEY."""
    with told():
        settings = read_settings(config)
        query = "" if persona is None else f"?persona={quote(persona, safe='')}"
        tools = cast("list[dict[str, Any]]", ask(settings, url, f"/v1/tools{query}")["tools"])

        async def call(name: str, args: Mapping[str, object]) -> "ToolResult":
            from execution_platform.tool_bridge.protocol import ToolResult

            body = {"name": name, "args": dict(args), **({} if persona is None else {"persona": persona})}
            answer = await asyncio.to_thread(ask, settings, url, "/v1/tools/invoke", method="POST", body=body)
            return ToolResult(answer["result"])

        _answer(tools, call)


def _answer(tools: list[dict[str, Any]], call: "Callable[[str, Mapping[str, object]], Awaitable[ToolResult]]") -> None:
    from execution_platform.tool_bridge.mcp.described import DescribedTool
    from execution_platform.tool_bridge.mcp.server import Offered, serve_stdio

    described = [
        DescribedTool(each["name"], each["description"], each["parameters"], each.get("side_effect", "exec"))
        for each in tools
    ]
    asyncio.run(serve_stdio(Offered(described, call)))


def _with_servers(config: str | None, work: "Callable[[McpServers], Awaitable[T]]") -> T:
    """Do something with the servers of the configuration; conversations end with it."""
    from execution_platform.config.secret import resolve_secret
    from execution_platform.identity.pepper import Pepper
    from execution_platform.tool_bridge.mcp import McpServers

    settings = read_settings(config)
    resolved = open_config(settings)

    async def run() -> T:
        pepper = Pepper(settings.key_pepper, settings.master_key, settings.workspace_root)
        servers = McpServers(
            settings.workspace_root,
            lambda reference: resolve_secret(reference, settings.environ),
            _silent,
            pepper=lambda: pepper.make().reveal(),
        )
        servers.use(resolved.mcp.servers)
        try:
            return await work(servers)
        finally:
            await servers.aclose()

    return asyncio.run(run())


def _silent(name: str, level: str = "info", **fields: object) -> None:
    """Events are for the log of a gateway."""


async def _listing(servers: "McpServers") -> list[dict[str, Any]]:
    from execution_platform.config.mcp import McpAddress

    rows: list[dict[str, Any]] = []
    for name in servers.names:
        server = servers.server(name)
        place = server.config.place
        rows.append(
            {
                "name": name,
                "where": place.url if isinstance(place, McpAddress) else place.command,
                "tools": sorted(server.pinned() or {}),
            }
        )
    return rows


def _show(server: str, version: str, judged: "Judged", *, as_json: bool) -> None:
    rows = [
        *((tool, "approved", str(pin.definition.get("description") or "")) for tool, pin in judged.approved.items()),
        *((tool, "quarantine", reason) for tool, reason in judged.changed.items()),
        *((tool, "refused", reason) for tool, reason in judged.refused.items() if tool not in judged.changed),
    ]
    if as_json:
        listed = [{"tool": tool, "state": state, "note": note} for tool, state, note in rows]
        print_json({"server": server, "protocol": version, "tools": listed})
        return
    short = [(tool, state, " ".join(note.split())[:_LONGEST]) for tool, state, note in rows]
    print_table(f"{server}, protocol {version}", ("tool", "", ""), short)
