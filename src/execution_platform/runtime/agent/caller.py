"""Tools that only the caller of a run has: the run asks for a result, waits, and goes on with it.

A caller in this process is called directly. Any other is told of the call by the event `caller_call`, and answers on
`POST /v1/runs/{id}/answer`, at whatever replica. Question and answer are rows: a run that another worker takes on asks the same
question by the same token, and an answer that is already there counts. So the call is made once although it may be asked twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from execution_platform.exceptions import ToolError, ToolTimeout
from execution_platform.runtime.agent.store import RunStore, utc
from execution_platform.runtime.agent.told import Note
from execution_platform.spi.tools import ToolDefinition
from execution_platform.tool_bridge.approval import Permit, Sealed
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.protocol import SideEffect, ToolResult
from execution_platform.tool_bridge.schema import ArgumentCheck, Schema

ANSWER_SECONDS = 600.0
"""How long a caller may take for one call."""
_ANY: Schema = {"type": "object", "properties": {}}


class Answer(NamedTuple):
    """What a caller says to a call."""

    text: str
    failed: bool = False


Answerer = Callable[[str, Mapping[str, object], str], Awaitable[Answer]]
"""Runs a tool of the caller: name, arguments, and a key that is the same whenever the call is asked for again."""


class CallerTool:
    """A tool of the caller, as the run knows it."""

    side_effect: SideEffect = "exec"
    repeatable = True
    """A call that is asked for again has the same key, and an answer that is there counts."""

    def __init__(self, definition: ToolDefinition) -> None:
        self.name = definition.name
        self.description = definition.description or ""
        self.parameters: Schema = definition.input_schema or _ANY
        self._check = ArgumentCheck(self.name, self.parameters)

    def validate_args(self, args: Mapping[str, object]) -> None:
        """Refuse arguments that do not fit the caller's schema. Raises `InvalidToolArguments`."""
        self._check(args)

    async def execute(self, args: Mapping[str, object]) -> ToolResult:
        """Not here. Raises `ToolError`."""
        del args
        raise ToolError(f"tool {self.name!r} belongs to the caller of a run, and runs there")


def caller_permits(own: Sequence[ToolDefinition]) -> dict[str, Permit]:
    """The caller's tools as tools within reach: who brings a tool has consented to it."""
    return {tool.name: Permit(CallerTool(tool), "full", consented=True) for tool in own}


class Calling:
    """Asks the caller of one run."""

    def __init__(
        self,
        store: RunStore,
        run_id: str,
        owner: str,
        key: bytes,
        *,
        tell: Callable[[Note], Awaitable[None]],
        answerer: Answerer | None,
        seconds: float,
    ) -> None:
        """`answerer` is the caller in this process; None where it is somewhere else."""
        self._store = store
        self._run_id = run_id
        self._owner = owner
        self._key = key
        self._tell = tell
        self._answerer = answerer
        self._seconds = seconds
        self._open: dict[str, asyncio.Event] = {}

    def decided(self, seal: str) -> None:
        """There is an answer."""
        waiting = self._open.get(seal)
        if waiting is not None:
            waiting.set()

    async def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        """What the caller's tool gives. Raises `ToolError` with its words where it failed, `ToolTimeout`."""
        if self._answerer is not None:
            answer = await self._answerer(name, arguments, context.call_id)
        else:
            answer = await self._asked(name, arguments, context.call_id)
        context.provenance.untrusted = True
        if answer.failed:
            raise ToolError(answer.text)
        return ToolResult(answer.text)

    async def _asked(self, name: str, arguments: Mapping[str, object], call: str) -> Answer:
        # The time is no part of the seal: after a crash the same call has the same one.
        seal = Sealed(self._run_id, call, name, arguments, self._owner, 0).seal(self._key)
        expires = utc() + timedelta(seconds=self._seconds)
        known = await self._store.expect(self._run_id, call, seal, expires)
        if known is not None:
            return Answer(*known)
        self._open[seal] = waiting = asyncio.Event()
        told = {"call": call, "name": name, "args": dict(arguments), "token": seal, "expires_at": expires.timestamp()}
        try:
            await self._tell(Note("caller_call", told))
            async with asyncio.timeout(self._seconds):
                await waiting.wait()
        except TimeoutError as error:
            raise ToolTimeout(
                f"the caller of this run gave no result of {name} within {self._seconds:g} seconds"
            ) from error
        finally:
            del self._open[seal]
        found = await self._store.expect(self._run_id, call, seal, expires)
        return Answer("", failed=True) if found is None else Answer(*found)
