"""What a sandbox is: a place where a command of somebody who is not trusted runs, and what comes back from there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

Ended = Literal["exit", "time", "cpu", "memory", "output", "disk"]
"""`exit`: by itself, or by a signal within. Everything else names the limit at which it was stopped."""
Hides = Callable[[str], object]
"""Whether a path, relative to the workspace, is hidden: anything true."""

_MIB = 1024 * 1024
WORKSPACE = "/workspace"
"""Where the workspace is for those inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one command may use. Sizes are bytes, times seconds."""

    seconds: float = 30.0
    cpu_seconds: int = 10
    """Of all its processes together."""
    memory: int = 512 * _MIB
    """Of each process, and of all together."""
    processes: int = 64
    file_size: int = 256 * _MIB
    """Of each file it writes."""
    scratch: int = 64 * _MIB
    """Of `/tmp`."""
    workspace: int = 1024 * _MIB
    """Of everything in the workspace."""
    output: int = 64 * 1024
    """Kept of each of stdout and stderr: the first and the last half of it."""
    flood: int = 16 * _MIB
    """Written to both together, from where on the command is stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command and what it gets."""

    argv: Sequence[str]
    workspace: Path | None = None
    """The directory it works in; None is an empty one that is gone afterwards."""
    tenant: str = "default"
    """Whose it is: commands of two tenants never run as the same user of the machine, if they can be told apart."""
    stdin: bytes = b""
    writable: bool = True
    """Whether it may change the workspace."""
    folder: str = "."
    """Where it starts, relative to the workspace."""
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    """More files for it to read, by their absolute path inside."""
    hides: Hides | None = None
    """Which files and directories of the workspace are there but empty."""
    limits: Limits | None = None
    """None: those of the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended."""

    ended: Ended
    status: int | None
    """Its exit status, 128 + the number of a signal that ended it; None when it was stopped at a limit."""
    stdout: bytes
    stderr: bytes
    truncated: bool
    """Whether something was left out of stdout or stderr; a mark in them says how much."""
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Whether it ran to its end and says that all is well."""
        return self.status == 0


@runtime_checkable
class Sandbox(Protocol):
    """Runs commands apart from everything else. What one must stop is written down, and tried, in `self_check`."""

    @property
    def limits(self) -> Limits:
        """The limits of commands that bring none."""
        ...

    @property
    def unavailable(self) -> str | None:
        """Why no command can run here, with the remedy; None when they can."""
        ...

    async def run(self, command: Command) -> Outcome:
        """Run it to its end or to the first limit; nothing of it is left running then, nor when this is cancelled.

        Raises `SandboxUnavailable` when it could not be started at all, `ToolError` for a workspace that cannot be used.
        """
        ...
