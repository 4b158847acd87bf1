"""The scorecard: a line for each scenario as it is played, a sum at the end, and a page for the reference."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from chaos.runner import Result

CONSOLE = Console(highlight=False, soft_wrap=True)
COLUMNS = (("openai_chat", "whole"), ("openai_chat", "stream"), ("anthropic", "whole"), ("anthropic", "stream"))
DIALECTS = ("openai_chat", "anthropic", "gemini")


def print_line(result: Result) -> None:
    """One scenario, as soon as it has been played."""
    cells = "".join("[green]●[/]" if verdict.is_green else "[red]●[/]" for verdict in result.verdicts)
    first = max((verdict.first or 0.0 for verdict in result.verdicts), default=0.0)
    mark = "[green]ok [/]" if result.is_green else "[red]RED[/]"
    CONSOLE.print(f"{mark} {result.scenario.id:24} {cells:<20} {first:5.2f} s  {escape(result.scenario.title)}")
    for problem in result.problems:
        CONSOLE.print(f"      [red]{escape(problem)}[/]")


def print_summary(results: Sequence[Result], seconds: float) -> None:
    """Sums over all scenarios."""
    cells = [verdict for result in results for verdict in result.verdicts]
    green = sum(verdict.is_green for verdict in cells)
    whole = sum(result.is_green for result in results)
    CONSOLE.print(f"\n{whole} of {len(results)} scenarios and {green} of {len(cells)} cells are green; {seconds:.0f} s")


def write_page(path: Path, results: Sequence[Result]) -> None:
    """Write the page."""
