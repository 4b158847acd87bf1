"""The section `mcp` at run time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from execution_platform.config.secret import SecretRef

ServerEffect = Literal["read", "write", "exec", "network"]
WorkspaceUse = Literal["none", "read", "write"]
_MIB = 1024 * 1024


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
    workspace: WorkspaceUse = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpAddress:
    """Where a server is."""

    url: str
    headers: Mapping[str, SecretRef] = field(default_factory=dict[str, SecretRef])
    internal: bool = False


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
        """What only this server may know."""
        return tuple((self.place.headers if isinstance(self.place, McpAddress) else self.place.env).values())


@dataclass(frozen=True, slots=True, kw_only=True)
class McpConfig:
    """The section `mcp`."""

    servers: Mapping[str, McpServerConfig] = field(default_factory=dict[str, McpServerConfig])
    offer: bool = False
    """Whether the tools are offered at `/mcp`."""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
