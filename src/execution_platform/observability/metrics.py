"""Prometheus metrics. Labels come from configuration values only; anything else counts as `other`.

Children are prepared once per label set: a request adds to a few numbers and looks nothing up by name.
"""

from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from execution_platform.observability import semconv
from execution_platform.observability.edge import ConfigMetrics, EdgeMetrics, SharedMetrics
from execution_platform.observability.experiments import ExperimentMetrics
from execution_platform.observability.ledger import LedgerMetrics
from execution_platform.observability.tally import Count, Counts, Histogram, Times
from execution_platform.observability.upstreams import ProbeMetrics, UpstreamMetrics

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_OVERHEAD = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)


class Route(NamedTuple):
    """The labels of a served request."""

    dialect: str
    provider: str
    model: str
    persona: str


@dataclass(frozen=True, slots=True)
class RouteMetrics:
    """The prepared children of one `Route`."""

    ok: Count
    failed: Count
    duration: Times
    first_chunk: Times
    overhead: Times
    input_tokens: Count
    output_tokens: Count


class Metrics:
    """All metrics of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        labels = ("dialect", semconv.PROVIDER, semconv.MODEL, "persona")
        self._requests = Counts("ep_requests", "Requests by outcome", (*labels, "outcome"))
        self._duration = Histogram(semconv.DURATION, "Seconds from request to last byte", labels, buckets=_SECONDS)
        self._first = Histogram(semconv.FIRST_CHUNK, "Seconds from request to first content", labels, buckets=_SECONDS)
        self._overhead = Histogram(
            "ep_overhead_seconds", "Seconds spent by the gateway itself", labels, buckets=_OVERHEAD
        )
        self._tokens = Counts(semconv.TOKENS, "Tokens by type", (*labels, "type"))
        for served in (self._requests, self._duration, self._first, self._overhead, self._tokens):
            registry.register(served)
        self.upstreams = UpstreamMetrics(registry)
        self.losses = Counter("ep_losses", "Things a translation could not carry", ("severity",), registry=registry)
        self.budget_refused = Counter(
            "ep_budget_refused", "Requests a budget had no room for", ("scope", "period"), registry=registry
        )
        self.budget_alerts = Counter(
            "ep_budget_alerts", "Alerts of budgets by kind", ("kind", "scope", "period"), registry=registry
        )
        self.notices = Counter(
            "ep_alert_messages", "Messages to alert channels by outcome", ("channel", "outcome"), registry=registry
        )
        self.refused = Counter("ep_refused", "Requests refused by the gateway", ("code",), registry=registry)
        self.edge = EdgeMetrics(registry)
        self.shared = SharedMetrics(registry)
        self.config = ConfigMetrics(registry)
        self.ledger = LedgerMetrics(registry)
        self.experiments = ExperimentMetrics(registry, _SECONDS)
        self.probes = ProbeMetrics(registry, _SECONDS)
        self.log_dropped = Gauge("ep_log_lines_dropped", "Log lines nobody read in time", registry=registry)
        self._routes: dict[Route, RouteMetrics] = {}

    def route(self, route: Route) -> RouteMetrics:
        """The children of `route`, prepared on first use."""
        prepared = self._routes.get(route)
        if prepared is None:
            prepared = self._routes[route] = RouteMetrics(
                self._requests.labels(*route, "ok"),
                self._requests.labels(*route, "error"),
                self._duration.labels(*route),
                self._first.labels(*route),
                self._overhead.labels(*route),
                self._tokens.labels(*route, "input"),
                self._tokens.labels(*route, "output"),
            )
        return prepared

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
