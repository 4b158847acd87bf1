"""One run in this process, from its beginning, or from where another process left it, to its end."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects import dialect
from execution_platform.dialects.base import Downstream
from execution_platform.dialects.native import public_message
from execution_platform.exceptions import BudgetExceeded, ErrorKind, ExecutionPlatformError, PermissionDenied
from execution_platform.identity.principal import Principal
from execution_platform.runtime.agent.agent import Agent, Ears, End
from execution_platform.runtime.agent.asking import Asking
from execution_platform.runtime.agent.caller import Answerer, Calling, caller_permits
from execution_platform.runtime.agent.kernel import Caller, KernelModel
from execution_platform.runtime.agent.limits import NANOS, StopReason
from execution_platform.runtime.agent.log import RunLog
from execution_platform.runtime.agent.order import Order
from execution_platform.runtime.agent.reach import declared, may_use, missing, permits_of
from execution_platform.runtime.agent.setting import Setting
from execution_platform.runtime.agent.splice import Splice
from execution_platform.runtime.agent.store import Entry, RunLost, RunStore, utc
from execution_platform.runtime.agent.told import Note, Told
from execution_platform.runtime.agent.workshop import Workshop
from execution_platform.runtime.agent.written import WrittenJournal
from execution_platform.spi.events import Event
from execution_platform.spi.parts import ToolResultPart
from execution_platform.spi.response import Finish, FinishReason
from execution_platform.tool_bridge.approval import Approval, Approver, Permit
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.delegate import NAME as DELEGATING
from execution_platform.tool_bridge.protocol import ToolResult
from execution_platform.tool_bridge.provenance import Provenance

_FLUSH = 256
"""Events that are told without being written down, at most."""
_RESTARTS = 2
_STATUS: Mapping[StopReason, str] = {"stop": "done", "tool_calls": "done", "cancelled": "cancelled", "error": "failed"}


class KeyRevoked(ExecutionPlatformError):
    """Whoever began the run may not call any more."""

    kind = ErrorKind.PERMISSION
    code = "key_revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A run that this process has taken."""

    run_id: str
    order: Order
    epoch: int = 1
    model: str | None = None
    entries: Sequence[Entry] = ()
    key: bytes = b""
    """What approvals are sealed with."""
    approver: Approver | None = None
    """Who is asked in place of the owner's clients."""
    answerer: Answerer | None = None
    """Who runs the caller's own tools in place of the owner's clients."""


class Active(Ears):
    """A run at work."""

    def __init__(self, taken: Taken, shop: Workshop, store: RunStore) -> None:
        self._taken = taken
        self._shop = shop
        self._store = store
        self._splice = Splice()
        super().__init__(self._splice.feed)
        self.run_id = taken.run_id
        self.epoch = taken.epoch
        self.log = RunLog(taken.epoch)
        self.status = "running"
        self.end: End | None = None
        order = taken.order
        self._downstream = Downstream(order.request.model or "", taken.run_id, include_usage=True)
        self._encoder = dialect("native").stream_encoder(self._downstream)
        self._who = order.principal
        """The caller, as it was when somebody last looked."""
        caller = Caller(principal=order.principal, id=taken.run_id, run=taken.run_id)
        self._model = KernelModel(
            caller, shop.snapshot, shop.books, turn_seconds=shop.turn_seconds, standing=self._standing
        )
        self._model.model = taken.model
        self._asking = Asking(
            store, taken.run_id, order.principal.subject, taken.key, tell=self._tell, waiting=self._wait
        )
        self._calling = Calling(
            store,
            taken.run_id,
            order.principal.subject,
            taken.key,
            tell=self._tell_now,
            answerer=taken.answerer,
            seconds=shop.answer_seconds,
        )
        self._cancelled = False
        self._setting: Setting | None = None
        self._waited_since: float | None = None
        self.task: asyncio.Task[None] | None = None

    # What others want

    def cancel(self) -> None:
        """Stop it: what it waits for is closed, what it runs is ended."""
        self._cancelled = True
        if self.task is not None:
            self.task.cancel()

    def suspend(self) -> None:
        """Leave it to whoever takes it on."""
        if self.task is not None:
            self.task.cancel()

    def move(self, model: str | None) -> None:
        """Let the next turns go to another model."""
        self._model.model = model

    def decided(self, seal: str, decision: str) -> None:
        """Somebody has decided on a call."""
        self._asking.decided(seal, decision)
        self._calling.decided(seal)

    # Its life

    async def work(self) -> None:
        """Run to the end, and write it down. Raises `CancelledError` when it is left to others, `RunLost` when it is theirs."""
        taken = self._taken
        try:
            try:
                await self._begin()
                end = await self._agent()
            except asyncio.CancelledError:
                if not self._cancelled:
                    raise
                if self.task is not None:
                    self.task.uncancel()
                end = self._stopped("cancelled", None)
            except RunLost:
                raise
            except ExecutionPlatformError as error:
                clean = self._shop.snapshot().redactor.error(error)
                reason: StopReason = "error"
                if isinstance(error, KeyRevoked):
                    reason = "key_revoked"
                elif isinstance(error, BudgetExceeded):
                    reason = (
                        "token_budget_exceeded" if error.code == "token_budget_exceeded" else "cost_budget_exceeded"
                    )
                end = self._stopped(reason, clean)
            await self._finish(end)
        finally:
            self.log.close()
            del taken

    async def _begin(self) -> None:
        taken = self._taken
        told: dict[str, object] = {"id": taken.run_id, "persona": taken.order.persona}
        if taken.epoch > 1:
            turns = sum(entry.kind == "turn" for entry in taken.entries)
            await self._tell(Note("run_resumed", {**told, "turns": turns}))
        else:
            await self._tell(Note("run_started", told))

    async def _agent(self) -> End:
        taken, shop, order = self._taken, self._shop, self._taken.order
        principal = await self._standing()
        persona = shop.snapshot().routing.explain(None, order.persona, {}).persona if order.persona else None
        names = None if order.request.tools is None else [tool.name for tool in order.request.tools]
        absent = missing(shop.registry, persona, principal.scope.tools, names)
        if absent:
            await self._tell(Note("tools_missing", {"tools": absent}))
        theirs = caller_permits(order.own)
        permits = permits_of(shop.registry, persona, principal.scope.tools, names) | theirs
        mode = order.mode or ("default" if persona is None else persona.permission_mode)
        if persona is not None and persona.permission_mode == "plan":
            mode = "plan"

        async def invoke(name: str, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
            if name not in theirs:
                return await self._invoke(name, arguments, context)
            await self._standing()
            return await self._calling.call(name, arguments, context)

        def permits_for(name: str) -> dict[str, Permit]:
            found = shop.snapshot().routing.explain(None, name, {}).persona
            self._check(DELEGATING)
            return permits_of(shop.registry, found, self._who.scope.tools)

        journal = WrittenJournal(self._store, taken.run_id, taken.epoch, self.log.unwritten, taken.entries)
        seen, notes = journal.kept.get("seen"), journal.kept.get("notes")
        self._setting = setting = Setting(
            run_id=taken.run_id,
            model=self._model,
            invoke=invoke,
            approval=Approval(mode, shop.hooks, taken.approver or self._asking),
            workspace=shop.workspaces().find(principal.tenant, order.workspace, taken.run_id),
            emit=self._emit,
            permits_for=permits_for,
            tenant=principal.tenant,
            why=shop.why,
            called=shop.metrics.called,
            limits=order.within(shop.limits()),
            journal=journal,
            provenance=Provenance.from_json(cast("dict[str, object]", seen or {})),
            notes=dict(cast("dict[str, object]", notes or {})),
            restarts=_RESTARTS,
        )
        journal.keep = lambda: {"seen": setting.provenance.as_json(), "notes": setting.notes}
        request = replace(
            order.request,
            persona=order.persona or None,
            tools=declared(order.request.tools or (), permits),
            provider_options={},
        )
        self._running = Agent(setting, permits, self)
        return await self._running.run_within(request)

    async def _standing(self) -> Principal:
        """The caller as it is now. Raises `KeyRevoked`."""
        who = await self._shop.standing(self._taken.order.principal)
        if who is None:
            raise KeyRevoked("the key that began this run is revoked or over; give the task to another one")
        self._who = who
        return who

    async def _invoke(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        """Run a tool, if the caller still may. Raises `ToolError`, `PermissionDenied`, `KeyRevoked`."""
        await self._standing()
        self._check(name)
        return await self._shop.invoke(name, arguments, context)

    def _check(self, tool: str) -> None:
        """Hold a tool that was within reach to what the key has left. Raises `PermissionDenied`."""
        if not may_use(self._who.scope.tools, tool):
            raise PermissionDenied(f"the key of this run may not use {tool} any more; go on without it")

    def turn(self) -> None:
        """A new answer begins."""
        self._splice.turn()

    def result(self, part: ToolResultPart) -> list[Told]:
        """The result of a call."""
        return self._splice.result(part)

    def _stopped(self, reason: StopReason, error: ExecutionPlatformError | None) -> End:
        running = getattr(self, "_running", None)
        if isinstance(running, Agent):
            return replace(running.stopped(reason), error=error)
        return End(reason, Finish(FinishReason.ERROR, reason), error=error)

    # What it tells

    async def _tell(self, note: Note) -> None:
        await self._emit([note])

    async def _tell_now(self, note: Note) -> None:
        """The same, written down at once: whoever has to answer may follow the run at another replica."""
        await self._emit([note])
        await self._flush({})

    async def _emit(self, batch: Sequence[Told]) -> None:
        events: list[Event] = []
        for told in batch:
            if isinstance(told, Note):
                self.log.add(self._encoder.send(events))
                events = []
                self.log.note(told.kind, _json.dumps(told.data))
            else:
                events.append(told)
        self.log.add(self._encoder.send(events))
        if self.log.waiting >= _FLUSH:
            await self._flush({})

    async def _flush(self, values: Mapping[str, object]) -> None:
        frames = self.log.unwritten()
        if frames is not None or values:
            await self._store.write(self.run_id, self.epoch, frames=frames, values=values)

    async def _wait(self, questions: int) -> None:
        """Waiting for people does not count as the run's time."""
        loop = asyncio.get_running_loop()
        clock = None if self._setting is None else self._setting.clock
        if questions and self._waited_since is None:
            self._waited_since = loop.time()
            if clock is not None and not clock.expired():
                self._left = (clock.when() or loop.time()) - loop.time()
                clock.reschedule(None)
        elif not questions and self._waited_since is not None:
            self._waited_since = None
            if clock is not None and not clock.expired():
                clock.reschedule(loop.time() + self._left)
        self.status = "waiting" if questions else "running"
        await self._flush({"status": self.status})

    async def _finish(self, end: End) -> None:
        self.end = end
        extra = self._downstream.extra
        extra["stop_reason"], extra["steps"] = end.reason, end.steps
        if end.error is not None:
            self.log.add(dialect("native").error_frame(end.error, self.run_id))
        else:
            self.log.add(self._encoder.send(self._splice.end(end.finish, end.usage)) + self._encoder.close())
        self.status = _STATUS.get(end.reason, "stopped")
        usage = end.usage
        values: dict[str, object] = {
            "status": self.status,
            "reason": end.reason,
            "steps": end.steps,
            "answer": end.text,
            "error": None if end.error is None else f"{end.error.code}: {public_message(end.error)}",
            "input_tokens": 0 if usage is None else usage.prompt_tokens,
            "output_tokens": 0 if usage is None else usage.completion_tokens,
            "cost_nanos": 0 if usage is None else round((usage.cost_usd or 0.0) * NANOS),
            "finished_at": utc(),
            "worker": None,
            "leased_until": None,
        }
        await self._flush(values)


Ended = Callable[[Active], None]
