"""The scorecard: a line for each scenario as it is played, a sum at the end, and a page for the reference."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from chaos.judge import Verdict
from chaos.measured import Measured
from chaos.runner import Result
from chaos.scenario import DIALECTS, WAYS, Scenario

CONSOLE = Console(highlight=False, soft_wrap=True)
NAMES = {"openai_chat": "OpenAI", "anthropic": "Anthropic", "gemini": "Gemini"}
MARKS = {True: "ok", False: "**red**"}
_HEAD = """# Scorecard of failures

What callers see when providers, the network or the gateway itself fail: every scenario is played against a real gateway
process with scripted upstreams behind fault proxies, once for a whole answer and once for a stream, by the SDKs of
OpenAI, Anthropic and Google, and for streams also by a bare socket in each of the three dialects, whose primary speaks
the same dialect so that bytes pass through. A cell is `ok` when the caller saw exactly what was expected (one clean
answer, the dialect's error event behind an undamaged beginning, or the right status), no text came twice, the headers
tell the truth, every upstream got as many requests as allowed and none still works for nobody.

`make chaos` writes this page; red cells stay red and say why. [Rehearse a failure](../how-to/rehearse-a-failure.md) tells
how to play a scenario of your own.
"""


def print_line(result: Result) -> None:
    """One scenario, as soon as it has been played."""
    cells = "".join("[green]●[/]" if verdict.is_green else "[red]●[/]" for verdict in result.verdicts)
    cells += " " * (9 - len(result.verdicts))
    mark = "[green]ok [/]" if result.is_green else "[red]RED[/]"
    if result.skipped:
        mark = "[yellow]-- [/]"
    CONSOLE.print(f"{mark} {result.scenario.id:26} {cells} {_first(result):>8}  {escape(result.scenario.title)}")
    for problem in result.problems:
        CONSOLE.print(f"      [red]{escape(problem)}[/]")
    if result.skipped:
        CONSOLE.print(f"      [yellow]{escape(result.skipped)}[/]")


def print_summary(results: Sequence[Result], seconds: float) -> None:
    """Sums over all scenarios."""
    CONSOLE.print(f"\n{_sums(results)}; {seconds:.0f} s")


def print_measured(row: Measured) -> None:
    """What was measured, beside what was promised."""
    mark = "[green]ok [/]" if row.is_kept else "[red]RED[/]"
    CONSOLE.print(f"{mark} {row.what:62} {row.got:>14}  promised {escape(row.promised)}")


def write_page(
    path: Path, groups: Mapping[str, Sequence[Scenario]], results: Sequence[Result], rows: Sequence[Measured]
) -> None:
    """Write the page of the reference."""
    by_scenario = {result.scenario.id: result for result in results}
    parts = [_HEAD, f"{_sums(results)}.\n"]
    for title, scenarios in groups.items():
        played = [by_scenario[one.id] for one in scenarios if one.id in by_scenario]
        parts.append(f"## {title}\n\n{_table(played)}\n")
    parts.append(f"## What is red\n\n{_reasons(results)}\n")
    if rows:
        lines = [f"| {row.what} | {row.got} | {row.promised} | {MARKS[row.is_kept]} |" for row in rows]
        head = "| measured | result | promised | |\n|---|---|---|---|\n"
        about = "On two cores shared by the gateway, its upstreams and the clients, over loopback.\n\n"
        parts.append("## Measured\n\n" + about + head + "\n".join(lines) + "\n")
    path.write_text("\n".join(parts))


def _sums(results: Sequence[Result]) -> str:
    played = [result for result in results if not result.skipped]
    cells = [verdict for result in played for verdict in result.verdicts]
    green = sum(verdict.is_green for verdict in cells)
    whole = sum(result.is_green for result in played)
    skipped = len(results) - len(played)
    more = f", {skipped} could not be played here" if skipped else ""
    return f"{whole} of {len(played)} scenarios and {green} of {len(cells)} cells are green{more}"


def _first(result: Result) -> str:
    """The slowest first content of all cells."""
    found = [verdict.first for verdict in result.verdicts if verdict.first is not None]
    return f"{max(found):.2f} s" if found else ""


def _table(results: Sequence[Result]) -> str:
    names = [f"{NAMES[dialect]} {way}" for dialect in DIALECTS for way in WAYS]
    head = ["scenario", *names, "first content", "promise"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for result in results:
        cells = [_mark(result, dialect, way) for dialect in DIALECTS for way in WAYS]
        row = [result.scenario.title, *cells, _first(result), result.scenario.promises]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _mark(result: Result, dialect: str, way: str) -> str:
    if result.skipped:
        return "not played"
    if result.refused:
        return MARKS[False] if way in result.scenario.ways else ""
    found: list[Verdict] = [one for one in result.verdicts if (one.cell.client, one.cell.way) == (dialect, way)]
    return MARKS[all(one.is_green for one in found)] if found else ""


def _reasons(results: Sequence[Result]) -> str:
    lines = [f"* {result.scenario.title}: {_short(problem)}" for result in results for problem in result.problems[:3]]
    lines += [f"* Not played: {result.scenario.title}: {result.skipped}" for result in results if result.skipped]
    return "\n".join(lines) or "Nothing."


def _short(problem: str) -> str:
    text = " ".join(problem.split()).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= 240 else f"{text[:160]} … {text[-70:]}"
