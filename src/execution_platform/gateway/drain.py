"""The end of a process: how far it has come, and what is still allowed.

After the first signal readiness is red, new connections are accepted for `accept_seconds`, answers say
`connection: close`, and what is under way runs to its end. After `soft_seconds` work that can be taken up
elsewhere puts itself down; after `hard_seconds` the rest is ended with the caller's dialect's error. A second
signal leaves `fast_seconds`.
"""

import time
from collections.abc import Callable

from execution_platform.config.values import DrainLimits


class Drain:
    """Asked by whoever serves; driven by the server's signals and its clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._limits = DrainLimits()
        self._begun: float | None = None
        self._ends: float | None = None
        self.ended = False
        """What still runs is being ended now."""

    def signal(self, limits: DrainLimits) -> None:
        """A signal to end: the first begins the drain, any later one shortens it."""
        now = self._clock()
        if self._begun is None:
            self._begun, self._limits, self._ends = now, limits, now + limits.hard_seconds
        elif self._ends is not None:
            self._ends = min(self._ends, now + self._limits.fast_seconds)
            self._begun = min(self._begun, now - self._limits.accept_seconds)

    @property
    def begun(self) -> bool:
        """Whether the process is on its way out."""
        return self._begun is not None

    @property
    def accepts(self) -> bool:
        """Whether new connections are still taken."""
        return self._begun is None or self._clock() < self._begun + self._limits.accept_seconds

    @property
    def puts_down(self) -> bool:
        """Whether work that can be taken up elsewhere should stop at its next step."""
        return self._begun is not None and self._clock() >= self._begun + self._limits.soft_seconds

    @property
    def is_over(self) -> bool:
        """Whether the time of what still runs is up."""
        return self._ends is not None and self._clock() >= self._ends
