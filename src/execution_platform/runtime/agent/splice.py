"""The answers of a run's turns as one answer: begun once, numbered through, ended once.

Where the caller's dialect has no place for tools that the platform ran, their calls and results are left out: a caller that sees
a call takes it for one it has to run. What a thought was signed with is left out there too, because it signs a place in a
conversation that the caller does not have.
"""

from collections.abc import Sequence
from dataclasses import replace

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


class Splice:
    """One stream of one caller. `hidden` are the tools whose calls the caller does not see; None shows all."""

    def __init__(self, hidden: frozenset[str] | None = None) -> None:
        self._hidden = hidden
        self._begun = False
        self._next = 0
        self._numbers: dict[int, int | None] = {}
        self._last = ""
        """The end of the text that was shown last."""
        self._is_fresh = False
        """Whether this turn has shown no text yet."""

    def turn(self) -> None:
        """A new answer begins."""
        self._numbers = {}
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
                    self._part(event, out)
                case Finished() | UsageReported():
                    pass
                case _:
                    out.append(event)
        return out

    def result(self, part: ToolResultPart) -> list[Told]:
        """The result of a call."""
        if self._hidden is not None:
            return []
        number = self._new()
        return [PartStarted(number, part), PartFinished(number)]

    def end(self, finish: Finish, usage: Usage | None) -> list[Event]:
        """The end of the whole answer."""
        begun: list[Event] = [] if self._begun else [Started()]
        self._begun = True
        reported: list[Event] = [] if usage is None else [UsageReported(usage)]
        return [*begun, *reported, Finished(finish)]

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
            if isinstance(event.delta, SignatureDelta) and self._hidden is not None:
                return
            if isinstance(event.delta, TextDelta):
                self._last = event.delta.text or self._last
        if isinstance(event, PartFinished) and event.part is not None and self._hidden is not None:
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
        if self._hidden is None:
            return False
        if isinstance(part, ToolCallPart):
            return part.name in self._hidden
        return isinstance(part, ThinkingPart) and part.redacted


def shown(batch: Sequence[Told]) -> list[Event]:
    """The events among what is told."""
    return [event for event in batch if not isinstance(event, Note)]
