"""Prometheus metrics. Labels come from configuration values only; anything else counts as `other`.

Children are prepared once per label set: a request adds to a few numbers and looks nothing up by name.
"""

from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from execution_platform.observability import semconv
from execution_platform.observability.ledger import LedgerMetrics
from execution_platform.observability.upstreams import UpstreamMetrics

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
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

    ok: Counter
    failed: Counter
    duration: Histogram
    first_chunk: Histogram
    overhead: Histogram
    input_tokens: Counter
    output_tokens: Counter


class ArmMetrics(NamedTuple):
    """The prepared children of one arm of an experiment."""

    ok: Counter
    failed: Counter
    duration: Histogram
    first_chunk: Histogram
    cost: Counter


class Metrics:
    """All metrics of one gateway, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        labels = ("dialect", semconv.PROVIDER, semconv.MODEL, "persona")
        self._requests = Counter("ep_requests", "Requests by outcome", (*labels, "outcome"), registry=registry)
        self._duration = Histogram(
            semconv.DURATION, "Seconds from request to last byte", labels, buckets=_SECONDS, registry=registry
        )
        self._first = Histogram(
            semconv.FIRST_CHUNK, "Seconds from request to first content", labels, buckets=_SECONDS, registry=registry
        )
        self._overhead = Histogram(
            "ep_overhead_seconds", "Seconds spent by the gateway itself", labels, buckets=_OVERHEAD, registry=registry
        )
        self._tokens = Counter(semconv.TOKENS, "Tokens by type", (*labels, "type"), registry=registry)
        self.upstreams = UpstreamMetrics(registry)
        self.losses = Counter("ep_losses", "Things a translation could not carry", ("severity",), registry=registry)
        self.refused = Counter("ep_refused", "Requests refused by the gateway", ("code",), registry=registry)
        self.streams = Gauge("ep_streams_in_flight", "Streams being served", registry=registry)
        self.ledger = LedgerMetrics(registry)
        self.in_flight = Gauge("ep_requests_in_flight", "Requests being served", registry=registry)
        self.allowed = Gauge("ep_requests_allowed", "Requests admitted at a time just now", registry=registry)
        self.shed = Counter(
            "ep_requests_shed", "Requests refused because the process was full", ("priority",), registry=registry
        )
        self.connections = Gauge("ep_connections", "Open client connections", registry=registry)
        self.connections_refused = Counter(
            "ep_connections_refused", "Connections over a limit", ("reason",), registry=registry
        )
        self.slow_clients = Counter("ep_slow_clients", "Clients that missed a deadline", ("what",), registry=registry)
        self.redis_up = Gauge("ep_redis_up", "1 while the shared Redis answers; 0 without one", registry=registry)
        self.ratelimit_degraded = Gauge(
            "ratelimit_degraded", "1 while each replica takes its share of the rate limits", registry=registry
        )
        self.loop_lag = Histogram(
            "ep_event_loop_lag_seconds", "Delay of the event loop, sampled", buckets=_LAG, registry=registry
        )
        self.log_dropped = Gauge("ep_log_lines_dropped", "Log lines nobody read in time", registry=registry)
        self._define_experiments(registry)
        self.provider_up = Gauge(
            "ep_provider_up", "1 if the provider's last probe succeeded", ("provider",), registry=registry
        )
        self.model_listed = Gauge(
            "ep_provider_model_up",
            "1 if the provider's last probe succeeded and did not leave the model out",
            ("provider", "model"),
            registry=registry,
        )
        self.probes = Counter("ep_probes", "Probes by what they found", ("provider", "outcome"), registry=registry)
        self.probe_seconds = Histogram(
            "ep_probe_seconds", "Seconds a probe took", ("provider",), buckets=_SECONDS, registry=registry
        )
        self.config_reload = Counter(
            "ep_config_reload", "Changes of the configuration by what became of them", ("outcome",), registry=registry
        )
        for outcome in ("applied", "unchanged", "refused", "rolled_back"):
            self.config_reload.labels(outcome)
        self.config_stale = Gauge(
            "ep_config_stale",
            "1 while the files are not what is served: the last reload was refused, or a rollback is in force",
            registry=registry,
        )
        self._routes: dict[Route, RouteMetrics] = {}

    def _define_experiments(self, registry: CollectorRegistry) -> None:
        arm = ("logical_model", "arm")
        self._arm_requests = Counter(
            "ep_arm_requests", "Requests of an experiment", (*arm, "outcome"), registry=registry
        )
        self._arm_duration = Histogram(
            "ep_arm_duration_seconds", "Seconds from request to last byte", arm, buckets=_SECONDS, registry=registry
        )
        self._arm_first = Histogram(
            "ep_arm_first_chunk_seconds",
            "Seconds from request to first content",
            arm,
            buckets=_SECONDS,
            registry=registry,
        )
        self._arm_cost = Counter("ep_arm_cost_usd", "US dollars of priced answers", arm, registry=registry)
        self._arms: dict[tuple[str, str], ArmMetrics] = {}
        self.shadows = Counter("ep_shadow_requests", "Copies for shadow targets", ("outcome",), registry=registry)
        shadow = (semconv.PROVIDER, semconv.MODEL)
        self.shadow_seconds = Histogram(
            "ep_shadow_duration_seconds",
            "Seconds from the sending of a copy to its last byte",
            shadow,
            buckets=_SECONDS,
            registry=registry,
        )
        self.shadow_tokens = Counter("ep_shadow_tokens", "Tokens of copies", (*shadow, "type"), registry=registry)

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

    def arm(self, logical_model: str, arm: str) -> ArmMetrics:
        """The children of an arm, prepared on first use."""
        prepared = self._arms.get((logical_model, arm))
        if prepared is None:
            prepared = self._arms[logical_model, arm] = ArmMetrics(
                self._arm_requests.labels(logical_model, arm, "ok"),
                self._arm_requests.labels(logical_model, arm, "error"),
                self._arm_duration.labels(logical_model, arm),
                self._arm_first.labels(logical_model, arm),
                self._arm_cost.labels(logical_model, arm),
            )
        return prepared

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
