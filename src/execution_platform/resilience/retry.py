"""What is tried next: the one decision about retries and failover, as a function of facts.

An untried target comes first, in the order of the chain. Where none is left, the target that may be asked soonest is asked
again: when the error table allows it, its tries and the retry budget are not used up, its breaker is closed, and the pause ends
before the deadline and within the longest pause. A wait that the provider asked for is never cut short: one that is too long
rules the target out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

import msgspec

from execution_platform.exceptions import ExecutionPlatformError, ProviderError
from execution_platform.resilience.backoff import pause
from execution_platform.resilience.board import Deployment, Refusal

Why = Literal["first", "retry", "failover", "last_resort", "hedge", "continuation"]
"""Why a try was made."""

_SPREAD = 0.1
"""Share of a wait by which those who wait for the same moment are spread."""
_MARGIN = 0.002
"""Seconds by which a timer may fire early."""


@dataclass(slots=True, eq=False)
class Option:
    """One target of a chain in one request."""

    deployment: Deployment
    tries: int = 0
    error: ExecutionPlatformError | None = None
    """Of the newest try."""
    refused: Refusal | None = None
    """Why it was passed over, once it was."""
    dropped: bool = False
    """Not asked again in this request."""

    def is_fresh(self, now: float) -> bool:
        """Whether it was not tried yet and may be at `now`."""
        return not self.tries and not self.dropped and self.deployment.refusal(now) is None


class Step(msgspec.Struct, frozen=True):
    """The next try: which option, after how many seconds, and why."""

    option: Option
    after: float
    why: Why


class Bounds(NamedTuple):
    """What is left of a request's allowance."""

    tries: int
    seconds: float
    """Until the caller's deadline."""
    repeats: bool = True
    """Whether a target may be asked again; False when the client retries by itself."""


def next_step(
    options: Sequence[Option], bounds: Bounds, *, now: float, affords: Callable[[Option], bool], rng: Random
) -> Step | None:
    """The next try of a request; None to give up."""
    if bounds.tries <= 0 or bounds.seconds <= 0:
        return None
    for option in options:
        if option.is_fresh(now):
            return Step(option, 0.0, "first" if option is options[0] else "failover")
    if not bounds.repeats:
        return None
    best: Step | None = None
    for option in options:
        after = _again(option, now, rng)
        soonest = best is None or after < best.after
        if after < bounds.seconds and soonest and affords(option):
            best = Step(option, after, "retry")
    return best


def last_resort(options: Sequence[Option], bounds: Bounds, *, now: float) -> Option | None:
    """Of the untried targets behind an open breaker the one that is free soonest; None without one."""
    if bounds.tries <= 0 or bounds.seconds <= 0:
        return None
    shut = [
        option
        for option in options
        if not option.tries and not option.dropped and option.deployment.refusal(now) == "breaker_open"
    ]
    return min(shut, key=lambda option: option.deployment.wait(now), default=None)


def _again(option: Option, now: float, rng: Random) -> float:
    """Seconds until `option` is asked again; infinity when it is not."""
    deployment, error = option.deployment, option.error
    policy = deployment.upstream.policy
    never = float("inf")
    if option.dropped or not 0 < option.tries < policy.attempts:
        return never
    if not isinstance(error, ProviderError) or not error.retryable or deployment.breaker.wait(now):
        return never
    asked = deployment.cooldown.wait(now)
    if asked > policy.max_seconds:
        return never
    drawn = pause(option.tries, policy.base_seconds, policy.max_seconds, rng)
    return max(drawn, asked * (1 + _SPREAD * rng.random()) + _MARGIN) if asked else drawn
