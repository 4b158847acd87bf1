"""Chats whose tools the platform runs: the caller sees one answer, whatever happened to get it.

When that is so: on the native path, when the request names registered tools, or names none and its persona brings some. On the
vendors' paths only for a persona that brings tools: where the request has no tools of its own, or only names (without a schema)
some of the platform's. A tool that a caller of these declares with its schema is the caller's to run.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace

from execution_platform.dialects.base import Downstream, Metered
from execution_platform.dialects.native import platform_options
from execution_platform.exceptions import ExecutionPlatformError, InvalidRequest
from execution_platform.router.chain import aclose
from execution_platform.runtime.agent.agent import Agent, Ears, End
from execution_platform.runtime.agent.kernel import Caller, KernelModel
from execution_platform.runtime.agent.pump import Pump
from execution_platform.runtime.agent.reach import declared, is_bare, permits_of
from execution_platform.runtime.agent.setting import Setting
from execution_platform.runtime.agent.splice import Splice, shown
from execution_platform.runtime.agent.told import Emit, Told
from execution_platform.runtime.agent.usage import joined
from execution_platform.runtime.agent.workshop import Workshop
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call
from execution_platform.runtime.execute import downstream_for
from execution_platform.runtime.request import decoded
from execution_platform.spi.assemble import Accumulator
from execution_platform.spi.events import Failed
from execution_platform.spi.parts import ToolResultPart
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.tools import ToolDefinition
from execution_platform.spi.usage import Cost
from execution_platform.tool_bridge.approval import Approval, Permit

_JSON = "application/json"
_NATIVE = "native"


@dataclass(frozen=True, slots=True)
class WithTools:
    """A chat whose tools the platform runs."""

    request: ChatRequest
    permits: dict[str, Permit]


def with_tools(call: Call, shop: Workshop) -> WithTools | None:
    """What the platform has to run of a planned call; None for a plain chat. Raises `InvalidRequest`."""
    persona = call.route.persona if call.route is not None else None
    brings = persona is not None and bool(persona.tools)
    is_native = call.dialect.name == _NATIVE
    if not brings and not (is_native and call.peek.has_tools):
        return None
    request = decoded(call)
    names = _named(request, is_native=is_native)
    if names is not None and not names:
        return None
    permits = permits_of(shop.registry, persona, call.principal.scope.tools, names)
    if not permits:
        return None
    if (request.n or 1) > 1:
        raise InvalidRequest(
            "n: several answers at once and tools that the platform runs do not go together", param="n"
        )
    return WithTools(replace(request, tools=declared(request.tools or (), permits)), permits)


def _named(request: ChatRequest, *, is_native: bool) -> tuple[str, ...] | None:
    """The names of tools the platform may run; None for all of the persona's."""
    if request.tools is None:
        return None
    return tuple(tool.name for tool in request.tools if _is_ours(tool, is_native=is_native))


def _is_ours(tool: ToolDefinition, *, is_native: bool) -> bool:
    return tool.kind == "function" and (is_native or is_bare(tool))


class _Heard(Ears):
    """The caller of a chat: one answer, without what its dialect has no place for."""

    def __init__(self, splice: Splice) -> None:
        super().__init__(splice.feed)
        self._splice = splice

    def turn(self) -> None:
        """A new answer begins."""
        self._splice.turn()

    def result(self, part: ToolResultPart) -> list[Told]:
        """The result of a call."""
        return self._splice.result(part)


class _Tally:
    """The turns' calls as the outcome of the caller's one."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def begun(self, turn: Call) -> None:
        """A turn has begun: the newest is who answers."""
        run = turn.outcome.run
        if run is None or run.winner is None:
            return
        mine = self._call.outcome
        metered, quote = mine.metered, mine.quote
        mine.run = run
        mine.adopt(run.winner)
        mine.losses = [*turn.outcome.losses]
        mine.metered, mine.quote = metered, quote or run.winner.quote
        if mine.first_content is None:
            mine.first_content = turn.outcome.first_content

    def ended(self, turn: Call) -> None:
        """A turn is over: what it used and cost is added."""
        mine, other = self._call.outcome, turn.outcome
        mine.metered = Metered(
            joined(mine.metered.usage, other.metered.usage),
            other.metered.finish,
            other.metered.model,
            other.metered.id,
            committed=True,
            finished=other.metered.finished,
        )
        if other.cost is not None:
            before = 0 if mine.cost is None else mine.cost.nanos
            mine.cost = Cost(before + other.cost.nanos, other.cost.confidence)
        mine.losses.extend(loss for loss in other.losses if loss not in mine.losses)


async def answer_with_tools(call: Call, tools: WithTools, shop: Workshop) -> Answer:
    """Answer a planned chat with the platform's tools. Raises what keeps its first turn from beginning."""
    splice = Splice(None if call.dialect.name == _NATIVE else frozenset(tools.permits))
    tally = _Tally(call)
    pump = Pump[End](lambda emit: _work(call, tools, shop, splice, tally, emit))
    stream = pump.stream()
    try:
        first = await anext(stream, None)
        while first is not None and not shown(first):
            first = await anext(stream, None)
    except BaseException:
        await aclose(stream)
        raise
    reading = _Reading(call, pump, splice, first or (), stream)
    if call.peek.stream:
        return Answer(call.stream_type, stream=reading.frames())
    return Answer(_JSON, body=await reading.whole())


async def _work(call: Call, tools: WithTools, shop: Workshop, splice: Splice, tally: _Tally, emit: Emit) -> End:
    principal = call.principal
    persona = call.route.persona if call.route is not None else None
    # Without a name of its own the run is the request: budgets per run bind all of its turns together.
    run = call.run or call.id
    caller = Caller(
        principal=principal,
        id=call.id,
        run=run,
        trace=call.trace,
        loss_policy=call.loss_policy,
        headers=call.headers,
        provider=call.provider or call.peek.provider,
    )
    model = KernelModel(
        caller, shop.snapshot, shop.books, turn_seconds=shop.turn_seconds, begun=tally.begun, ended=tally.ended
    )

    def permits_for(name: str) -> dict[str, Permit]:
        found = shop.snapshot().routing.explain(None, name, {}).persona
        return permits_of(shop.registry, found, principal.scope.tools)

    setting = Setting(
        run_id=run,
        model=model,
        invoke=shop.invoke,
        approval=Approval("default" if persona is None else persona.permission_mode, shop.hooks),
        workspace=shop.workspaces().find(principal.tenant, platform_options(tools.request).workspace),
        emit=emit,
        permits_for=permits_for,
        tenant=principal.tenant,
        why=shop.why,
        called=shop.metrics.called,
        limits=shop.limits(),
    )
    request = replace(
        tools.request, model=call.path_model or tools.request.model, persona=call.persona or call.peek.persona
    )
    return await Agent(setting, tools.permits, _Heard(splice)).run_within(request)


class _Reading:
    """The caller's one answer, from its first content on."""

    def __init__(
        self, call: Call, pump: Pump[End], splice: Splice, first: Sequence[Told], rest: AsyncIterator[Sequence[Told]]
    ) -> None:
        self._call = call
        self._pump = pump
        self._splice = splice
        self._first = first
        self._rest = rest

    async def frames(self) -> AsyncGenerator[bytes]:
        """In the caller's dialect, as it comes."""
        call = self._call
        downstream = self._downstream()
        encoder = call.dialect.stream_encoder(downstream)
        try:
            yield encoder.send(shown(self._first))
            async for batch in self._rest:
                data = encoder.send(shown(batch))
                if data:
                    yield data
            end = self._end()
            downstream.extra["steps"] = end.steps
            downstream.extra["stop_reason"] = end.reason
            yield encoder.send(self._splice.end(end.finish, end.usage)) + encoder.close()
        except ExecutionPlatformError as error:
            call.outcome.error = error
            yield encoder.send([Failed(call.snapshot.redactor.error(error))])
        finally:
            call.outcome.losses.extend(encoder.losses)
            await aclose(self._rest)

    async def whole(self) -> bytes:
        """In the caller's dialect, as a whole."""
        call = self._call
        accumulator = Accumulator()
        try:
            for event in shown(self._first):
                accumulator.feed(event)
            async for batch in self._rest:
                for event in shown(batch):
                    accumulator.feed(event)
        finally:
            await aclose(self._rest)
        end = self._end()
        for event in self._splice.end(end.finish, end.usage):
            accumulator.feed(event)
        downstream = self._downstream()
        downstream.extra["steps"] = end.steps
        downstream.extra["stop_reason"] = end.reason
        encoded = call.dialect.encode_response(accumulator.result(), downstream)
        call.outcome.losses.extend(encoded.losses)
        return encoded.body

    def _downstream(self) -> Downstream:
        call = self._call
        run = call.outcome.run
        if run is None or run.winner is None:
            raise RuntimeError("a run told something before its first turn began")
        return downstream_for(call, run.winner, call.snapshot.provider(run.winner.target.provider))

    def _end(self) -> End:
        end = self._pump.result
        if end is None:
            raise RuntimeError("a run ended without an end")
        return end
