"""What the board knows of upstreams, for people and for metrics."""

from collections.abc import Iterable, Mapping

from execution_platform.observability.metrics import Metrics
from execution_platform.resilience.board import DeploymentView
from execution_platform.resilience.breaker import BreakerState
from execution_platform.router.target import Target
from execution_platform.runtime.snapshot import Snapshot

_GRAVITY: Mapping[BreakerState, int] = {"closed": 0, "half_open": 1, "open": 2}
_WORST_FIRST: tuple[BreakerState, ...] = ("open", "half_open")


def deployments_by_provider(snapshot: Snapshot) -> dict[str, list[DeploymentView]]:
    """The deployments that were asked and are in the configuration; names that callers made up are not shown."""
    found: dict[str, list[DeploymentView]] = {}
    for view in snapshot.board.views():
        if snapshot.lists(Target(*view.key)):
            found.setdefault(view.key.upstream, []).append(view)
    return found


def worst_breaker(views: Iterable[DeploymentView]) -> BreakerState:
    """The state of a provider: that of its worst deployment."""
    states = {view.breaker for view in views}
    for state in _WORST_FIRST:
        if state in states:
            return state
    return "closed"


def deployment_view(view: DeploymentView) -> dict[str, object]:
    """One deployment as JSON; waits in seconds."""
    return {
        "model": view.key.model,
        "breaker": view.breaker,
        "retry_in": round(view.retry_in, 1),
        "cooling": round(view.cooling, 1),
    }


def show_upstreams(metrics: Metrics, snapshot: Snapshot) -> None:
    """Set the gauges of breakers, cool-downs and bulkheads to what they are now."""
    metrics.upstreams.breaker.clear()
    metrics.upstreams.cooling.clear()
    for views in deployments_by_provider(snapshot).values():
        for view in views:
            metrics.upstreams.breaker.labels(*view.key).set(_GRAVITY[view.breaker])
            metrics.upstreams.cooling.labels(*view.key).set(view.cooling)
    for name in snapshot.providers:
        metrics.upstreams.in_flight.labels(name).set(snapshot.board.upstream(name).bulkhead.inside)
