"""Who carries out the phases: what they are asked, and what comes back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from execution_platform.client import OwnTool, RunEvent, RunResult
from execution_platform.config.values import PermissionMode
from execution_platform.spi.usage import Usage

Hear = Callable[[RunEvent], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an agent is asked to do."""

    persona: str
    task: str
    workspace: Path
    mode: PermissionMode | None = None
    """None: the persona's own."""
    model: str | None = None
    system: str | None = None
    tools: Sequence[str] | None = None
    """Names of tools, in any of their spellings; None: all of the persona."""
    limits: Mapping[str, float | int] = field(default_factory=dict[str, float | int])
    own: Sequence[OwnTool] = ()
    """Tools of whoever asks, which run there."""


class Worker(Protocol):
    """Starts agent runs, here or at a gateway, and follows them to their end."""

    async def run(self, asked: Asked, hear: Hear) -> RunResult:
        """A new run. Cancelling it stops the run. Raises what the run failed with."""
        ...

    async def go_on(self, run_id: str, hear: Hear) -> RunResult:
        """A run of before to its end: from its last turn if it broke off, at once if it is over. Raises as `run` does."""
        ...

    async def usage(self, run_id: str) -> Usage:
        """What a run has used. Raises `RouterError` when there is none."""
        ...
