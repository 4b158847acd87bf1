"""The calls of one turn: side by side, each checked, approved, written down, run and written down again."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext

from execution_platform._failpoint import ARMED, reach
from execution_platform.exceptions import ExecutionPlatformError, ToolError
from execution_platform.runtime.agent.journal import Place
from execution_platform.runtime.agent.setting import Setting
from execution_platform.runtime.agent.told import Note
from execution_platform.spi.parts import ToolCallPart
from execution_platform.tool_bridge.bridge import Bridge, Done, Ready
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.delegate import NAME as DELEGATING

Delegate = Callable[[Ready, Place, int], Awaitable[Done]]
"""Runs a call of `agent_task`."""


def call_key(run_id: str, place: Place, index: int) -> str:
    """The idempotency key of a call: the same whenever the run repeats it."""
    return f"{run_id}.{place.path}{place.turn}.{index}"


class Calls:
    """Runs the calls of one agent."""

    def __init__(self, setting: Setting, bridge: Bridge, persona: str | None, delegate: Delegate) -> None:
        self._setting = setting
        self._bridge = bridge
        self._persona = persona
        self._delegate = delegate
        self._written: set[int] = set()
        """Calls of the turn whose results were written down as soon as they were there."""

    async def run(
        self,
        calls: Mapping[int, ToolCallPart],
        place: Place,
        intents: frozenset[int] = frozenset(),
        answered: Callable[[Done], Awaitable[None]] | None = None,
    ) -> dict[int, Done]:
        """Answer `calls`, by their places in the turn; `intents` are those that a crash may have interrupted.

        `answered` is told of each as it is done. Raises `DatabaseUnavailable` when the journal cannot be written.
        """
        done: dict[int, Done] = {}
        self._written.clear()

        async def one(index: int, call: ToolCallPart) -> None:
            done[index] = found = await self._one(index, call, place, begun=index in intents)
            permit = self._bridge.permits.get(call.name)
            # A name that a model makes up is no label.
            self._setting.called("other" if permit is None else permit.tool.name, found.code)
            if answered is not None:
                await answered(found)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(index, call)) for index, call in calls.items()]
            del tasks
        except* ExecutionPlatformError as failures:
            raise _first(failures) from failures
        left = {index: found for index, found in done.items() if index not in self._written}
        if left:
            await self._setting.journal.results(place, left)
        return {index: done[index] for index in sorted(done)}

    async def _write(self, place: Place, index: int, done: Done) -> None:
        """Write one result down before the others."""
        await self._setting.journal.results(place, {index: done})
        self._written.add(index)

    async def _one(self, index: int, call: ToolCallPart, place: Place, *, begun: bool) -> Done:
        setting = self._setting
        if index >= setting.limits.fan_out:
            most = setting.limits.fan_out
            return self._refused(call, f"only {most} calls are run in one turn; call this one in the next turn")
        key = call_key(setting.run_id, place, index)
        permit = self._bridge.permits.get(call.name)
        once = permit is not None and not permit.repeatable
        if begun and once:
            return await self._unknown(call, place, index)
        ready = await self._bridge.prepare(call, key, tainted=setting.provenance.tainted)
        if isinstance(ready, Done):
            if once and ready.code != "permission_denied":
                await self._write(place, index, ready)
            return ready
        if ready.permit.tool.name == DELEGATING:
            return await self._delegate(ready, place, index)
        context = ToolContext(
            setting.workspace,
            key,
            tenant=setting.tenant,
            persona=self._persona,
            run_id=setting.run_id,
            provenance=setting.provenance,
            notes=setting.notes,
        )
        async with setting.writing if ready.permit.side_effect == "write" else nullcontext():
            return await self._ran(ready, context, place, index)

    async def _ran(self, ready: Ready, context: ToolContext, place: Place, index: int) -> Done:
        journal = self._setting.journal
        once = not ready.permit.repeatable
        if once:
            await journal.intent(place, index)
        if ARMED:
            await reach("run.before_effect")
        done = await self._bridge.run(ready, context)
        if ARMED:
            await reach("run.after_effect")
        if once:
            await self._write(place, index, done)
        return done

    async def _unknown(self, call: ToolCallPart, place: Place, index: int) -> Done:
        """A call that had begun when the process ended, and must not run twice."""
        sentence = (
            f"the process ended while {call.name} was running, so nobody knows whether it took effect; it was not run again. "
            "Look at the state it was to change before you go on."
        )
        done = self._bridge.failed(call, ToolError(sentence, code="outcome_unknown"))
        await self._write(place, index, done)
        await self._setting.emit([Note("outcome_unknown", {"id": call.call_id, "name": call.name})])
        return done

    def _refused(self, call: ToolCallPart, sentence: str) -> Done:
        return self._bridge.failed(call, ToolError(sentence))


def _first(group: BaseExceptionGroup[ExecutionPlatformError]) -> ExecutionPlatformError:
    """The first failure of nested groups."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
