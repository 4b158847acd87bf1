"""Metrics of tries and of the state of upstreams."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from execution_platform.observability import semconv


class UpstreamMetrics:
    """What became of tries, by provider; and breakers, cool-downs and bulkheads, set when metrics are read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        provider = (semconv.PROVIDER,)
        reason = (*provider, "reason")
        model = (*provider, semconv.MODEL)
        self.failed = Counter(
            "ep_attempts_failed", "Failed tries by error kind", (*provider, "kind"), registry=registry
        )
        self.retries = Counter(
            "ep_retries", "Further tries at a target by what the try before met", reason, registry=registry
        )
        self.failovers = Counter(
            "ep_failovers", "Requests another target answered, by the first choice and why it did not", reason,
            registry=registry,
        )  # fmt: skip
        self.hedges = Counter(
            "ep_hedges", "Second targets asked beside the first", (*provider, "outcome"), registry=registry
        )
        self.continuations = Counter(
            "ep_continuations", "Cut answers that went on at this provider", provider, registry=registry
        )
        self.breaker = Gauge("ep_breaker_state", "0 closed, 1 half open, 2 open", model, registry=registry)
        self.cooling = Gauge(
            "ep_cooldown_seconds", "Seconds a provider asked to be left alone for, as far as they are left", model,
            registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge("ep_upstream_in_flight", "Requests under way at a provider", provider, registry=registry)


class ProbeMetrics:
    """Active probes of providers."""

    def __init__(self, registry: CollectorRegistry, seconds: tuple[float, ...]) -> None:
        self.up = Gauge("ep_provider_up", "1 if the provider's last probe succeeded", ("provider",), registry=registry)
        self.listed = Gauge(
            "ep_provider_model_up",
            "1 if the provider's last probe succeeded and did not leave the model out",
            ("provider", "model"),
            registry=registry,
        )
        self.made = Counter("ep_probes", "Probes by what they found", ("provider", "outcome"), registry=registry)
        self.seconds = Histogram(
            "ep_probe_seconds", "Seconds a probe took", ("provider",), buckets=seconds, registry=registry
        )
