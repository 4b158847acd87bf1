"""What a workflow took: time, tokens and money of each configuration, and of each phase."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from execution_platform.workflow.journal import Ended, Session, Story
from execution_platform.workflow.values import Workflow


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseReport:
    """One phase, all its attempts together."""

    phase: str
    status: str
    """As its last attempt ended; `begun` where it did not, `waiting` where there was none."""
    problem: str | None = None
    output: str = ""
    models: Sequence[str] = ()
    runs: Sequence[str] = ()
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationReport:
    """One configuration."""

    configuration: str
    status: str
    """`done`, `failed` or `unfinished`."""
    seconds: float
    """From the first to the last sign of life of each process that worked on it."""
    input_tokens: int
    output_tokens: int
    cost_usd: float
    phases: Sequence[PhaseReport]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A workflow with everything it has done."""

    id: str
    workflow: str
    status: str
    """`done` when every configuration is, else `failed` or `unfinished`."""
    configurations: Sequence[ConfigurationReport]


def report(story: Story, workflow: Workflow) -> Report:
    """What the journal of `workflow` comes to."""
    found = [_configuration(story, workflow, name) for name in story.opening.configurations]
    status = next((each for each in ("failed", "unfinished") if each in {one.status for one in found}), "done")
    return Report(id=story.opening.id, workflow=workflow.name, status=status, configurations=found)


def _configuration(story: Story, workflow: Workflow, name: str) -> ConfigurationReport:
    phases = [_phase(story, name, phase.name) for phase in workflow.phases]
    states = {phase.status for phase in phases}
    if states == {"done"}:
        status = "done"
    else:
        status = "failed" if states & {"failed", "stopped", "unchecked"} else "unfinished"
    return ConfigurationReport(
        configuration=name,
        status=status,
        seconds=_wall(story, name),
        input_tokens=sum(phase.input_tokens for phase in phases),
        output_tokens=sum(phase.output_tokens for phase in phases),
        cost_usd=sum(phase.cost_usd for phase in phases),
        phases=phases,
    )


def _phase(story: Story, configuration: str, name: str) -> PhaseReport:
    last = story.last(configuration).get(name)
    if last is None:
        return PhaseReport(phase=name, status="waiting")
    ended = [
        line
        for line in story.lines
        if isinstance(line, Ended) and (line.configuration, line.phase) == (configuration, name)
    ]
    # A run that was taken up again tells the usage of all its turns each time.
    runs = {line.run: line.usage for line in ended if line.run is not None}
    is_over = isinstance(last, Ended)
    return PhaseReport(
        phase=name,
        status=last.status if is_over else "begun",
        problem=last.problem if is_over else None,
        output=last.output if is_over else "",
        models=list(dict.fromkeys(model for line in ended for model in line.models)),
        runs=list(runs),
        seconds=sum(line.seconds for line in ended),
        input_tokens=sum(usage.prompt_tokens for usage in runs.values()),
        output_tokens=sum(usage.completion_tokens for usage in runs.values()),
        cost_usd=sum(usage.cost_usd or 0.0 for usage in runs.values()),
    )


def _wall(story: Story, configuration: str) -> float:
    seconds, start = 0.0, None
    last = None
    for line in story.lines:
        if line.configuration != configuration:
            continue
        if isinstance(line, Session):
            seconds += 0.0 if start is None or last is None else (last - start).total_seconds()
            start = line.at
        last = line.at
    return seconds + (0.0 if start is None or last is None else (last - start).total_seconds())


def markdown(told: Report) -> str:
    """The report for people who were not there."""
    lines = [f"# {told.workflow}: {told.status}", "", f"Workflow `{told.id}`.", ""]
    lines += _table(
        ("configuration", "status", "seconds", "input tokens", "output tokens", "cost in USD"),
        (
            (
                each.configuration,
                each.status,
                f"{each.seconds:.1f}",
                str(each.input_tokens),
                str(each.output_tokens),
                f"{each.cost_usd:.6f}",
            )
            for each in told.configurations
        ),
    )
    for each in told.configurations:
        lines += ["", f"## {each.configuration}", ""]
        lines += _table(
            ("phase", "status", "models", "seconds", "input tokens", "output tokens", "cost in USD", "problem"),
            (
                (
                    phase.phase,
                    phase.status,
                    ", ".join(phase.models),
                    f"{phase.seconds:.1f}",
                    str(phase.input_tokens),
                    str(phase.output_tokens),
                    f"{phase.cost_usd:.6f}",
                    phase.problem or "",
                )
                for phase in each.phases
            ),
        )
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [_row(columns), _row(["---"] * len(columns))]
    return lines + [_row(row) for row in rows]


def _row(cells: Sequence[str]) -> str:
    """One row; what models and tools wrote cannot end it, nor bring markup of its own."""
    told = (" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(told)} |"
