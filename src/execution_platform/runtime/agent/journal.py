"""What a run must remember to go on after a crash without doing anything twice (A3).

Theory of operation
-------------------
An answer of a model is written down before any of its calls run; a call that could change something is written down (its intent)
before it runs, and its result after. So after a crash every call is in one of three states: it has a result, which stands; it has
neither intent nor result, so it never began, and may; or it has an intent without a result. Then nobody knows whether it took
effect. A tool that says that running it again does no harm (`repeatable`: reads, and tools that heed the call's id) is run again;
any other call is answered with `outcome_unknown`, and the model and the caller see that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from execution_platform.spi.messages import Message
from execution_platform.spi.usage import Usage
from execution_platform.tool_bridge.bridge import Done


@dataclass(frozen=True, slots=True)
class PastTurn:
    """A turn as the journal has it."""

    message: Message
    finish: str
    usage: Usage | None = None
    intents: frozenset[int] = frozenset()
    """Calls that may have begun, by their place in the turn."""
    results: Mapping[int, Done] = field(default_factory=dict[int, Done])


@dataclass(frozen=True, slots=True)
class Place:
    """A turn of an agent of a run: `path` is empty for the first agent, and names the call that made it for others."""

    path: str
    turn: int


class Journal(Protocol):
    """The memory of one run. Every method but `past` is durable when it returns. Raises `DatabaseUnavailable`, `RunLost`."""

    def past(self, path: str) -> Sequence[PastTurn]:
        """The turns an agent had before the crash."""
        ...

    async def turn(self, place: Place, message: Message, finish: str, usage: Usage | None) -> None:
        """A model has answered."""
        ...

    async def intent(self, place: Place, index: int) -> None:
        """A call is about to run that must not run twice."""
        ...

    async def results(self, place: Place, done: Mapping[int, Done]) -> None:
        """Calls have been answered."""
        ...


class NullJournal:
    """For a run that ends with its caller's connection: nothing resumes it, so nothing is kept."""

    def past(self, path: str) -> Sequence[PastTurn]:
        """Nothing."""
        del path
        return ()

    async def turn(self, place: Place, message: Message, finish: str, usage: Usage | None) -> None:
        """Not kept."""

    async def intent(self, place: Place, index: int) -> None:
        """Not kept."""

    async def results(self, place: Place, done: Mapping[int, Done]) -> None:
        """Not kept."""
