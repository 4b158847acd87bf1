"""How far a run may go, and what it has used so far (A2)."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from execution_platform.spi.usage import Usage
from execution_platform.tool_bridge.bridge import Done

StopReason = Literal[
    "stop",
    "tool_calls",
    "length",
    "content_filter",
    "refusal",
    "step_limit",
    "time_limit",
    "token_limit",
    "cost_limit",
    "token_budget_exceeded",
    "cost_budget_exceeded",
    "repeated_call",
    "key_revoked",
    "cancelled",
    "error",
]
"""Why a run ended. `stop` is the model's own end, `tool_calls` a tool that only the caller can run."""

NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one run, its sub-agents included."""

    steps: int = 25
    """Turns of one agent; all agents of a run together have as many for each level of depth."""
    depth: int = 5
    """Agents below one another, the first included."""
    fan_out: int = 16
    """Calls of one turn."""
    seconds: float = 600.0
    """Wall time, without the time people take to approve."""
    tokens: int | None = None
    cost_usd: float | None = None
    repeats: int = 3
    """The same call with the same result this often ends the run."""


@dataclass(slots=True)
class Spent:
    """What the agents of a run have used together."""

    steps: int = 0
    tokens: int = 0
    nanos: int = 0

    def add(self, usage: Usage | None) -> None:
        """One more turn."""
        self.steps += 1
        if usage is not None:
            self.tokens += usage.total_tokens
            self.nanos += round((usage.cost_usd or 0.0) * NANOS)

    def exhausted(self, limits: Limits, own_steps: int) -> StopReason | None:
        """The limit that forbids another turn, if one does."""
        if own_steps >= limits.steps or self.steps >= limits.steps * limits.depth:
            return "step_limit"
        if limits.tokens is not None and self.tokens >= limits.tokens:
            return "token_limit"
        if limits.cost_usd is not None and self.nanos >= limits.cost_usd * NANOS:
            return "cost_limit"
        return None


@dataclass(slots=True)
class Repeats:
    """What one agent has called, to see that it goes in circles."""

    seen: dict[bytes, int] = field(default_factory=dict[bytes, int])
    """How often each call gave the same result."""

    def note(self, done: Done) -> int:
        """One more call and its result; how often there has been this very one."""
        words = (done.call.name, done.call.arguments, done.text)
        key = hashlib.blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=16).digest()
        self.seen[key] = count = self.seen.get(key, 0) + 1
        return count
