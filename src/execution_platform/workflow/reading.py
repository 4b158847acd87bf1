"""From a file to a workflow: the form by pydantic, and here what only the whole can tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import cast

from execution_platform.config.files import read_document
from execution_platform.config.problems import ConfigProblems, Problem, suggest
from execution_platform.config.validate import validate
from execution_platform.config.yaml import Document
from execution_platform.exceptions import ConfigError, ToolDenied
from execution_platform.tool_bridge.beneath import relative
from execution_platform.tool_bridge.schema import compiled
from execution_platform.workflow.schema import RawCheck, RawPhase, RawWorkflow
from execution_platform.workflow.template import names_in
from execution_platform.workflow.values import (
    AS_WRITTEN,
    Check,
    Configuration,
    Contains,
    HasFile,
    Input,
    MatchesSchema,
    Override,
    Phase,
    Succeeds,
    Workflow,
)


def read_workflow(path: Path) -> Workflow:
    """The workflow of a file. Raises `ConfigError` with every finding: its path, line and remedy."""
    return workflow_of(read_document(path))


def workflow_of(document: Document) -> Workflow:
    """The workflow that `document` tells. Raises `ConfigProblems`."""
    raw = validate(document, RawWorkflow, what="workflow")
    reading = _Reading(raw, document)
    phases = reading.phases()
    configurations = reading.configurations()
    if reading.problems:
        raise ConfigProblems(reading.problems, what="workflow")
    return Workflow(
        name=raw.name,
        description=raw.description,
        inputs=[Input(name, each.description, each.default) for name, each in raw.inputs.items()],
        phases=phases,
        configurations=configurations,
        document=cast("Mapping[str, object]", document.data),
    )


def given_inputs(workflow: Workflow, given: Mapping[str, str]) -> dict[str, str]:
    """The value of every input. Raises `ConfigError` for one that is missing, or is none of the workflow's."""
    names = [each.name for each in workflow.inputs]
    for name in given:
        if name not in names:
            raise ConfigError(f"--input {name}: the workflow has no such input. {suggest(name, names)}".rstrip())
    values = {each.name: given.get(each.name, each.default) for each in workflow.inputs}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ConfigError(f"the workflow needs a value: --input {missing[0]}=...")
    return {name: value for name, value in values.items() if value is not None}


@dataclass
class _Reading:
    """One file, and what is found wrong with it."""

    raw: RawWorkflow
    document: Document
    problems: list[Problem] = field(default_factory=list[Problem])

    def _wrong(self, path: Sequence[str | int], message: str, remedy: str = "") -> None:
        line = self.document.line(tuple(path))
        self.problems.append(Problem(".".join(map(str, path)), message, remedy, line=line, file=self.document.name))

    def phases(self) -> list[Phase]:
        """The phases, in an order in which each comes behind those it needs."""
        raw = self.raw.phases
        needs = self._needs()
        for name in raw.keys() & self.raw.inputs.keys():
            self._wrong(("phases", name), "has the name of an input.", "Give one of the two another name.")
        try:
            order = list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            circle = cast("list[str]", error.args[1])
            self._wrong(("phases", circle[0], "needs"), f"goes in a circle: {' → '.join(circle)}.", "Leave one out.")
            return []
        before: dict[str, set[str]] = {}
        for name in order:
            before[name] = set(needs[name]).union(*(before[need] for need in needs[name]))
            self._check_names(name, before[name])
        return [self._phase(name, raw[name], needs[name]) for name in raw]

    def _needs(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        previous: str | None = None
        for name, phase in self.raw.phases.items():
            wanted = phase.needs if phase.needs is not None else [previous] if previous else []
            for place, need in enumerate(wanted):
                if need not in self.raw.phases:
                    remedy = suggest(need, self.raw.phases)
                    self._wrong(("phases", name, "needs", place), f"there is no phase {need}.", remedy)
            found[name] = tuple(need for need in wanted if need in self.raw.phases)
            previous = name
        return found

    def _check_names(self, name: str, before: set[str]) -> None:
        known = before | self.raw.inputs.keys()
        for asked in names_in(self.raw.phases[name].prompt):
            if asked in known:
                continue
            path = ("phases", name, "prompt")
            if asked in self.raw.phases:
                told = f"asks for {{{{{asked}}}}}, a phase that need not be done before."
                self._wrong(path, told, f"Add {asked} to its needs.")
            else:
                told = f"asks for {{{{{asked}}}}}, which is no input and no phase before it."
                self._wrong(path, told, suggest(asked, known))

    def _phase(self, name: str, raw: RawPhase, needs: tuple[str, ...]) -> Phase:
        given = raw.limits.model_dump()
        return Phase(
            name=name,
            persona=raw.persona,
            prompt=raw.prompt,
            needs=needs,
            checks=tuple(
                self._check(("phases", name, "checks", place), check) for place, check in enumerate(raw.checks)
            ),
            model=raw.model,
            mode=raw.mode,
            tools=None if raw.tools is None else tuple(raw.tools),
            limits={limit: value for limit, value in given.items() if value is not None},
        )

    def _check(self, path: tuple[str | int, ...], raw: RawCheck) -> Check:
        if raw.contains is not None:
            return Contains(tuple(raw.contains))
        if raw.matches_schema is not None:
            try:
                compiled(raw.matches_schema, "the schema")
            except ConfigError as error:
                self._wrong((*path, "json"), f"{error.message}.", "Write a JSON Schema of draft 2020-12.")
            return MatchesSchema(raw.matches_schema)
        if raw.file is not None:
            try:
                return HasFile(relative(raw.file, Path("/")) if not raw.file.startswith("/") else _refused(raw.file))
            except ToolDenied:
                self._wrong((*path, "file"), "is no plain path below the workspace.", "Write it like docs/design.md.")
                return HasFile(raw.file)
        return Succeeds(argv=tuple(raw.command or ()), seconds=raw.seconds, writable=bool(raw.writable))

    def configurations(self) -> dict[str, Configuration]:
        """The ways to staff it."""
        found: dict[str, Configuration] = {}
        for name, raw in self.raw.configurations.items():
            if name == AS_WRITTEN:
                told = f"the name {AS_WRITTEN} stands for the phases as they are written."
                self._wrong(("configurations", name), told, "Give it another name.")
            for phase in raw.phases:
                if phase not in self.raw.phases:
                    remedy = suggest(phase, self.raw.phases)
                    self._wrong(("configurations", name, "phases", phase), "there is no such phase.", remedy)
            changes = {phase: Override(each.persona, each.model) for phase, each in raw.phases.items()}
            found[name] = Configuration(name, raw.description, raw.model, changes)
        return found


def _refused(path: str) -> str:
    raise ToolDenied(f"{path!r}: is absolute")
