"""The targets in proportion to the machine they were set on.

A target in microseconds holds for one machine. Three yardsticks were measured there beside it: the bare proxy's whole answer and
stream, and the JSON work of the large request. Each is measured here too, so that a target can be read for this machine.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import bodies
import msgspec

UNARY: Final = "unary, 1 KB"
STREAM: Final = "stream of 53 frames"
JSON: Final = "487 KB of JSON decoded and encoded"


@dataclass(frozen=True)
class Yardstick:
    """What was measured when the targets were set, November 2026: the middle of the range, microseconds."""

    name: str
    there: float


_UNARY: Final = Yardstick(UNARY, 86.5)
_STREAM: Final = Yardstick(STREAM, 195.0)
_JSON: Final = Yardstick(JSON, 440.0)


@dataclass(frozen=True)
class Aim:
    """A target, in the unit of its row, and the yardstick that it grows and shrinks with."""

    row: str
    target: float
    by: Yardstick


AIMS: Final[Sequence[Aim]] = (
    # What a start, an import and a single call take is the processor's time for the same kind of work.
    Aim("import of router and spi", 150, _UNARY),
    Aim("start until the first answer", 1.5, _UNARY),
    Aim("added latency, 1 connection, p50", 0.5, _UNARY),
    Aim("added latency, 1 connection, p99", 2, _UNARY),
    Aim(UNARY, 150, _UNARY),
    Aim(STREAM, 300, _STREAM),
    Aim("stream, OpenAI client, Anthropic upstream", 600, _STREAM),
    Aim("487 KB request, same dialect, added p50", 1, _JSON),
    Aim("487 KB request, translated, added p50", 5, _JSON),
    Aim("retries, breaker, bulkhead; targets: 1", 15, _UNARY),
    Aim("retries, breaker, bulkhead; targets: 3", 15, _UNARY),
    Aim("money side; budgets: 0", 25, _UNARY),
    Aim("money side; budgets: 1", 25, _UNARY),
    Aim("money side; budgets: 3", 25, _UNARY),
)


@dataclass(frozen=True)
class Line:
    """One target as it is on this machine."""

    aim: Aim
    slower: float
    """How much longer the yardstick takes here than there."""
    measured: float

    @property
    def target(self) -> float:
        """What the target is here."""
        return self.aim.target * self.slower

    @property
    def is_met(self) -> bool:
        """Whether what was measured is within it."""
        return self.measured <= self.target


def json_microseconds() -> float:
    """CPU time to decode the large request and to encode it again."""
    body = bodies.large("gpt-4o-mini")
    decode, encode = msgspec.json.decode, msgspec.json.encode
    encode(decode(body))
    found: list[float] = []
    for _ in range(50):
        begun = time.process_time()
        encode(decode(body))
        found.append(time.process_time() - begun)
    return sorted(found)[len(found) // 2] * 1e6


def lines(measured: dict[str, float], yardsticks: dict[str, float]) -> list[Line]:
    """The targets whose row and whose yardstick were measured in this run."""
    return [
        Line(aim, yardsticks[aim.by.name] / aim.by.there, measured[aim.row])
        for aim in AIMS
        if aim.row in measured and aim.by.name in yardsticks
    ]
