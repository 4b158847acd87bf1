"""Metrics of the arms of experiments, and of copies for shadow targets."""

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram

from execution_platform.observability import semconv


class ArmMetrics(NamedTuple):
    """The prepared children of one arm of an experiment."""

    ok: Counter
    failed: Counter
    duration: Histogram
    first_chunk: Histogram
    cost: Counter


class ExperimentMetrics:
    """Requests by arm, copies by what became of them."""

    def __init__(self, registry: CollectorRegistry, seconds: tuple[float, ...]) -> None:
        arm = ("logical_model", "arm")
        self._requests = Counter("ep_arm_requests", "Requests of an experiment", (*arm, "outcome"), registry=registry)
        self._duration = Histogram(
            "ep_arm_duration_seconds", "Seconds from request to last byte", arm, buckets=seconds, registry=registry
        )
        self._first = Histogram(
            "ep_arm_first_chunk_seconds",
            "Seconds from request to first content",
            arm,
            buckets=seconds,
            registry=registry,
        )
        self._cost = Counter("ep_arm_cost_usd", "US dollars of priced answers", arm, registry=registry)
        self._arms: dict[tuple[str, str], ArmMetrics] = {}
        self.shadows = Counter("ep_shadow_requests", "Copies for shadow targets", ("outcome",), registry=registry)
        shadow = (semconv.PROVIDER, semconv.MODEL)
        self.shadow_seconds = Histogram(
            "ep_shadow_duration_seconds",
            "Seconds from the sending of a copy to its last byte",
            shadow,
            buckets=seconds,
            registry=registry,
        )
        self.shadow_tokens = Counter("ep_shadow_tokens", "Tokens of copies", (*shadow, "type"), registry=registry)

    def arm(self, logical_model: str, arm: str) -> ArmMetrics:
        """The children of an arm, prepared on first use."""
        prepared = self._arms.get((logical_model, arm))
        if prepared is None:
            prepared = self._arms[logical_model, arm] = ArmMetrics(
                self._requests.labels(logical_model, arm, "ok"),
                self._requests.labels(logical_model, arm, "error"),
                self._duration.labels(logical_model, arm),
                self._first.labels(logical_model, arm),
                self._cost.labels(logical_model, arm),
            )
        return prepared
