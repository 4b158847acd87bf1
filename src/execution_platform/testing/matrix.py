"""The written-down side of the matrix: for every kind of provider and every scenario, what it does.

`data/conformance.toml` has one column for each kind. A cell is *supported* (works, nothing lost), *simulated* (works by
other means, and a recorded loss or the answer itself says so), or *unsupported* with the reason: then a clear error of
ours or a recorded loss tells the caller, never silence. *refused* is unsupported where the vendor's own refusal is what
tells it: the request is sent as it is meant and its 400 is passed on.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal, cast

from execution_platform.testing.scenario import Scenario
from execution_platform.testing.scenarios import SCENARIOS

State = Literal["supported", "simulated", "unsupported", "refused"]
_WITH_REASON: tuple[State, ...] = ("simulated", "unsupported", "refused")


class MatrixError(ValueError):
    """The table is not complete or not understood; the message names the column and the remedy."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one kind of provider does with one scenario."""

    state: State
    why: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One kind of provider: its cells by scenario, the models to try, and how its vendor shows thinking."""

    kind: str
    cells: Mapping[str, Cell]
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    """By need of a scenario: `chat` is used where no other is named."""
    thinking_field: str = ""
    """Member of a chat completion in which this vendor shows thinking; empty where it shows none."""

    def model_for(self, scenario: Scenario) -> str:
        """The model to ask."""
        return self.models.get(scenario.need) or self.models["chat"]


def read_column(kind: str, table: Mapping[str, object], scenarios: Sequence[Scenario] = SCENARIOS) -> Column:
    """Read one column. Raises `MatrixError` when a cell is blank, twice there, unknown, or has no reason."""
    cells: dict[str, Cell] = {}

    def put(name: str, cell: Cell) -> None:
        if name in cells:
            raise MatrixError(f"{kind}: {name} is both {cells[name].state} and {cell.state}; keep one of them")
        cells[name] = cell

    for name in cast("Sequence[str]", table.get("supported", ())):
        put(name, Cell("supported"))
    for state in _WITH_REASON:
        for name, why in cast("Mapping[str, str]", table.get(state, {})).items():
            if not why.strip():
                raise MatrixError(f"{kind}: {name} is {state} without a reason; write one")
            put(name, Cell(state, why))
    names = [scenario.id for scenario in scenarios]
    blank = [name for name in names if name not in cells]
    unknown = [name for name in cells if name not in names]
    if blank or unknown:
        raise MatrixError(f"{kind}: blank cells {blank}, cells of no scenario {unknown}; every scenario needs one cell")
    models = cast("Mapping[str, str]", table.get("models", {}))
    return Column(kind, cells, models, str(table.get("thinking_field", "")))


@cache
def columns() -> Mapping[str, Column]:
    """The columns of the kinds that come with the platform. Raises `MatrixError`."""
    path = files("execution_platform.testing") / "data" / "conformance.toml"
    tables = cast("Mapping[str, Mapping[str, object]]", tomllib.loads(path.read_text(encoding="utf-8")))
    return {kind: read_column(kind, table) for kind, table in tables.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the capability page."""

    scenario: Scenario
    cells: Mapping[str, Cell]


_MARKS: Mapping[State, str] = {"supported": "yes", "simulated": "simulated", "unsupported": "no", "refused": "no"}


def capability_table() -> list[Row]:
    """The matrix by scenario, with a cell for every kind."""
    found = columns()
    return [Row(each, {kind: column.cells[each.id] for kind, column in found.items()}) for each in SCENARIOS]


def markdown_table() -> str:
    """The matrix as Markdown: one table, and below it the reasons for every cell that is not a plain yes."""
    found = columns()
    lines = ["| | " + " | ".join(f"`{kind}`" for kind in found) + " |", "|---" * (len(found) + 1) + "|"]
    notes: dict[str, int] = {}
    for row in capability_table():
        words: list[str] = []
        for cell in row.cells.values():
            mark = _MARKS[cell.state]
            number = notes.setdefault(cell.why, len(notes) + 1) if cell.why else 0
            words.append(f"{mark} [{number}]" if number else mark)
        lines.append(f"| {row.scenario.title} | " + " | ".join(words) + " |")
    lines += ["", *(f"{number}. {why}" for why, number in notes.items())]
    return "\n".join(lines) + "\n"
