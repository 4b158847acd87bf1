"""One agent: ask, run what was called, ask again.

Theory of operation
-------------------
In: a request with its tools. Out: everything that happens is told to `Setting.emit` as it happens, and an `End` says how it ended.
A turn is one answer of the model. Its calls are of three kinds: tools within reach are run here; tools that only the caller
declares end the agent with their calls; names nobody knows are answered with an error the model can act on. Calls of the first
kind beside one of the second are run before the agent ends, and their results are part of the transcript that `End` holds.

The transcript is canonical, so every turn may go to another provider: what only one provider can read carries its origin, and
goes home or nowhere. A turn that fails before it has shown anything is what the router's chain already tried everywhere; one that
breaks off later is asked for again where that is allowed, because none of its calls has run.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from execution_platform.exceptions import BudgetExceeded, ExecutionPlatformError, ToolError
from execution_platform.runtime.agent.calls import Calls
from execution_platform.runtime.agent.journal import PastTurn, Place
from execution_platform.runtime.agent.limits import Repeats, StopReason
from execution_platform.runtime.agent.reach import definitions
from execution_platform.runtime.agent.seen import note_transcript
from execution_platform.runtime.agent.setting import Setting
from execution_platform.runtime.agent.told import Note, Told
from execution_platform.runtime.agent.usage import joined
from execution_platform.spi.assemble import Accumulator
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import Part, TextPart, ToolCallPart, ToolResultPart
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse, Finish, FinishReason
from execution_platform.spi.tools import ToolChoice
from execution_platform.spi.usage import Usage
from execution_platform.tool_bridge.approval import Permit
from execution_platform.tool_bridge.bridge import Bridge, Done, Ready
from execution_platform.tool_bridge.protocol import ToolResult

_OURS = frozenset({"function", "custom"})
_ENDINGS: Mapping[FinishReason, StopReason] = {
    FinishReason.LENGTH: "length",
    FinishReason.CONTEXT_WINDOW: "length",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "refusal",
}


@dataclass(frozen=True, slots=True)
class End:
    """How an agent ended."""

    reason: StopReason
    finish: Finish
    text: str = ""
    """The last thing the model said."""
    usage: Usage | None = None
    steps: int = 0
    messages: Sequence[Message] = ()
    """The transcript, the request's own messages first."""
    error: ExecutionPlatformError | None = None


class Ears:
    """Who listens to an agent: what is told passes here on its way to the caller."""

    def __init__(self, hear: Callable[[Sequence[Told]], list[Told]] | None = None) -> None:
        self.hear = hear if hear is not None else list[Told]

    def turn(self) -> None:
        """A new answer begins."""

    def result(self, part: ToolResultPart) -> list[Told]:
        """The result of a call."""
        del part
        return []


@dataclass(slots=True)
class _State:
    """Where an agent stands."""

    request: ChatRequest
    steps: int = 0
    usage: Usage | None = None
    text: str = ""
    repeats: Repeats = field(default_factory=Repeats)
    names: set[str] = field(default_factory=set[str])
    """The ids of the calls so far."""


class Agent:
    """One agent of a run."""

    def __init__(
        self, setting: Setting, permits: Mapping[str, Permit], listener: Ears, *, path: str = "", depth: int = 1
    ) -> None:
        self._setting = setting
        self._permits = permits
        self._listener = listener
        self._path = path
        self._depth = depth
        self._bridge = Bridge(permits, setting.approval, setting.invoke, why=setting.why)
        self._state: _State | None = None

    async def run_within(self, request: ChatRequest) -> End:
        """The same as `run` within the wall time of the run, for its first agent."""
        setting = self._setting
        try:
            async with asyncio.timeout(setting.limits.seconds) as setting.clock:
                return await self.run(request)
        except TimeoutError:
            if setting.clock is None or not setting.clock.expired():
                raise
            return self.stopped("time_limit")

    def stopped(self, reason: StopReason) -> End:
        """The end of an agent that was stopped from outside."""
        finish = Finish(FinishReason.LENGTH, reason)
        return End(reason, finish) if self._state is None else self._end(self._state, reason, finish)

    async def run(self, request: ChatRequest) -> End:
        """Work on `request` until there is an end. Raises what a model or the journal failed with."""
        state = self._state = _State(request)
        if not self._path:
            note_transcript(self._setting.provenance, request.messages, self._permits)
        calls = Calls(self._setting, self._bridge, request.persona, self._delegate)
        theirs = frozenset(tool.name for tool in request.tools or ()) - self._permits.keys()
        for past in self._setting.journal.past(self._path):
            end = await self._repeat(state, calls, past, theirs)
            if end is not None:
                return end
        while True:
            stop = self._setting.spent.exhausted(self._setting.limits, state.steps)
            if stop is not None:
                return self._end(state, stop, Finish(FinishReason.LENGTH, stop))
            answer = await self._ask(state)
            message = _with_own_ids(answer.message, state)
            place = Place(self._path, state.steps)
            await self._setting.journal.turn(place, message, answer.finish.reason.value, answer.usage)
            self._count(state, answer.usage)
            end = await self._act(state, calls, message, answer.finish, theirs)
            if end is not None:
                return end

    # Asking

    async def _ask(self, state: _State) -> ChatResponse:
        number = f"{self._path}{state.steps}"
        restarts = self._setting.restarts
        while True:
            shown = False
            try:
                accumulator = Accumulator()
                self._listener.turn()
                async with aclosing(self._setting.model.turn(state.request, number)) as batches:
                    async for batch in batches:
                        for event in batch:
                            if not isinstance(event, Note):
                                accumulator.feed(event)
                        heard = self._listener.hear(batch)
                        if heard:
                            shown = True
                            await self._setting.emit(heard)
                return accumulator.result()
            except BudgetExceeded:
                raise
            except ExecutionPlatformError as error:
                if not shown or not restarts or not error.failover:
                    raise
                restarts -= 1
                told: dict[str, object] = {"turn": number, "code": error.code}
                await self._setting.emit([Note("turn_restarted", told)])

    def _count(self, state: _State, usage: Usage | None) -> None:
        state.steps += 1
        state.usage = joined(state.usage, usage)
        self._setting.spent.add(usage)

    # Acting

    async def _repeat(self, state: _State, calls: Calls, past: PastTurn, theirs: frozenset[str]) -> End | None:
        """Go once more through a turn of before the crash: what has a result keeps it."""
        state.names.update(call.call_id for call in past.message.tool_calls)
        self._count(state, past.usage)
        finish = Finish(FinishReason(past.finish))
        return await self._act(state, calls, past.message, finish, theirs, past)

    async def _act(
        self,
        state: _State,
        calls: Calls,
        message: Message,
        finish: Finish,
        theirs: frozenset[str],
        past: PastTurn | None = None,
    ) -> End | None:
        """Run what the model called; the end, if this was the last turn."""
        state.text = message.text or state.text
        state.request = replace(state.request, messages=(*state.request.messages, message))
        wanted = [call for call in message.tool_calls if call.kind in _OURS]
        if not wanted:
            if finish.reason is FinishReason.PAUSE:
                return None
            return self._end(state, _ENDINGS.get(finish.reason, "stop"), finish)
        ours = {index: call for index, call in enumerate(wanted) if call.name not in theirs}
        done = dict(past.results) if past is not None else {}
        open_ = {index: call for index, call in ours.items() if index not in done}
        place = Place(self._path, state.steps - 1)
        done |= await calls.run(open_, place, past.intents if past is not None else frozenset(), self._answered)
        results = [done[index].part for index in sorted(done)]
        if results:
            state.request = replace(state.request, messages=(*state.request.messages, Message("tool", tuple(results))))
        state.request = _unforced(state.request)
        if len(ours) < len(wanted):
            return self._end(state, "tool_calls", Finish(FinishReason.TOOL_CALLS, finish.raw))
        counts = [state.repeats.note(found) for found in done.values()]
        if max(counts) >= self._setting.limits.repeats:
            return self._end(state, "repeated_call", Finish(FinishReason.LENGTH, "repeated_call"))
        return None

    async def _answered(self, done: Done) -> None:
        told = self._listener.result(done.part)
        if told:
            await self._setting.emit(told)

    def _end(self, state: _State, reason: StopReason, finish: Finish) -> End:
        return End(reason, finish, state.text, state.usage, state.steps, state.request.messages)

    # Delegating

    async def _delegate(self, ready: Ready, place: Place, index: int) -> Done:
        """Another persona works on a part of the task, with what is left of the limits."""
        limits = self._setting.limits
        if self._depth >= limits.depth:
            sentence = f"agents may stand {limits.depth} deep and this one is the last; do the task yourself"
            return self._bridge.failed(ready.call, ToolError(sentence))
        persona, task = str(ready.arguments["persona"]), str(ready.arguments["task"])
        path = f"{place.path}{place.turn}.{index}/"
        try:
            permits = self._setting.permits_for(persona)
            await self._setting.emit([Note("agent_started", {"agent": path, "persona": persona, "task": task})])
            child = Agent(self._setting, permits, Murmur(path), path=path, depth=self._depth + 1)
            end = await child.run(asked_of(persona, task, permits))
        except ExecutionPlatformError as error:
            return self._bridge.failed(ready.call, error)
        await self._setting.emit([Note("agent_finished", {"agent": path, "reason": end.reason, "steps": end.steps})])
        answer = end.text if end.reason == "stop" else f"{end.text}\n[the agent stopped early: {end.reason}]"
        return self._bridge.answered(ready.call, ToolResult(answer))


class Murmur(Ears):
    """A sub-agent's calls and results as notes: its words go to the agent that asked it."""

    def __init__(self, path: str) -> None:
        super().__init__(self._notes)
        self._path = path
        self._accumulated: dict[int, ToolCallPart] = {}

    def _notes(self, batch: Sequence[Told]) -> list[Told]:
        return [event for event in batch if isinstance(event, Note)]

    def result(self, part: ToolResultPart) -> list[Told]:
        """The result of one of its calls."""
        text = "".join(inner.text for inner in part.parts if isinstance(inner, TextPart))
        told: dict[str, object] = {"agent": self._path, "id": part.call_id, "name": part.name, "result": text}
        return [Note("agent_tool_result", told)]


def asked_of(persona: str | None, task: str, permits: Mapping[str, Permit]) -> ChatRequest:
    """A task as a request to a persona with the tools within its reach."""
    return ChatRequest((Message("user", task),), persona=persona, tools=definitions(permits), stream=True)


def _with_own_ids(message: Message, state: _State) -> Message:
    """`message` with ids of calls that are there and used once, as every provider wants them."""
    parts: list[Part] = []
    changed = False
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            call_id = part.call_id
            while not call_id or call_id in state.names:
                call_id = f"call_{len(state.names) + 1}_{state.steps}"
                if call_id in state.names:
                    call_id = f"{call_id}_{len(parts)}"
            state.names.add(call_id)
            if call_id != part.call_id:
                changed = True
                part = replace(part, call_id=call_id, synthetic_id=True)  # noqa: PLW2901 - the part as it goes on
        parts.append(part)
    return replace(message, content=tuple(parts)) if changed else message


def _unforced(request: ChatRequest) -> ChatRequest:
    """The request for the next turn: who had to call once need not call for ever."""
    choice = request.tool_choice
    if choice is None or not (choice.mode in {"required", "named"} or choice.forced):
        return request
    return replace(request, tool_choice=ToolChoice("auto", parallel=choice.parallel))
