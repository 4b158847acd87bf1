"""The circuit breaker of one deployment.

Theory of operation
-------------------
Closed: every try passes; results fill a rolling window of 30 s. It opens when `failure_threshold` failures are in the window
and at least half of its samples failed, or when twice as many failures follow one another: a busy deployment that dies
would otherwise need as many failures as it had successes.

Open: nothing passes. The time grows with the outage, an eighth of what it has lasted, from 5 s to `open_seconds`, shortened by
jitter so that replicas do not probe together. After an outage of a minute the next probe is never more than 8 s away.

Half open: one probe passes; when it succeeds every tenth try does, and after 5 successes or 2 s without a failure all do. A failure
opens again.

A result is reported with the permit of its try. Permits of an earlier state are void, so a call that began before the
outage cannot end or prolong it. What counts is the time to first content, a refused connection or a status; how an answer
ends minutes later says nothing about the next one's chances.
"""

from collections.abc import Callable
from random import Random
from typing import Literal

from execution_platform.resilience.window import Window

BreakerState = Literal["closed", "open", "half_open"]
Changed = Callable[[BreakerState, float], None]
"""Told the new state and, if open, the monotonic time of the next probe."""

_WINDOW = 30.0
_SHARE_OF_SAMPLES = 0.5
_STREAK = 2
_SHORTEST_OPEN = 5.0
_SHARE_OF_OUTAGE = 1 / 8
_LEAST_JITTER = 0.75
_EVERY = 10
_ENOUGH = 5
_SETTLED = 2.0


class Breaker:
    """A breaker whose times are monotonic seconds given by the caller; 0 is no permit."""

    __slots__ = (
        "_changed",
        "_failed_since",
        "_most_open",
        "_offered",
        "_passed",
        "_passed_at",
        "_permit",
        "_probing",
        "_rng",
        "_state",
        "_streak",
        "_threshold",
        "_until",
        "_window",
    )

    def __init__(
        self,
        *,
        failure_threshold: int = 5,
        open_seconds: float = 60.0,
        rng: Random | None = None,
        changed: Changed | None = None,
    ) -> None:
        self._threshold = failure_threshold
        self._most_open = open_seconds
        self._rng = rng or Random()  # noqa: S311 - load is spread, nothing is kept secret
        self._changed = changed
        self._window = Window(_WINDOW)
        self._state: BreakerState = "closed"
        self._permit = 1
        self._streak = 0
        self._until = 0.0
        self._failed_since = 0.0
        self._probing = False
        self._passed = 0
        self._passed_at = 0.0
        self._offered = 0

    def limits(self, *, failure_threshold: int, open_seconds: float) -> None:
        """Use other limits from now on."""
        self._threshold = failure_threshold
        self._most_open = open_seconds

    def state(self, now: float) -> BreakerState:
        """The state to show at `now`: an open breaker whose time is over is half open."""
        return "half_open" if self._state == "open" and now >= self._until else self._state

    @property
    def pristine(self) -> bool:
        """Closed, and without a failure of late."""
        return self._state == "closed" and not self._streak

    def wait(self, now: float) -> float:
        """Seconds until a try may pass; 0 when one may."""
        if self._state == "open":
            return max(0.0, self._until - now)
        # A probe is under way: it decides within a moment, or it is followed by another one.
        return 1.0 if self._state == "half_open" and not self._would_pass(now) else 0.0

    def allow(self, now: float) -> int:
        """A permit for one try; 0 when none may pass. A permit must be given back by `succeed`, `fail` or `void`."""
        if self._state == "closed":
            return self._permit
        if self._state == "open":
            if now < self._until:
                return 0
            self._half_open()
        if not self._passed:
            if self._probing:
                return 0
            self._probing = True
            return self._permit
        if now - self._passed_at >= _SETTLED:
            self._close()
            return self._permit
        if self._offered % _EVERY:
            return 0
        self._offered += 1
        return self._permit

    def turned_away(self) -> None:
        """A request was not let through: one more of the ten of which one is."""
        if self._passed:
            self._offered += 1

    def force(self) -> int:
        """A permit in spite of the state, for the try of last resort."""
        return self._permit

    def succeed(self, permit: int, now: float) -> None:
        """The try's first content came in time."""
        if permit != self._permit:
            return
        if self._state == "closed":
            self._streak = 0
            self._window.add(now, samples=1)
            return
        if self._state == "open":  # A try of last resort: the deployment answers again.
            self._half_open()
        self._probing = False
        self._passed += 1
        if self._passed == 1:
            self._passed_at = now
            self._offered = 0
        if self._passed > _ENOUGH:
            self._close()

    def answered(self, permit: int, now: float) -> None:
        """The try was refused by a deployment that works: the end of an outage, and nothing to count without one."""
        if self._state != "closed":
            self.succeed(permit, now)

    def fail(self, permit: int, now: float) -> None:
        """The try failed in a way that counts, or its first content was late."""
        if permit != self._permit or self._state == "open":
            return
        if self._state == "half_open":
            self._open(now)
            return
        self._streak += 1
        window = self._window
        window.add(now, samples=1, marked=1)
        half = window.marked >= window.samples * _SHARE_OF_SAMPLES
        if window.marked >= self._threshold and (half or self._streak >= _STREAK * self._threshold):
            self._failed_since = now
            self._open(now)

    def void(self, permit: int) -> None:
        """The try ended without a verdict: cancelled, or refused for reasons of our own."""
        if permit == self._permit:
            self._probing = False

    def hold(self, until: float, now: float) -> None:
        """Open until `until` because another replica says so."""
        if self._state != "open":
            self._failed_since = now
            self._enter("open")
        self._until = max(self._until, until)

    def release(self) -> None:
        """Close because another replica says so."""
        if self._state != "closed":
            self._enter("closed")
            self._fresh()

    def _would_pass(self, now: float) -> bool:
        if not self._passed:
            return not self._probing
        return now - self._passed_at >= _SETTLED or not self._offered % _EVERY

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._permit += 1
        self._probing = False
        self._passed = self._offered = 0

    def _open(self, now: float) -> None:
        lasted = now - self._failed_since
        longest = min(max(_SHORTEST_OPEN, lasted * _SHARE_OF_OUTAGE), self._most_open)
        self._until = now + longest * self._rng.uniform(_LEAST_JITTER, 1.0)
        self._enter("open")
        self._tell()

    def _half_open(self) -> None:
        self._enter("half_open")
        self._tell()

    def _close(self) -> None:
        self._enter("closed")
        self._fresh()
        self._tell()

    def _fresh(self) -> None:
        self._window.clear()
        self._streak = 0
        self._until = 0.0

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed(self._state, self._until)
