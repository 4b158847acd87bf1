"""Which result answers which call, and the ids of calls that have none on the wire.

The wire's ids are optional: results belong to calls by id where there is one, else by name and order.
An id made here is deterministic, is marked by its prefix (a client of another dialect brings it back
without any other mark), and is never sent to a Gemini wire.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

SYNTHETIC: Final = "epc_"


@dataclass(frozen=True, slots=True)
class CallId:
    """A call's id, and whether it was made here."""

    id: str
    synthetic: bool


@dataclass(frozen=True, slots=True)
class _Pending:
    wire_id: str | None
    name: str
    call_id: str


class Calls:
    """The calls of one conversation or answer, in the order in which they are read."""

    __slots__ = ("_count", "_pending", "_seed", "_seen")

    def __init__(self, seed: str = "") -> None:
        self._seed = seed
        self._count = 0
        self._seen: set[str] = set()
        self._pending: list[_Pending] = []

    def call(self, wire_id: str | None, name: str) -> CallId:
        """The id of the next call; one that is missing or taken already is replaced."""
        self._count += 1
        if wire_id and wire_id not in self._seen:
            found = CallId(wire_id, synthetic=False)
        else:
            digest = hashlib.sha256(f"{self._seed}\n{self._count}\n{name}".encode("utf-8", "surrogatepass"))
            found = CallId(SYNTHETIC + digest.hexdigest()[:24], synthetic=True)
        self._seen.add(found.id)
        self._pending.append(_Pending(wire_id, name, found.id))
        return found

    def result(self, wire_id: str | None, name: str | None) -> str:
        """The id of the call that a result answers: by id, else the first open call of that name."""
        for index, pending in enumerate(self._pending):
            if pending.wire_id == wire_id if wire_id else pending.name == name:
                del self._pending[index]
                return pending.call_id
        return wire_id or SYNTHETIC + hashlib.sha256(f"result\n{name}".encode()).hexdigest()[:24]


def kept_id(given: str | None, call_id: str) -> str | None:
    """The wire's id where the call's own does not tell it: a duplicate, or one that looks made here."""
    return given if given and (given != call_id or given.startswith(SYNTHETIC)) else None


def wire_id(call_id: str, *, synthetic: bool = False) -> str | None:
    """The id as the wire gets it; None for one that was made here."""
    return None if synthetic or not call_id or call_id.startswith(SYNTHETIC) else call_id
