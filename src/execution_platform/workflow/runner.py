"""The phases of a workflow, each when those it needs have succeeded.

Theory of operation
-------------------
A phase is one agent run; the loop, the tools and the limits are the run's. What is here is order: phases that wait for nobody work at
the same time, each ending is written down before anything is built on it, and after the first that does not succeed no other begins.
Going on with a workflow reads the journal: a phase that succeeded keeps its answer, one whose run broke off or failed goes on
with that run from its last turn, and one whose result was refused, or whose run met a limit, begins anew: it would end the same way.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from execution_platform.client import RunEvent, RunResult
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.spi.usage import Usage
from execution_platform.workflow.checks import Checked, Checker
from execution_platform.workflow.journal import Begun, Clock, Ended, Journal, PhaseStatus, Session, utc
from execution_platform.workflow.template import filled
from execution_platform.workflow.values import Configuration, Phase, Workflow
from execution_platform.workflow.worker import Asked, Worker


class Listener(Protocol):
    """Who is told how it goes."""

    def begins(self, configuration: str, phase: Phase) -> None:
        """A phase begins, or goes on."""
        ...

    def hears(self, configuration: str, phase: Phase, event: RunEvent) -> None:
        """Something happened in the run of a phase."""
        ...

    def ends(self, configuration: str, phase: Phase, ended: Ended) -> None:
        """A phase is over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a workflow is carried out with."""

    worker: Worker
    checker: Checker
    listener: Listener
    workspace: Path
    clock: Clock = utc


async def run_configuration(workflow: Workflow, configuration: Configuration, journal: Journal, means: Means) -> bool:
    """Carry out every phase that is not done yet; whether all have succeeded. Cancelling it stops the runs."""
    journal.write(Session(configuration=configuration.name, at=means.clock()))
    return await _Execution(workflow, configuration, journal, means).run()


@dataclass
class _Attempt:
    """What is noticed of a run while it works."""

    run: str | None = None
    models: list[str] = field(default_factory=list[str])


class _Execution:
    def __init__(self, workflow: Workflow, configuration: Configuration, journal: Journal, means: Means) -> None:
        self._phases = {phase.name: configuration.staffed(phase) for phase in workflow.phases}
        self._configuration = configuration.name
        self._journal = journal
        self._means = means
        self._before = journal.story.last(configuration.name)
        self._outputs = {
            name: line.output
            for name, line in self._before.items()
            if isinstance(line, Ended) and line.status == "done"
        }
        self._inputs: Mapping[str, str] = journal.story.opening.inputs

    async def run(self) -> bool:
        waiting = [phase for name, phase in self._phases.items() if name not in self._outputs]
        at_work: set[asyncio.Task[Ended]] = set()
        refused = False
        try:
            while waiting or at_work:
                for phase in [] if refused else [each for each in waiting if self._outputs.keys() >= set(each.needs)]:
                    waiting.remove(phase)
                    at_work.add(asyncio.get_running_loop().create_task(self._carry_out(phase)))
                if not at_work:
                    return False
                over, at_work = await asyncio.wait(at_work, return_when=asyncio.FIRST_COMPLETED)
                for ended in [task.result() for task in over]:
                    if ended.status == "done":
                        self._outputs[ended.phase] = ended.output
                    else:
                        refused = True
        finally:
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)
        return not refused

    async def _carry_out(self, phase: Phase) -> Ended:
        means, attempt = self._means, _Attempt()
        means.listener.begins(self._configuration, phase)
        started = means.clock()
        problem, checks = None, tuple[Checked, ...]()
        result: RunResult | None = None
        try:
            result = await self._work(phase, attempt)
        except ExecutionPlatformError as error:
            status: PhaseStatus = "failed"
            problem, usage = error.message, await self._used(attempt.run)
        else:
            usage = result.usage
            checks = await self._checked(phase, result)
            status, problem = _judged(result, checks)
        at = means.clock()
        ended = Ended(
            configuration=self._configuration,
            phase=phase.name,
            status=status,
            at=at,
            run=attempt.run if result is None else result.id,
            reason="" if result is None else result.reason,
            problem=problem,
            output="" if result is None else result.text,
            checks=checks,
            seconds=(at - started).total_seconds(),
            steps=0 if result is None else result.steps,
            usage=usage,
            models=attempt.models,
        )
        await self._journal.ended(ended)
        means.listener.ends(self._configuration, phase, ended)
        return ended

    async def _work(self, phase: Phase, attempt: _Attempt) -> RunResult:
        def hear(event: RunEvent) -> None:
            self._notice(phase, event, attempt)
            self._means.listener.hears(self._configuration, phase, event)

        before = self._before.get(phase.name)
        if before is not None and before.run is not None and (isinstance(before, Begun) or before.status == "failed"):
            attempt.run = before.run
            return await self._means.worker.go_on(before.run, hear)
        asked = Asked(
            persona=phase.persona,
            task=filled(phase.prompt, {**self._inputs, **self._outputs}),
            workspace=self._means.workspace,
            mode=phase.mode,
            model=phase.model,
            tools=phase.tools,
            limits=phase.limits,
        )
        return await self._means.worker.run(asked, hear)

    def _notice(self, phase: Phase, event: RunEvent, attempt: _Attempt) -> None:
        if event.event == "run_started" and attempt.run is None:
            attempt.run = str(event.data["id"])
            begun = Begun(configuration=self._configuration, phase=phase.name, run=attempt.run, at=self._means.clock())
            self._journal.write(begun)
        elif event.event == "turn_started" and "model" in event.data:
            model = f"{event.data.get('provider')}/{event.data['model']}"
            if model not in attempt.models:
                attempt.models.append(model)

    async def _checked(self, phase: Phase, result: RunResult) -> tuple[Checked, ...]:
        if not _ended_well(result):
            return ()
        return tuple([await self._means.checker.check(check, result.text) for check in phase.checks])

    async def _used(self, run: str | None) -> Usage:
        if run is not None:
            # A gateway that cannot be reached cannot be asked either; the phase has failed and says why.
            with suppress(ExecutionPlatformError):
                return await self._means.worker.usage(run)
        return Usage()


def _ended_well(result: RunResult) -> bool:
    return result.status == "done" and result.reason == "stop"


def _judged(result: RunResult, checks: Sequence[Checked]) -> tuple[PhaseStatus, str | None]:
    if not _ended_well(result):
        return "stopped", f"the run was stopped: {result.reason}"
    problem = next((checked.problem for checked in checks if checked.problem is not None), None)
    return ("done", None) if problem is None else ("unchecked", problem)
