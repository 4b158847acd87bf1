"""Playing scenarios: all cells of one at the same time, one scenario after the other."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from chaos.clients import Question, Seen, ask
from chaos.judge import Verdict, judge
from chaos.raw import ask_raw
from chaos.scenario import Scenario
from chaos.stage import Backstage, Cell, Stage

_THREADS = 36


@dataclass
class Result:
    """One scenario, played."""

    scenario: Scenario
    verdicts: list[Verdict] = field(default_factory=list)
    refused: str = ""
    """Why it could not be played at all."""
    skipped: str = ""
    """What it needs that is not here."""
    seconds: float = 0.0

    @property
    def is_green(self) -> bool:
        """Whether every cell is."""
        return not self.refused and all(verdict.is_green for verdict in self.verdicts)

    @property
    def problems(self) -> list[str]:
        """What is wrong, each with the cells where it is."""
        if self.refused:
            return [self.refused]
        found: dict[str, list[str]] = {}
        for verdict in self.verdicts:
            for problem in verdict.problems:
                found.setdefault(problem, []).append(verdict.cell.label)
        return [f"{problem} ({', '.join(cells)})" for problem, cells in found.items()]


def play_all(scenarios: Iterable[Scenario], told: Callable[[Result], None]) -> list[Result]:
    """Play them one after the other; each result is told as soon as it is there."""
    backstage = Backstage()
    results: list[Result] = []
    try:
        with ThreadPoolExecutor(_THREADS) as threads:
            for scenario in scenarios:
                result = play(scenario, backstage, threads)
                results.append(result)
                told(result)
    finally:
        backstage.close()
    return results


def play(scenario: Scenario, backstage: Backstage, threads: ThreadPoolExecutor) -> Result:
    """Play one scenario."""
    started = time.monotonic()
    result = Result(scenario)
    result.skipped = scenario.lacks() if scenario.lacks is not None else ""
    if result.skipped:
        return result
    with Stage(scenario, backstage) as stage:
        try:
            url = stage.open().url
        except RuntimeError as error:
            result.refused = " ".join(str(error).split())[-300:]
            return result
        asked = [(cell, threads.submit(_ask_all, cell, url)) for cell in stage.cells]
        if scenario.act is not None:
            try:
                scenario.act(stage)
            except (OSError, RuntimeError) as error:
                result.refused = f"the act failed: {error}"
        result.verdicts = [judge(cell, seen.result()) for cell, seen in asked]
    result.seconds = time.monotonic() - started
    return result


def _ask_all(cell: Cell, url: str) -> list[Seen]:
    scenario = cell.scenario
    question = Question(
        url, cell.name, cell.way == "stream", scenario.leave, retries=scenario.sdk_retries, headers=scenario.body
    )

    def once() -> Seen:
        return ask_raw(cell.client, question) if cell.is_raw else ask(cell.client, question)

    seen: list[Seen] = []
    for turn in range(0, scenario.times, scenario.at_once):
        if turn:
            time.sleep(scenario.pause)
        if scenario.at_once == 1:
            seen.append(once())
        else:
            with ThreadPoolExecutor(scenario.at_once) as own:
                seen += own.map(lambda _: once(), range(min(scenario.at_once, scenario.times - turn)))
    return seen
