"""Active probes: the providers that ask for it are looked at now and then, whether or not anybody calls them.

A probe is a provider's listing of its models, by the same transport and credential as its calls, with limits of its own. It
is counted nowhere as traffic and decides nothing about routing: it tells `/v1/health/providers`, the metrics and the log.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from execution_platform.config.values import Probe, ProviderConfig
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.observability.logging import Tell
from execution_platform.observability.metrics import Metrics
from execution_platform.providers.base import WireProvider
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.transport.timeouts import Timeouts

_JITTER = 0.2
_SOON = 1.0
"""The first look comes within this many seconds."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the last probe of a provider found."""

    up: bool
    at: float
    """Seconds since the epoch."""
    seconds: float
    error: str | None = None
    """The kind of the error."""
    models: dict[str, bool] = field(default_factory=dict[str, bool])
    """Configured models, and whether the provider lists them; empty where its listing does not speak of them."""

    def as_json(self) -> dict[str, object]:
        """The finding for people."""
        return {
            "up": self.up,
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.at)),
            "seconds": round(self.seconds, 4),
            "error": self.error,
            "models": {name: "listed" if listed else "not listed" for name, listed in self.models.items()},
        }


@dataclass(frozen=True, slots=True)
class _Looked:
    """A provider that is being probed."""

    provider: WireProvider
    config: ProviderConfig
    task: asyncio.Task[None]


class Probes:
    """Probes the providers of the snapshot that is served. `follow` is told of every new one."""

    def __init__(
        self,
        metrics: Metrics,
        tell: Tell,
        *,
        rng: Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._metrics = metrics
        self._tell = tell
        self._rng = rng or Random()  # noqa: S311 - spreads load, keeps nothing secret
        self._sleep = sleep
        self._looked: dict[str, _Looked] = {}
        self._findings: dict[str, Finding] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def finding(self, name: str) -> Finding | None:
        """What the last probe of a provider found; None when there was none."""
        return self._findings.get(name)

    def follow(self, snapshot: Snapshot) -> None:
        """Probe the providers of `snapshot` from now on, and no others."""
        for name, looked in tuple(self._looked.items()):
            if snapshot.providers.get(name) is not looked.provider:
                self._forget(name, looked)
        for name, config in snapshot.config.providers.items():
            provider = snapshot.providers.get(name)
            if config.probe is not None and isinstance(provider, WireProvider) and name not in self._looked:
                task = asyncio.get_running_loop().create_task(self._go_on(provider, config, config.probe))
                self._looked[name] = _Looked(provider, config, task)

    def _forget(self, name: str, looked: _Looked) -> None:
        looked.task.cancel()
        self._ending.add(looked.task)
        looked.task.add_done_callback(self._ending.discard)
        del self._looked[name]
        if self._findings.pop(name, None) is not None:
            self._metrics.probes.up.remove(name)
            for model in looked.config.models:
                self._metrics.probes.listed.remove(name, model)

    async def _go_on(self, provider: WireProvider, config: ProviderConfig, probe: Probe) -> None:
        await self._sleep(self._rng.uniform(0, min(_SOON, probe.interval_seconds)))
        while True:
            self._note(config, await look(provider, config, probe))
            spread = self._rng.uniform(1 - _JITTER, 1 + _JITTER)
            await self._sleep(probe.interval_seconds * spread)

    def _note(self, config: ProviderConfig, finding: Finding) -> None:
        name, metrics = config.name, self._metrics
        before = self._findings.get(name)
        self._findings[name] = finding
        metrics.probes.made.labels(name, finding.error or "ok").inc()
        metrics.probes.seconds.labels(name).observe(finding.seconds)
        metrics.probes.up.labels(name).set(finding.up)
        for model in config.models:
            # A model of which nothing is known is as well as its provider.
            metrics.probes.listed.labels(name, model).set(finding.up and finding.models.get(model, True))
        if before is not None and before.up != finding.up:
            event, level = ("provider_up", "info") if finding.up else ("provider_down", "warning")
            self._tell(event, level, provider=name, error=finding.error)

    async def aclose(self) -> None:
        """Probe nothing any more."""
        tasks = [*self._ending, *(looked.task for looked in self._looked.values())]
        self._looked.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def look(provider: WireProvider, config: ProviderConfig, probe: Probe) -> Finding:
    """Probe one provider once. Every failure is a finding."""
    began, at = time.perf_counter(), time.time()
    limit = probe.timeout_seconds
    timeouts = Timeouts(connect=limit, first_token=limit, idle=limit, total=limit)
    try:
        async with asyncio.timeout(limit):
            listed = await provider.list_models(timeouts, probe.path)
    except ExecutionPlatformError as error:
        return Finding(up=False, at=at, seconds=time.perf_counter() - began, error=error.kind.value)
    except TimeoutError:
        return Finding(up=False, at=at, seconds=time.perf_counter() - began, error="timeout")
    names = frozenset(listed)
    told = {model: model in names for model in config.models}
    # A listing that names none of them speaks of other names: of base models where ours are deployments, say.
    return Finding(up=True, at=at, seconds=time.perf_counter() - began, models=told if any(told.values()) else {})
