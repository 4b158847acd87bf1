"""Measured numbers beside the numbers that were promised, and the page they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "money.md"
_HEAD = """# Money under failures

What the books say against what the provider metered, while replicas are killed, databases stop and budgets run out. The
provider is scripted and counts every request and every token it sends; that count is the truth here. Everything else is
real: gateway processes, PostgreSQL, `kill -9`. Two cores are shared by the gateways, the database, the provider and the clients.

`make money` measures and writes this page; a number that misses its target stays on it.

| promise | measured | target | result | |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Figure:
    """A row of the page."""

    promise: str
    what: str
    target: str
    result: str
    is_kept: bool

    def line(self) -> str:
        """The row as Markdown."""
        mark = "ok" if self.is_kept else "**missed**"
        return f"| {self.promise} | {self.what} | {self.target} | {self.result} | {mark} |"


def page(figures: Sequence[Figure]) -> str:
    """The page of the reference."""
    return _HEAD + "\n".join(figure.line() for figure in figures) + "\n"
