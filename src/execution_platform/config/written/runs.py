"""The section `runs` as it is written: how far agent runs may go, and where they may work."""

from pydantic import Field, field_validator

from execution_platform.config.facts import Raw
from execution_platform.config.runs import RunsConfig


class RawRuns(Raw):
    """Agent runs, those of chats with the platform's tools included."""

    steps: int = Field(default=25, ge=1, le=1000, description="Turns of one agent.")
    depth: int = Field(default=5, ge=1, le=10, description="Agents below one another, the first included.")
    fan_out: int = Field(default=16, ge=1, le=256, description="Calls that are run in one turn.")
    seconds: float = Field(
        default=600, gt=0, description="Wall time of a run in seconds, without waiting for approvals."
    )
    tokens: int | None = Field(default=None, ge=1, description="Tokens of all turns of a run; no limit unless set.")
    cost_usd: float | None = Field(
        default=None, gt=0, description="US dollars of all turns of a run; no limit unless set."
    )
    concurrent: int = Field(default=200, ge=1, description="Runs one process works on at a time.")
    keep_days: float = Field(
        default=30,
        gt=0,
        description="Days after which a run that is over is forgotten, with its events and its directory.",
    )
    workspace_roots: list[str] = Field(
        default_factory=list,
        description="Directories below which a caller may name its workspace; {tenant} stands for the caller's tenant.",
    )

    @field_validator("workspace_roots")
    @classmethod
    def _absolute(cls, roots: list[str]) -> list[str]:
        for root in roots:
            if not root.startswith("/") or root.rstrip("/") == "":
                raise ValueError("must be absolute paths, and not the root of the file system")
        return roots


def resolve_runs(raw: RawRuns) -> RunsConfig:
    """The section at run time."""
    fields = raw.model_dump(exclude={"workspace_roots"})
    return RunsConfig(**fields, workspace_roots=tuple(raw.workspace_roots))
