"""The answers of a run's turns as one answer: begun once, numbered through, ended once.

Where the caller's dialect has no place for tools that the platform ran, their calls and results are left out: a caller that sees
a call takes it for one it has to run. What a thought was signed with is left out there too, because it signs a place in a
conversation that the caller does not have. The caller's own calls wait there for the end of their turn: only then is it known
whether the platform has worked behind them, and their ids say so (see `aside`).
"""

from collections.abc import Sequence
from dataclasses import replace

from execution_platform.runtime.agent.aside import marked, token
from execution_platform.runtime.agent.told import Note, Told
from execution_platform.spi.events import (
    Event,
    Finished,
    PartDelta,
    PartFinished,
    PartStarted,
    SignatureDelta,
    Started,
    TextDelta,
    UsageReported,
)
from execution_platform.spi.parts import Part, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from execution_platform.spi.response import Finish
from execution_platform.spi.usage import Usage

_CALLS = frozenset({"function", "custom"})


class Splice:
    """One stream of one caller. `theirs` are the tools that are the caller's own to run, whose calls alone it sees; None shows all."""

    def __init__(self, theirs: frozenset[str] | None = None) -> None:
        self._theirs = theirs
        self._begun = False
        self._next = 0
        self._numbers: dict[int, int | None] = {}
        self._last = ""
        """The end of the text that was shown last."""
        self._is_fresh = False
        """Whether this turn has shown no text yet."""
        self._held: dict[int, list[PartStarted | PartDelta | PartFinished]] = {}
        """Calls of the caller's own in this turn, by their index."""
        self._has_worked = False
        """Whether the platform has run a call that the caller does not see."""
        self.token = token() if theirs is not None else ""
        self.marked: list[str] = []
        """The ids that the caller's own calls were given, in order; none where the platform has not worked."""

    def turn(self) -> None:
        """A new answer begins."""
        self._numbers = {}
        self._held = {}
        self._is_fresh = True

    def feed(self, batch: Sequence[Told]) -> list[Told]:
        """What the caller gets of a batch."""
        out: list[Told] = []
        for event in batch:
            match event:
                case Started():
                    if not self._begun:
                        self._begun = True
                        out.append(event)
                case PartStarted() | PartDelta() | PartFinished():
                    if not self._waits(event):
                        self._part(event, out)
                case Finished():
                    self._release(out)
                case UsageReported():
                    pass
                case _:
                    out.append(event)
        return out

    def result(self, part: ToolResultPart) -> list[Told]:
        """The result of a call."""
        if self._theirs is not None:
            return []
        number = self._new()
        return [PartStarted(number, part), PartFinished(number)]

    def end(self, finish: Finish, usage: Usage | None) -> list[Event]:
        """The end of the whole answer."""
        begun: list[Event] = [] if self._begun else [Started()]
        self._begun = True
        reported: list[Event] = [] if usage is None else [UsageReported(usage)]
        return [*begun, *reported, Finished(finish)]

    def _waits(self, event: PartStarted | PartDelta | PartFinished) -> bool:
        """Whether it belongs to a call of the caller's own, which waits for the end of the turn."""
        if self._theirs is None or event.choice:
            return False
        if isinstance(event, PartStarted) and isinstance(event.part, ToolCallPart) and event.part.kind in _CALLS:
            if event.part.name not in self._theirs:
                self._has_worked = True
                return False
            self._held[event.index] = []
        held = self._held.get(event.index)
        if held is None:
            return False
        held.append(event)
        return True

    def _release(self, out: list[Told]) -> None:
        """The turn is over: show the calls that waited."""
        held, self._held = self._held, {}
        for events in held.values():
            name = ""
            if self._has_worked:
                name = marked(self.token, len(self.marked))
                self.marked.append(name)
            for event in events:
                self._part(_under(event, name) if name else event, out)

    def _new(self) -> int:
        self._next += 1
        return self._next - 1

    def _part(self, event: PartStarted | PartDelta | PartFinished, out: list[Told]) -> None:
        if event.choice:
            return
        if isinstance(event, PartStarted):
            self._numbers[event.index] = None if self._is_hidden(event.part) else self._new()
        number = self._numbers[event.index]
        if number is None:
            return
        if isinstance(event, PartStarted) and isinstance(event.part, TextPart):
            self._apart(number, event, out)
            return
        if isinstance(event, PartDelta):
            if isinstance(event.delta, SignatureDelta) and self._theirs is not None:
                return
            if isinstance(event.delta, TextDelta):
                self._last = event.delta.text or self._last
        if isinstance(event, PartFinished) and event.part is not None and self._theirs is not None:
            out.append(PartFinished(number, replace(event.part, signature=None)))
            return
        out.append(replace(event, index=number))

    def _apart(self, number: int, event: PartStarted, out: list[Told]) -> None:
        """A text begins; from that of an earlier turn it is set apart by an empty line."""
        out.append(replace(event, index=number))
        if self._is_fresh and self._last and not self._last.endswith("\n"):
            out.append(PartDelta(number, TextDelta("\n\n")))
        self._is_fresh = False
        if isinstance(event.part, TextPart):
            self._last = event.part.text or self._last

    def _is_hidden(self, part: Part) -> bool:
        if self._theirs is None:
            return False
        if isinstance(part, ToolCallPart):
            return part.kind in _CALLS and part.name not in self._theirs
        return isinstance(part, ThinkingPart) and part.redacted


def _under(event: PartStarted | PartDelta | PartFinished, name: str) -> PartStarted | PartDelta | PartFinished:
    """An event of a call, whose id is `name` from now on."""
    if isinstance(event, PartDelta) or not isinstance(event.part, ToolCallPart):
        return event
    return replace(event, part=replace(event.part, call_id=name, synthetic_id=False))


def shown(batch: Sequence[Told]) -> list[Event]:
    """The events among what is told."""
    return [event for event in batch if not isinstance(event, Note)]
