"""What a tool asks of a database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

SECONDS: Final = 5.0
"""A question may take, waiting for a connection included."""
MIGRATION_SECONDS: Final = 25.0
LARGEST: Final = 1024 * 1024
"""Bytes of an answer's rows, about."""
CONNECTIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Question:
    """One statement and its parameters, for a tenant."""

    statement: str
    parameters: Sequence[object] = ()
    rows: int = 1000
    tenant: str = "default"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    truncated: bool


class Database(Protocol):
    """A database that is opened when it is first asked."""

    async def ask(self, question: Question) -> Answer:
        """Read. Raises `ToolError`s that tell no address and no schema."""
        ...

    async def change(self, statements: Sequence[str], tenant: str, *, keep: bool) -> int:
        """Run statements in one transaction, kept or undone at its end; how many ran. Raises `ToolError`s."""
        ...

    async def aclose(self) -> None:
        """Close every connection."""
        ...
