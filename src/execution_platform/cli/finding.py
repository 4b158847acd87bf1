"""What the examinations of `ep doctor` find."""

from dataclasses import asdict, dataclass
from typing import Literal

LIMIT = 2.0
"""Seconds one connection or question may take."""

Area = Literal[
    "python", "packages", "configuration", "personas", "prices", "providers",
    "gateway", "sandbox", "replicas", "workspace", "database", "clock",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    area: Area
    state: Literal["ok", "warn", "fail"]
    message: str
    remedy: str | None = None

    def view(self) -> dict[str, object]:
        """The finding as JSON."""
        return asdict(self)
