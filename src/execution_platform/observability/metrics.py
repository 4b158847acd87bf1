"""Prometheus metrics. Labels come from configuration values only; anything else counts as `other`.

Children are prepared once per label set: a request adds to a few numbers and looks nothing up by name.
"""

from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from execution_platform.observability import semconv

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

    ok: Counter
    failed: Counter
    duration: Histogram
    first_chunk: Histogram
    overhead: Histogram
    input_tokens: Counter
    output_tokens: Counter


class LedgerMetrics:
    """The books of the process. Set when they are read, from what the ledger counts itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, told: str) -> Gauge:
            return Gauge(name, told, registry=registry)

        self.delivered = gauge("ep_ledger_events_delivered", "Cost events stored in the database since the start")
        self.failures = gauge("ep_ledger_delivery_failures", "Batches the database did not take since the start")
        self.blocked_seconds = gauge(
            "ep_ledger_blocked_seconds", "How long the database has taken nothing; 0 if it does"
        )
        self.lag_bytes = gauge("ep_ledger_lag_bytes", "Bytes of the journal that are not delivered")
        self.journal_bytes = gauge("ep_ledger_journal_bytes", "Bytes of the journal on disk")
        self.journal_full = gauge("ep_ledger_journal_full", "1 while the journal takes no new calls")
        self.open_tries = gauge("ep_ledger_open_tries", "Tries at providers that have not ended")
        self.refused = gauge("ep_ledger_refused", "Tries refused because the journal could not record them")


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
        self.attempts_failed = Counter(
            "ep_attempts_failed", "Failed tries by error kind", (semconv.PROVIDER, "kind"), registry=registry
        )
        self.losses = Counter("ep_losses", "Things a translation could not carry", ("severity",), registry=registry)
        self.refused = Counter("ep_refused", "Requests refused by the gateway", ("code",), registry=registry)
        self.streams = Gauge("ep_streams_in_flight", "Streams being served", registry=registry)
        self.ledger = LedgerMetrics(registry)
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
