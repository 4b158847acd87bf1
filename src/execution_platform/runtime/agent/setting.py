"""What the agents of one run share: who is asked, which tools there are, the limits, the memory."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from execution_platform.runtime.agent.journal import Journal, NullJournal
from execution_platform.runtime.agent.limits import Limits, Spent
from execution_platform.runtime.agent.told import Emit, Told
from execution_platform.spi.request import ChatRequest
from execution_platform.tool_bridge.approval import Approval, Permit
from execution_platform.tool_bridge.bridge import Invoke, Why
from execution_platform.tool_bridge.provenance import Provenance


class Model(Protocol):
    """Who is asked at every turn."""

    def turn(self, request: ChatRequest, number: str) -> AsyncGenerator[Sequence[Told]]:
        """One answer as canonical events, from its first content on; before them a `turn_started` note.

        `number` tells turns of one run apart. Raises what keeps the answer from beginning or breaks it.
        """
        ...


PermitsFor = Callable[[str], Mapping[str, Permit]]
"""The tools within reach of a persona in this run. Raises `RouterError`, `PermissionDenied`."""


def _uncounted(tool: str, outcome: str | None) -> None:
    """Nobody counts the calls."""
    del tool, outcome


@dataclass(slots=True, kw_only=True)
class Setting:
    """One run, for all of its agents."""

    run_id: str
    model: Model
    invoke: Invoke
    approval: Approval
    workspace: Path
    emit: Emit
    permits_for: PermitsFor
    tenant: str = "default"
    why: Why | None = None
    """Why a tool out of reach cannot be called."""
    limits: Limits = field(default_factory=Limits)
    journal: Journal = field(default_factory=NullJournal)
    spent: Spent = field(default_factory=Spent)
    provenance: Provenance = field(default_factory=Provenance)
    """What the run has seen, for all of its agents (H4)."""
    notes: dict[str, object] = field(default_factory=dict[str, object])
    """What tools keep for the rest of the run."""
    called: Callable[[str, str | None], None] = _uncounted
    """Told of each call that was answered: the tool, and what went wrong."""
    restarts: int = 0
    """How often a turn that broke off may be asked for again although a part of it was shown."""
    clock: asyncio.Timeout | None = None
    """The wall time, while it runs; waiting for people does not count."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Calls that write come one after the other: two edits of one file must not cross."""
