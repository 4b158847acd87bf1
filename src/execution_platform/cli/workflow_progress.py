"""A workflow as it is watched: a table that lives while somebody sits at the terminal, lines where nobody does."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from execution_platform.cli.output import console, plain
from execution_platform.cli.progress import confirm, line_of
from execution_platform.client import RunEvent
from execution_platform.workflow.journal import Ended, Opening
from execution_platform.workflow.values import Phase, Workflow

if TYPE_CHECKING:
    from rich.table import Table

_MARKS = {"done": "✓", "failed": "✗", "stopped": "✗", "unchecked": "✗", "begun": "…", "waiting": "·"}


@dataclass(slots=True)
class _Row:
    persona: str = ""
    model: str = ""
    status: str = "waiting"
    begun: float = 0.0
    seconds: float = 0.0
    turns: int = 0
    told: str = ""
    """The last that happened."""


class Board:
    """Shows how the phases of a workflow go."""

    def __init__(
        self, workflow: Workflow, opening: Opening, *, quiet: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._quiet = quiet
        self._clock = clock
        self._id = opening.id
        self._rows = {(name, phase.name): _Row() for name in opening.configurations for phase in workflow.phases}
        self._console = console(stderr=True)
        from rich.live import Live

        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=4, transient=True)
        self._is_live = not quiet and self._console.is_terminal

    def __enter__(self) -> Self:
        if not self._quiet:
            sys.stderr.write(f"{self._id}\n")
        if self._is_live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._is_live:
            self._live.stop()

    def begins(self, configuration: str, phase: Phase) -> None:
        """See `Listener`."""
        row = self._rows[configuration, phase.name]
        row.persona, row.model, row.status, row.begun = phase.persona, phase.model or "", "begun", self._clock()
        self._say(configuration, phase.name, f"begins ({phase.persona})")

    def hears(self, configuration: str, phase: Phase, event: RunEvent) -> None:
        """See `Listener`."""
        row = self._rows[configuration, phase.name]
        if event.event == "turn_started":
            row.turns += 1
            row.model = f"{event.data.get('provider')}/{event.data.get('model')}"
        line = line_of(event)
        if line:
            row.told = line
            self._say(configuration, phase.name, line)

    def ends(self, configuration: str, phase: Phase, ended: Ended) -> None:
        """See `Listener`."""
        row = self._rows[configuration, phase.name]
        row.status, row.seconds, row.told = ended.status, ended.seconds, ended.problem or ""
        told = f": {ended.problem}" if ended.problem else f" after {ended.seconds:.1f} s"
        self._say(configuration, phase.name, f"{_MARKS[ended.status]} {ended.status}{told}")

    def confirm(self, tool: str, arguments: object, reason: str) -> bool:
        """Ask whether a call may run; the table makes way meanwhile."""
        if self._is_live:
            self._live.stop()
        try:
            return confirm(tool, arguments, reason)
        finally:
            if self._is_live:
                self._live.start()

    def _say(self, configuration: str, phase: str, text: str) -> None:
        if not self._quiet and not self._is_live:
            sys.stderr.write(plain(f"{configuration}/{phase}: {text}\n"))

    def _table(self) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(
            "", "configuration", "phase", "persona", "model", "turns", "seconds", "", box=None, pad_edge=False
        )
        now = self._clock()
        for (configuration, phase), row in self._rows.items():
            seconds = now - row.begun if row.status == "begun" else row.seconds
            cells = (
                _MARKS[row.status],
                configuration,
                phase,
                row.persona,
                row.model,
                str(row.turns or ""),
                f"{seconds:.1f}" if row.status != "waiting" else "",
                row.told,
            )
            table.add_row(*(Text(plain(cell), overflow="ellipsis", no_wrap=True) for cell in cells))
        return table
