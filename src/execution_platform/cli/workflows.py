"""How `ep workflow` works: files, journals and the hands that do the work."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from execution_platform.cli.hands import at_home, hands
from execution_platform.cli.snapshot import open_config
from execution_platform.cli.workflow_progress import Board
from execution_platform.config.problems import suggest
from execution_platform.config.settings import Settings
from execution_platform.config.tools import ToolsConfig
from execution_platform.config.yaml import Document
from execution_platform.exceptions import ConfigError, RouterError
from execution_platform.tool_bridge.sandbox import Sandbox
from execution_platform.tool_bridge.sandbox.opening import open_sandbox
from execution_platform.workflow.checks import Checker
from execution_platform.workflow.journal import Journal, Opening, new_id, read, stories, utc
from execution_platform.workflow.reading import given_inputs, read_workflow, workflow_of
from execution_platform.workflow.report import Report, markdown, report
from execution_platform.workflow.runner import Means, run_configuration
from execution_platform.workflow.values import AS_WRITTEN, Workflow

_FOLDER = "workflows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `ep workflow run` was asked to do."""

    file: Path
    configurations: tuple[str, ...]
    every: bool
    inputs: tuple[str, ...]
    cwd: Path
    url: str | None


async def begin(settings: Settings, wanted: Wanted, *, quiet: bool) -> Report:
    """Carry out a workflow from its beginning. Raises `ConfigError` before anything is asked of a model."""
    workflow = read_workflow(wanted.file)
    names = _configurations(workflow, wanted)
    inputs = given_inputs(workflow, dict(_input(given) for given in wanted.inputs))
    if not wanted.cwd.is_dir():
        raise ConfigError(f"--cwd: there is no directory {wanted.cwd}; make it first")
    opening = Opening(
        id=new_id(),
        document=workflow.document,
        inputs=inputs,
        cwd=str(wanted.cwd),
        configurations=names,
        at=utc(),
        url=wanted.url,
    )
    if wanted.url is None:
        _check_personas(settings, workflow, names)
    with Journal.create(_folder(settings), opening) as journal:
        return await _carry_out(settings, workflow, journal, quiet=quiet)


async def go_on(settings: Settings, workflow_id: str, *, quiet: bool) -> Report:
    """Go on with one. Raises `RouterError` when there is none of that id."""
    with Journal.open(_folder(settings), workflow_id) as journal:
        workflow = workflow_of(Document(journal.story.opening.document, name="journal"))
        return await _carry_out(settings, workflow, journal, quiet=quiet)


async def _carry_out(settings: Settings, workflow: Workflow, journal: Journal, *, quiet: bool) -> Report:
    opening = journal.story.opening
    cwd = Path(opening.cwd)
    sandbox = _Opened(open_config(settings).tools)
    with Board(workflow, opening, quiet=quiet) as board:
        async with hands(settings, opening.url, cwd, board.confirm) as worker:
            for name in opening.configurations:
                workspace = cwd if len(opening.configurations) == 1 else cwd / name
                workspace.mkdir(exist_ok=True)
                checker = Checker(workspace, sandbox.get, protected=sandbox.tools.protected)
                means = Means(worker=worker, checker=checker, listener=board, workspace=workspace)
                await run_configuration(workflow, workflow.configuration(name), journal, means)
    return report(journal.story, workflow)


class _Opened:
    """The sandbox of the checks, opened when the first of them needs it.

    `tools.exec.enabled` says whether models may start commands. Those of checks are written by whoever starts the workflow,
    so they run without it; the sandbox and its limits are the same.
    """

    def __init__(self, tools: ToolsConfig) -> None:
        self.tools = tools
        self._one = asyncio.Lock()
        self._sandbox: Sandbox | None = None

    async def get(self) -> Sandbox:
        """The sandbox."""
        async with self._one:
            if self._sandbox is None:
                self._sandbox = await asyncio.to_thread(open_sandbox, replace(self.tools.exec, enabled=True))
            return self._sandbox


def _configurations(workflow: Workflow, wanted: Wanted) -> list[str]:
    if wanted.every:
        if wanted.configurations:
            raise ConfigError("--all and --config say two things; keep one")
        return list(workflow.configurations) or [AS_WRITTEN]
    known = [AS_WRITTEN, *workflow.configurations]
    for name in wanted.configurations:
        if name not in known:
            more = " The gateway's file is named by EP_CONFIG." if name.endswith((".yaml", ".yml")) else ""
            raise ConfigError(f"--config {name}: the workflow has no such configuration. {suggest(name, known)}{more}")
    return list(dict.fromkeys(wanted.configurations)) or [AS_WRITTEN]


def _input(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals:
        raise ConfigError(f"--input {given}: expected NAME=VALUE or NAME=@FILE")
    if value.startswith("@"):
        try:
            return name, Path(value[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(f"--input {name}: {value[1:]} cannot be read as UTF-8 text; check the path") from None
    return name, value


def _check_personas(settings: Settings, workflow: Workflow, names: Sequence[str]) -> None:
    """Raises `ConfigError` for a persona that nobody knows: later it would have cost the phases before it."""
    config = open_config(settings)
    known = {*config.personas, *config.persona_aliases}
    for name in names:
        for phase in map(workflow.configuration(name).staffed, workflow.phases):
            if phase.persona not in known:
                remedy = suggest(phase.persona, known)
                raise ConfigError(f"{name}: phases.{phase.name}.persona: there is no persona {phase.persona}. {remedy}")


def checked(settings: Settings, file: Path) -> Mapping[str, Any]:
    """What a workflow would do, by configuration and phase. Raises `ConfigError` when it cannot be used."""
    workflow = read_workflow(file)
    names = [AS_WRITTEN, *workflow.configurations]
    _check_personas(settings, workflow, names)
    rows = [
        {
            "configuration": name,
            "phase": phase.name,
            "needs": ", ".join(phase.needs),
            "persona": phase.persona,
            "model": phase.model or "",
            "checks": "; ".join(map(str, phase.checks)),
        }
        for name in names
        for phase in map(workflow.configuration(name).staffed, workflow.phases)
    ]
    inputs = [{"name": each.name, "description": each.description, "default": each.default} for each in workflow.inputs]
    return {"name": workflow.name, "description": workflow.description, "inputs": inputs, "phases": rows}


def listed(settings: Settings) -> list[Mapping[str, object]]:
    """The workflows of this machine, the newest first."""
    return [
        {
            "id": story.opening.id,
            "workflow": told.workflow,
            "status": told.status,
            "configurations": ", ".join(story.opening.configurations),
            "begun": story.opening.at.isoformat(timespec="seconds"),
        }
        for story in stories(_folder(settings))
        for told in (report(story, workflow_of(Document(story.opening.document, name="journal"))),)
    ]


def shown(settings: Settings, workflow_id: str) -> Report:
    """How one stands. Raises `RouterError`."""
    story = read(_folder(settings), workflow_id)
    return report(story, workflow_of(Document(story.opening.document, name="journal")))


def answer(found: Report, phase: str, configuration: str | None) -> str:
    """What a phase answered. Raises `RouterError`."""
    names = [each.configuration for each in found.configurations]
    chosen = configuration or names[0]
    phases = {each.phase: each for one in found.configurations if one.configuration == chosen for each in one.phases}
    if not phases:
        raise RouterError(f"--config {chosen}: the workflow was not run in it. {suggest(chosen, names)}")
    if phase not in phases:
        raise RouterError(f"--phase {phase}: there is no such phase. {suggest(phase, phases)}")
    return phases[phase].output


def write_report(file: Path, found: Report) -> None:
    """Write the report in Markdown. Raises `ConfigError`."""
    try:
        file.write_text(markdown(found), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--report {file}: cannot be written ({error.strerror}); check the path") from error


def _folder(settings: Settings) -> Path:
    return at_home(settings).workspace_root / _FOLDER
