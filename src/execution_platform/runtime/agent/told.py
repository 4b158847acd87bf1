"""What a run tells while it goes on: the events of the answers, and notes on the run itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from execution_platform.spi.events import Event

NoteKind = Literal[
    "run_started",
    "run_resumed",
    "tools_missing",
    "turn_started",
    "turn_restarted",
    "provider_changed",
    "approval_required",
    "caller_call",
    "approval_decided",
    "outcome_unknown",
    "agent_started",
    "agent_finished",
    "agent_tool_call",
    "agent_tool_result",
    "waiting",
]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened to the run, not in an answer."""

    kind: NoteKind
    data: Mapping[str, object]


Told = Event | Note
Emit = Callable[[Sequence[Told]], Awaitable[None]]
"""Takes what is told, in order. May wait when the reader is slow."""
