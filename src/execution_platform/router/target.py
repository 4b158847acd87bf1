"""What a request is sent to: one model at one provider."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment chosen for one try. Weight and priority say how it was listed and do not make it another target."""

    provider: str
    model: str
    weight: int = field(default=1, compare=False)
    priority: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}"
