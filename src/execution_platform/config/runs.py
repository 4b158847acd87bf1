"""The section `runs` at run time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsConfig:
    """How far agent runs may go, and where they may work."""

    steps: int = 25
    depth: int = 5
    fan_out: int = 16
    seconds: float = 600.0
    tokens: int | None = None
    cost_usd: float | None = None
    concurrent: int = 200
    keep_days: float = 30.0
    workspace_roots: tuple[str, ...] = ()
