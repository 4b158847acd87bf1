"""What is known of every deployment: breaker, cool-down, bulkhead. One board per process; it outlives snapshots.

The seam for replicas: whoever is in `Board.on_change` is told of every state that others should know, and brings what
others say by `Board.apply`, which tells nobody. Times cross the seam as seconds since the epoch.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple, Protocol

from execution_platform.resilience.breaker import Breaker, BreakerState
from execution_platform.resilience.budget import RetryBudget
from execution_platform.resilience.bulkhead import Bulkhead
from execution_platform.resilience.cooldown import Cooldown
from execution_platform.resilience.quantile import Quantile

Refusal = Literal["breaker_open", "cooling_down", "saturated"]
"""Why a deployment is not asked now."""
SharedState = Literal["closed", "open", "half_open", "cooling"]
Clock = Callable[[], float]

_MOST = 4096
_RATION = 1.0
"""Seconds between two tries of last resort at one deployment."""


class Key(NamedTuple):
    """A deployment: an upstream's name and one of its models."""

    upstream: str
    model: str


class ChangeListener(Protocol):
    """Told of states that other replicas should know."""

    def __call__(self, key: Key, state: SharedState, until: float) -> None:
        """`key` is in `state`; `until` is the end of an open breaker or a cool-down since the epoch, else 0."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamPolicy:
    """The limits of one upstream. `identity` changes with its address and credential: what was known is then void."""

    concurrency: int = 1000
    attempts: int = 3
    """Most tries of one request at one of its deployments."""
    base_seconds: float = 1.0
    max_seconds: float = 16.0
    failure_threshold: int = 5
    open_seconds: float = 60.0
    identity: str = ""


class Upstream:
    """What the deployments of one upstream share."""

    __slots__ = ("bulkhead", "name", "policy")

    def __init__(self, name: str, policy: UpstreamPolicy) -> None:
        self.name = name
        self.policy = policy
        self.bulkhead = Bulkhead(policy.concurrency)


class Deployment:
    """One model at one upstream."""

    __slots__ = ("_rationed_at", "breaker", "cooldown", "first_content", "key", "upstream", "whole")

    def __init__(self, key: Key, upstream: Upstream, breaker: Breaker) -> None:
        self.key = key
        self.upstream = upstream
        self.breaker = breaker
        self.cooldown = Cooldown()
        self.first_content = Quantile()
        """Seconds to the first content of streams."""
        self.whole = Quantile()
        """Seconds to a whole answer."""
        self._rationed_at = float("-inf")

    def refusal(self, now: float) -> Refusal | None:
        """Why it would not be asked at `now`; None when it would. Changes nothing."""
        if self.cooldown.until > now:
            return "cooling_down"
        return "breaker_open" if self.breaker.wait(now) else None

    def admit(self, now: float) -> int:
        """The breaker's permit for one try; 0 when it is not asked now."""
        return 0 if self.cooldown.until > now else self.breaker.allow(now)

    def wait(self, now: float) -> float:
        """Seconds until it may be asked; 0 when it may."""
        return max(self.cooldown.wait(now), self.breaker.wait(now))

    def ration(self, now: float) -> int:
        """The permit for a try of last resort: one a second, never within a cool-down; 0 when there is none."""
        if self.cooldown.until > now or now - self._rationed_at < _RATION:
            return 0
        self._rationed_at = now
        return self.breaker.force()

    def idle(self, now: float) -> bool:
        """Whether nothing that matters would be lost with it."""
        return self.breaker.pristine and self.cooldown.until <= now


class DeploymentView(NamedTuple):
    """A deployment as it is shown."""

    key: Key
    breaker: BreakerState
    retry_in: float
    """Seconds until an open breaker lets a probe through; 0 otherwise."""
    cooling: float
    """Seconds of cool-down that are left; 0 otherwise."""


class Board:
    """All deployments of one process by name. Bounded: the longest known of those without a state are forgotten."""

    def __init__(
        self,
        policies: Mapping[str, UpstreamPolicy] | None = None,
        *,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        rng: Random | None = None,
        most: int = _MOST,
    ) -> None:
        self.clock = clock
        self.rng = rng or Random()  # noqa: S311 - load is spread, nothing is kept secret
        self.retries = RetryBudget(clock)
        self.on_change: list[ChangeListener] = []
        """Told of every change that was learned here, in this order."""
        self._wall = wall
        self._most = most
        self._upstreams: dict[str, Upstream] = {}
        self._deployments: dict[tuple[str, str], Deployment] = {}
        self.configure(policies or {})

    def configure(self, policies: Mapping[str, UpstreamPolicy]) -> None:
        """Use these limits from now on; what was learned stays where an upstream is still the same one."""
        for name, policy in policies.items():
            known = self._upstreams.get(name)
            if known is None:
                self._upstreams[name] = Upstream(name, policy)
                continue
            if known.policy.identity != policy.identity:
                self._forget(name)
            if known.policy.concurrency != policy.concurrency:
                known.bulkhead.resize(policy.concurrency)
            known.policy = policy
        for deployment in self._deployments.values():
            policy = deployment.upstream.policy
            deployment.breaker.limits(failure_threshold=policy.failure_threshold, open_seconds=policy.open_seconds)

    def deployment(self, upstream: str, model: str) -> Deployment:
        """The deployment of this name, entered when it is first asked for."""
        return self._deployments.get((upstream, model)) or self._enter(Key(upstream, model))

    def upstream(self, name: str) -> Upstream:
        """The upstream of this name; one that is not configured has the usual limits."""
        found = self._upstreams.get(name)
        if found is None:
            found = self._upstreams[name] = Upstream(name, UpstreamPolicy())
        return found

    def apply(self, key: tuple[str, str], state: SharedState, until: float) -> None:
        """Take over what another replica knows. `until` is in seconds since the epoch."""
        now = self.clock()
        left = until - self._wall()
        deployment = self.deployment(*key)
        if state == "cooling":
            deployment.cooldown.extend(now + left)
        elif state == "open" and left > 0:
            deployment.breaker.hold(now + left, now)
        elif state == "closed":
            deployment.breaker.release()

    def cool(self, deployment: Deployment, seconds: float) -> None:
        """Leave `deployment` alone for `seconds`, since its provider says so."""
        now = self.clock()
        if deployment.cooldown.cool(seconds, now):
            self._tell(deployment.key, "cooling", deployment.cooldown.until)

    def views(self) -> list[DeploymentView]:
        """Every deployment that was asked, as it is now."""
        now = self.clock()
        return [
            DeploymentView(
                found.key,
                state := found.breaker.state(now),
                found.breaker.wait(now) if state == "open" else 0.0,
                found.cooldown.wait(now),
            )
            for found in self._deployments.values()
        ]

    def _enter(self, key: Key) -> Deployment:
        if len(self._deployments) >= self._most:
            self._make_room()
        upstream = self.upstream(key.upstream)
        policy = upstream.policy

        def changed(state: BreakerState, until: float) -> None:
            self._tell(key, state, until)

        breaker = Breaker(
            failure_threshold=policy.failure_threshold,
            open_seconds=policy.open_seconds,
            rng=self.rng,
            changed=changed,
        )
        entered = self._deployments[key] = Deployment(key, upstream, breaker)
        return entered

    def _make_room(self) -> None:
        now = self.clock()
        victim = next((key for key, found in self._deployments.items() if found.idle(now)), None)
        del self._deployments[victim if victim is not None else next(iter(self._deployments))]

    def _forget(self, upstream: str) -> None:
        for key in [key for key in self._deployments if key[0] == upstream]:
            del self._deployments[key]

    def _tell(self, key: Key, state: SharedState, until: float) -> None:
        if self.on_change:
            end = self._wall() + until - self.clock() if until else 0.0
            for listener in self.on_change:
                listener(key, state, end)
