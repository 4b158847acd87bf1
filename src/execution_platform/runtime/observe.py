"""What is noted while an answer passes: usage, finish, ids, price; and what the stash must keep."""

from collections.abc import Sequence
from dataclasses import replace

from execution_platform._failpoint import ARMED, hit
from execution_platform.catalog.prices import Quote
from execution_platform.router.attempt import Attempt
from execution_platform.router.target import Target
from execution_platform.runtime.call import Call
from execution_platform.spi.assemble import Accumulator
from execution_platform.spi.events import (
    Event,
    Failed,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    Started,
    TextDelta,
    UsageReported,
)
from execution_platform.spi.parts import Part, ThinkingPart, ToolCallPart
from execution_platform.spi.response import ChatResponse
from execution_platform.spi.usage import Cost, Usage


class Watch:
    """Notes what one translated answer tells, and prices its usage for dialects that show a cost."""

    def __init__(self, call: Call, attempt: Attempt) -> None:
        self._call = call
        self._metered = attempt.metered
        self._attempt = attempt
        self._parts: dict[int, _Building] = {}

    def turn_to(self, attempt: Attempt) -> None:
        """What comes from now on is another target's."""
        self._metered = attempt.metered
        self._attempt = attempt

    def response(self, response: ChatResponse) -> ChatResponse:
        """A whole answer, noted; with its cost put into the usage."""
        metered = self._metered
        metered.id, metered.model = response.id, response.model
        metered.finish = response.finish
        metered.committed = metered.finished = True
        self._call.snapshot.stash.keep(self._call.principal.tenant, response.message.parts)
        if response.usage is None:
            return response
        metered.usage = response.usage
        return replace(response, usage=self._priced(response.usage))

    def events(self, events: Sequence[Event]) -> Sequence[Event]:
        """A batch of events, noted. Usage gets its cost; a failure becomes the call's error."""
        metered = self._metered
        for event in events:
            match event:
                case PartDelta():
                    metered.deltas += 1
                    if isinstance(event.delta, TextDelta):
                        metered.characters += len(event.delta.text)
                    self._grow(event)
                case PartStarted(part=ThinkingPart() | ToolCallPart() as part):
                    self._parts[event.index] = _Building(part)
                case PartFinished():
                    self._finish(event)
                case UsageReported():
                    metered.usage = event.usage
                    event.usage = self._priced(event.usage)
                case Finished():
                    metered.finish, metered.finished = event.finish, True
                    self._keep()
                case Started():
                    metered.id, metered.model, metered.committed = event.id, event.model, True
                    metered.usage = event.usage or metered.usage
                case Failed():
                    self._call.outcome.error = self._call.snapshot.redactor.error(event.error)
                case _:
                    pass
        return events

    def _grow(self, event: PartDelta) -> None:
        building = self._parts.get(event.index)
        if building is not None:
            building.deltas.append(event)

    def _finish(self, event: PartFinished) -> None:
        building = self._parts.get(event.index)
        if building is not None:
            building.finished = event

    def _keep(self) -> None:
        """Give the stash the thinking and calls of this answer, if any of them is signed."""
        parts = [building.part() for _, building in sorted(self._parts.items())]
        self._parts = {}
        if any(part.signature is not None for part in parts):
            self._call.snapshot.stash.keep(self._call.principal.tenant, parts)

    def _priced(self, usage: Usage) -> Usage:
        cost = _cost(self._call, self._attempt.quote, self._attempt.target, usage)
        self._call.outcome.cost = cost
        return usage if cost is None else replace(usage, cost_usd=float(cost.usd))


class _Building:
    """A thinking part or call while it streams; put together only if the stash needs it."""

    __slots__ = ("deltas", "finished", "head")

    def __init__(self, head: Part) -> None:
        self.head = head
        self.deltas: list[PartDelta] = []
        self.finished: PartFinished | None = None

    def part(self) -> Part:
        accumulator = Accumulator()
        accumulator.feed(Started())
        accumulator.feed(PartStarted(0, self.head))
        for delta in self.deltas:
            accumulator.feed(PartDelta(0, delta.delta))
        accumulator.feed(PartFinished(0, self.finished.part if self.finished else None))
        return accumulator.part(0)


def settle(call: Call) -> None:
    """After the last byte: price what a passthrough answer used."""
    if ARMED:
        hit("kernel.before_settle")
    outcome = call.outcome
    if outcome.cost is None and outcome.usage is not None and outcome.target is not None:
        outcome.cost = _cost(call, outcome.quote, outcome.target, outcome.usage)


def _cost(call: Call, quote: Quote | None, target: Target, usage: Usage) -> Cost | None:
    """What `usage` costs at the price of the moment the request left; of now where nobody keeps books."""
    return call.snapshot.cost(target, usage) if quote is None else quote.cost(usage)
