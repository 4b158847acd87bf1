"""The section `mcp` at run time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from execution_platform.config.secret import SecretRef

ServerEffect = Literal["read", "write", "exec", "network"]
WorkspaceUse = Literal["none", "read", "write"]
Grant = Literal["authorization_code", "client_credentials"]
TokenAuth = Literal["client_secret_basic", "client_secret_post"]
_MIB = 1024 * 1024
MEMORY = 1024 * _MIB
"""Bytes a program may have unless the configuration says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class McpProgram:
    """How a server is started."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, SecretRef] = field(default_factory=dict[str, SecretRef])
    sandbox: bool = True
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    network: bool = False
    memory: int = MEMORY
    workspace: WorkspaceUse = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpLogin:
    """How tokens for a server are had."""

    issuer: str
    grant: Grant = "authorization_code"
    client_id: str | None = None
    client_secret: SecretRef | None = None
    token_auth: TokenAuth = "client_secret_basic"  # noqa: S105 - the name of a method
    scope: str | None = None
    redirect_port: int = 0
    internal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class McpAddress:
    """Where a server is."""

    url: str
    headers: Mapping[str, SecretRef] = field(default_factory=dict[str, SecretRef])
    internal: bool = False
    oauth: McpLogin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServerConfig:
    """One server whose tools are used."""

    name: str
    place: McpProgram | McpAddress
    tools: frozenset[str] | None = None
    """None for all."""
    side_effect: ServerEffect = "exec"
    trusted: bool = False
    seconds: float = 60.0
    idle_seconds: float = 60.0
    result: int = _MIB
    """Bytes of the largest message."""

    @property
    def sends(self) -> bool:
        """Whether what it is asked can leave the machine."""
        return isinstance(self.place, McpAddress) or self.place.network or not self.place.sandbox

    @property
    def secrets(self) -> tuple[SecretRef, ...]:
        """What only this server, and who issues its tokens, may know."""
        if isinstance(self.place, McpProgram):
            return tuple(self.place.env.values())
        login = self.place.oauth
        own = () if login is None or login.client_secret is None else (login.client_secret,)
        return (*self.place.headers.values(), *own)


@dataclass(frozen=True, slots=True, kw_only=True)
class McpConfig:
    """The section `mcp`."""

    servers: Mapping[str, McpServerConfig] = field(default_factory=dict[str, McpServerConfig])
    offer: bool = False
    """Whether the tools are offered at `/mcp`."""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
