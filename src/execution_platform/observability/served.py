"""Requests, their times and their tokens, counted for a scrape that comes seldom.

Every request adds to seven series here, so this is plain arithmetic; the client library's own series take a lock and several
calls for each. They belong to the event loop. What the library knows is made of them when somebody reads (`collect`).
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from execution_platform.observability import semconv

SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_OVERHEAD = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_LABELS = ("dialect", semconv.PROVIDER, semconv.MODEL, "persona")


Labels = tuple[str, str, str, str]
"""Of a served request: dialect, provider, model, persona."""


class Distribution:
    """How often a value fell between two bounds."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        # A bound belongs to the values below it.
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """What was counted so far."""
        names = (*map(repr, self._bounds), "+Inf")
        counts = map(float, accumulate(self._counts))
        family.add_metric(labels, list(zip(names, counts, strict=True)), self._total)


class RouteMetrics:
    """What was served with one set of labels."""

    __slots__ = ("duration", "failed", "first_chunk", "input_tokens", "ok", "output_tokens", "overhead")

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.duration = Distribution(SECONDS)
        self.first_chunk = Distribution(SECONDS)
        self.overhead = Distribution(_OVERHEAD)


class Served:
    """All of them, as a collector of the client library."""

    def __init__(self) -> None:
        self._routes: dict[Labels, RouteMetrics] = {}

    def known(self, labels: Labels) -> RouteMetrics | None:
        """The numbers of these labels, if there are any yet."""
        return self._routes.get(labels)

    def route(self, labels: Labels) -> RouteMetrics:
        """The numbers of these labels, from zero on first use."""
        found = self._routes.get(labels)
        if found is None:
            found = self._routes[labels] = RouteMetrics()
        return found

    def describe(self) -> list[Metric]:
        """The families without samples: names are known before the first request."""
        return list(_families())

    def collect(self) -> Iterator[Metric]:
        """The families as they are now."""
        families = _families()
        requests, duration, first, overhead, tokens = families
        for labels, route in self._routes.items():
            requests.add_metric((*labels, "ok"), route.ok)
            requests.add_metric((*labels, "error"), route.failed)
            route.duration.add_to(duration, labels)
            route.first_chunk.add_to(first, labels)
            route.overhead.add_to(overhead, labels)
            tokens.add_metric((*labels, "input"), route.input_tokens)
            tokens.add_metric((*labels, "output"), route.output_tokens)
        yield from families


def _families() -> tuple[
    CounterMetricFamily, HistogramMetricFamily, HistogramMetricFamily, HistogramMetricFamily, CounterMetricFamily
]:
    return (
        CounterMetricFamily("ep_requests", "Requests by outcome", labels=(*_LABELS, "outcome")),
        HistogramMetricFamily(semconv.DURATION, "Seconds from request to last byte", labels=_LABELS),
        HistogramMetricFamily(semconv.FIRST_CHUNK, "Seconds from request to first content", labels=_LABELS),
        HistogramMetricFamily("ep_overhead_seconds", "Seconds spent by the gateway itself", labels=_LABELS),
        CounterMetricFamily(semconv.TOKENS, "Tokens by type", labels=(*_LABELS, "type")),
    )
