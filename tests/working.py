"""Workflows for tests, and a worker that says what it is told to."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from execution_platform.client import RunEvent, RunResult
from execution_platform.config.yaml import Document
from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.spi.usage import Usage
from execution_platform.tool_bridge.sandbox import NoSandbox, Sandbox
from execution_platform.workflow.checks import Checker
from execution_platform.workflow.journal import Ended, Journal, Opening, new_id, utc
from execution_platform.workflow.reading import workflow_of
from execution_platform.workflow.runner import Means, run_configuration
from execution_platform.workflow.values import Phase, Workflow
from execution_platform.workflow.worker import Asked, Hear


def phase(prompt: str = "go", **more: Any) -> dict[str, Any]:
    """A phase that says ok."""
    return {"persona": "dev", "prompt": prompt, "checks": [{"contains": "ok"}], **more}


def workflow(phases: Mapping[str, Any], **more: Any) -> Workflow:
    """A workflow of these phases."""
    return workflow_of(Document({"name": "demo", "phases": phases, **more}))


async def nowhere() -> Sandbox:
    """There is no sandbox."""
    return NoSandbox("there is none here")


@dataclass
class Scripted:
    """Answers each task by a function of it; `broken` fails the runs of these tasks once."""

    says: Callable[[Asked], str] = lambda asked: f"ok {asked.task}"
    broken: set[str] = field(default_factory=set[str])
    asked: list[Asked] = field(default_factory=list[Asked])
    gone_on: list[str] = field(default_factory=list[str])
    together: dict[str, asyncio.Barrier] = field(default_factory=dict[str, asyncio.Barrier])

    async def run(self, asked: Asked, hear: Hear) -> RunResult:
        self.asked.append(asked)
        run_id = f"run_{len(self.asked)}"
        hear(RunEvent(1, "run_started", {"id": run_id, "persona": asked.persona}))
        hear(RunEvent(2, "turn_started", {"turn": "0", "provider": "p", "model": asked.model or "m"}))
        if asked.task in self.together:
            await self.together[asked.task].wait()
        if asked.task in self.broken:
            self.broken.remove(asked.task)
            raise ProviderError("the provider is away", kind=ErrorKind.UNAVAILABLE)
        return self._result(run_id, self.says(asked))

    async def go_on(self, run_id: str, hear: Hear) -> RunResult:
        self.gone_on.append(run_id)
        return self._result(run_id, self.says(self.asked[int(run_id.removeprefix("run_")) - 1]))

    async def usage(self, run_id: str) -> Usage:
        return Usage(3, 0, 0.1)

    def _result(self, run_id: str, text: str) -> RunResult:
        return RunResult(run_id, "done", "stop", text, 1, Usage(10, 5, 0.25))


@dataclass
class Heard:
    """Remembers what it was told."""

    lines: list[str] = field(default_factory=list[str])

    def begins(self, configuration: str, phase: Phase) -> None:
        self.lines.append(f"{phase.name} begins")

    def hears(self, configuration: str, phase: Phase, event: RunEvent) -> None:
        del event

    def ends(self, configuration: str, phase: Phase, ended: Ended) -> None:
        self.lines.append(f"{phase.name} {ended.status}")


@dataclass
class Bench:
    """A folder for journals and a workspace."""

    folder: Path
    worker: Scripted = field(default_factory=Scripted)
    heard: Heard = field(default_factory=Heard)

    def begin(self, flow: Workflow, configuration: str = "default", **inputs: str) -> Journal:
        opening = Opening(
            id=new_id(),
            document=flow.document,
            inputs=inputs,
            cwd=str(self.folder),
            configurations=[configuration],
            at=utc(),
        )
        return Journal.create(self.folder / "journals", opening)

    async def carry_out(self, flow: Workflow, journal: Journal, configuration: str = "default") -> bool:
        means = Means(
            worker=self.worker,
            checker=Checker(self.folder, nowhere),
            listener=self.heard,
            workspace=self.folder,
        )
        return await run_configuration(flow, flow.configuration(configuration), journal, means)
