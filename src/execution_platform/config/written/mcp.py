"""The section `mcp` as it is written."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from execution_platform.config.facts import Raw
from execution_platform.config.mcp import (
    MEMORY,
    Grant,
    McpAddress,
    McpConfig,
    McpLogin,
    McpProgram,
    McpServerConfig,
    ServerEffect,
    TokenAuth,
    WorkspaceUse,
)
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


class RawMcpLogin(Raw):
    """The login a server wants: OAuth 2.1, with tokens that are for this server alone."""

    issuer: str = Field(
        pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$",
        max_length=1024,
        description="The authorization server, as its metadata names it; a server that leads to another one gets no token.",
    )
    grant: Grant = Field(
        default="authorization_code",
        description="client_credentials: the gateway logs in by itself; authorization_code: a person does, by `ep mcp login`.",
    )
    client_id: str | None = Field(
        default=None,
        min_length=1,
        description="The client as the issuer knows it; unless set, `ep mcp login` registers one, where the issuer allows that.",
    )
    client_secret: SecretRef | None = Field(default=None, description="The secret of that client.")
    token_auth: TokenAuth = Field(default="client_secret_basic", description="How the secret is sent to the issuer.")
    scope: str | None = Field(
        default=None,
        min_length=1,
        description="Scopes to ask for, with blanks between; what the server names unless set.",
    )
    redirect_port: int = Field(
        default=0,
        ge=0,
        le=65535,
        description="Port on 127.0.0.1 where `ep mcp login` waits for the browser; any free one for 0.",
    )
    internal: bool = Field(
        default=False,
        description="Reach the issuer although its address is not public, over http where the issuer says so.",
    )

    @model_validator(mode="after")
    def _can_log_in(self) -> Self:
        if self.grant == "client_credentials" and (self.client_id is None or self.client_secret is None):
            raise ValueError("grant: client_credentials needs client_id and client_secret")
        if self.client_secret is not None and self.client_id is None:
            raise ValueError("client_secret is the secret of a client; give its client_id too")
        if self.issuer.startswith("http://") and not self.internal:
            raise ValueError("an issuer is reached over https; set internal: true for one inside, over http")
        return self


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
    memory: Size = Field(
        default=MEMORY,
        description="Memory of the program, of each of its processes and of all together; without a sandbox it has no limit.",
    )
    workspace: WorkspaceUse = Field(
        default="none", description="Whether it sees the workspace of the call, and may change it."
    )
    url: str | None = Field(
        default=None, pattern=r"^https?://", description="Address of a server that speaks streamable HTTP."
    )
    headers: dict[str, SecretRef] = Field(
        default_factory=dict[str, SecretRef], description="Headers of every request to it, such as authorization."
    )
    oauth: RawMcpLogin | None = Field(
        default=None, description="The login it wants, in the place of a token in headers."
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
        if self.command is not None and (self.headers or self.internal or self.oauth is not None):
            raise ValueError("headers, oauth and internal are for a server with url")
        if self.oauth is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError("give either oauth or the header authorization: both would be sent as the same header")
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
        login = None if raw.oauth is None else McpLogin(**dict(raw.oauth))
        place = McpAddress(url=raw.url, headers=raw.headers, internal=raw.internal, oauth=login)
    else:
        place = McpProgram(
            command=raw.command or "",
            args=tuple(raw.args),
            env=raw.env,
            sandbox=raw.sandbox,
            read=tuple(raw.read),
            write=tuple(raw.write),
            network=raw.network,
            memory=raw.memory,
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
