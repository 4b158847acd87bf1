"""What a request is sent to: one model at one provider."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment chosen for one try. What is beside provider and model says how it was listed and does not make it another one."""

    provider: str
    model: str
    weight: int = field(default=1, compare=False)
    priority: int = field(default=0, compare=False)
    arm: str | None = field(default=None, compare=False)
    """Side of an experiment it was listed for."""
    via: str | None = field(default=None, compare=False)
    """The logical model it was listed in."""

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"
