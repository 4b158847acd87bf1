"""How long an upstream may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to connect, to the first content of a stream, between two reads of it, and in all.

    An answer that comes whole is only held to `connect` and `total`: its model thinks before the head of the answer is sent.
    A stream may be silent for `first_token` or `idle` seconds, whichever is more, before its head, and for `idle` after it;
    who has another target to turn to stops waiting for the first content earlier.
    """

    connect: float = 3.0
    first_token: float = 20.0
    idle: float = 60.0
    total: float = 600.0

    def __post_init__(self) -> None:
        for name in ("connect", "first_token", "idle", "total"):
            if not getattr(self, name) > 0:
                raise ValueError(f"timeouts.{name} is {getattr(self, name)!r}; give a number of seconds above 0")
