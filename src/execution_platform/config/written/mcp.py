"""The section `mcp` as it is written."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from execution_platform.config.facts import Raw
from execution_platform.config.mcp import McpAddress, McpConfig, McpProgram, McpServerConfig, ServerEffect, WorkspaceUse
from execution_platform.config.problems import Problem
from execution_platform.config.secret import SecretRef
from execution_platform.config.units import Seconds, Size
from execution_platform.config.written.exec import Folder

RESERVED = frozenset(
    {"agent", "code", "db", "dir", "ep", "exec", "fs", "http", "mcp", "platform", "system", "todo", "web"}
)
"""First words of the platform's own tools, and words that sound like it: no server may bear them."""
_SERVER = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MIB = 1024 * 1024


def _server_name(value: str) -> str:
    if not _SERVER.match(value):
        raise ValueError("a server's name is a small letter, then small letters, digits or -, at most 32 in all")
    if value in RESERVED:
        raise ValueError("this name is kept for the platform's own tools; choose another")
    return value


ServerName = Annotated[str, AfterValidator(_server_name)]


class RawMcpServer(Raw):
    """One MCP server: a program that is started (command) or an address (url)."""

    command: str | None = Field(
        default=None, min_length=1, description="Program to start, which speaks MCP on its standard input and output."
    )
    args: list[str] = Field(
        default_factory=list[str], description="Its arguments; {workspace} stands for the workspace, where it has one."
    )
    env: dict[str, SecretRef] = Field(
        default_factory=dict[str, SecretRef],
        description="Its environment, beside PATH, HOME and LANG; nothing of the gateway's is passed on.",
    )
    sandbox: bool = Field(
        default=True, description="Start it in bubblewrap; false starts it beside the gateway, with its rights."
    )
    read: list[Folder] = Field(
        default_factory=list[str], description="Directories it sees besides /usr, such as where it is installed."
    )
    write: list[Folder] = Field(default_factory=list[str], description="Directories it may change.")
    network: bool = Field(default=False, description="Let it use the network.")
    workspace: WorkspaceUse = Field(
        default="none", description="Whether it sees the workspace of the call, and may change it."
    )
    url: str | None = Field(
        default=None, pattern=r"^https?://", description="Address of a server that speaks streamable HTTP."
    )
    headers: dict[str, SecretRef] = Field(
        default_factory=dict[str, SecretRef], description="Headers of every request to it, such as authorization."
    )
    internal: bool = Field(
        default=False, description="Reach it although its address is not public, over http where the url says so."
    )
    tools: list[str] | None = Field(default=None, description="Tools of it that are offered; all unless set.")
    side_effect: ServerEffect | None = Field(
        default=None,
        description="The worst its tools can do; network for an address and exec for a program unless set. What a server "
        "says of itself does not count.",
    )
    trusted: bool = Field(
        default=False,
        description="Let runs call it that have read both private data and text of outsiders: what they send may hold both.",
    )
    seconds: Seconds = Field(default=60, description="Seconds a call may take.")
    idle_seconds: Seconds = Field(
        default=60, description="Seconds after which a connection, or program, that nobody uses is ended."
    )
    result: Size = Field(default=_MIB, description="Largest message that is read from it.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either command, a program to start, or url, an address")
        if self.url is not None and (self.args or self.env or self.read or self.write or self.workspace != "none"):
            raise ValueError("args, env, read, write and workspace are for a server with command")
        if self.command is not None and (self.headers or self.internal):
            raise ValueError("headers and internal are for a server with url")
        return self


class RawMcp(Raw):
    """The Model Context Protocol: servers whose tools are used, and the own tools offered at /mcp."""

    servers: dict[ServerName, RawMcpServer] = Field(
        default_factory=dict[str, RawMcpServer], description="Servers by name; their tools are named server.tool."
    )
    offer: bool | None = Field(
        default=None,
        description="Offer the tools at /mcp; unless set, where hosts are listed or the gateway listens on this machine only.",
    )
    hosts: list[str] = Field(
        default_factory=list[str],
        description="Host headers that are accepted at /mcp, as host or host:port; this machine's unless set.",
    )
    origins: list[str] = Field(
        default_factory=list[str], description="Origins of web pages that may call /mcp; none unless set."
    )


def resolve_mcp(raw: RawMcp, host: str, problems: list[Problem]) -> McpConfig:
    """The run-time values for a gateway that listens at `host`."""
    is_local = host in _LOOPBACK
    if raw.offer and not is_local and not raw.hosts:
        problems.append(
            Problem(
                "mcp.offer",
                f"the gateway listens at {host}, so the names it is called by have to be known: list them in mcp.hosts",
            )
        )
    return McpConfig(
        servers={name: _server(name, given) for name, given in raw.servers.items()},
        offer=(is_local or bool(raw.hosts)) if raw.offer is None else raw.offer,
        hosts=tuple(raw.hosts),
        origins=tuple(raw.origins),
    )


def _server(name: str, raw: RawMcpServer) -> McpServerConfig:
    place: McpProgram | McpAddress
    if raw.url is not None:
        place = McpAddress(url=raw.url, headers=raw.headers, internal=raw.internal)
    else:
        place = McpProgram(
            command=raw.command or "",
            args=tuple(raw.args),
            env=raw.env,
            sandbox=raw.sandbox,
            read=tuple(raw.read),
            write=tuple(raw.write),
            network=raw.network,
            workspace=raw.workspace,
        )
    return McpServerConfig(
        name=name,
        place=place,
        tools=None if raw.tools is None else frozenset(raw.tools),
        side_effect=raw.side_effect or ("network" if raw.url is not None else "exec"),
        trusted=raw.trusted,
        seconds=raw.seconds,
        idle_seconds=raw.idle_seconds,
        result=raw.result,
    )
