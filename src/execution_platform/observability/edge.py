"""Metrics of the process itself: clients, load, the event loop, what it shares, its configuration."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class EdgeMetrics:
    """Connections, admission and the event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.streams = Gauge("ep_streams_in_flight", "Streams being served", registry=registry)
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
        self.loop_lag = Histogram(
            "ep_event_loop_lag_seconds", "Delay of the event loop, sampled", buckets=_LAG, registry=registry
        )


class SharedMetrics:
    """What replicas share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.redis_up = Gauge("ep_redis_up", "1 while the shared Redis answers; 0 without one", registry=registry)
        self.ratelimit_degraded = Gauge(
            "ratelimit_degraded", "1 while each replica takes its share of the rate limits", registry=registry
        )


class ConfigMetrics:
    """The life of the configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reload = Counter(
            "ep_config_reload", "Changes of the configuration by what became of them", ("outcome",), registry=registry
        )
        for outcome in ("applied", "unchanged", "refused", "rolled_back"):
            self.reload.labels(outcome)
        self.stale = Gauge(
            "ep_config_stale",
            "1 while the files are not what is served: the last reload was refused, or a rollback is in force",
            registry=registry,
        )
