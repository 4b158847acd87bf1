"""Counts and times of served requests, kept as plain numbers and told as metrics when somebody asks.

A request adds to half a dozen series. prometheus-client takes a lock and looks at its settings for each of them; these belong
to one event loop, so that an addition is all there is to do.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType] - untyped there

Labels = tuple[str, ...]


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, by: float = 1.0) -> None:
        """Add to it."""
        self.value += by


class Times:
    """How many values fell into each bucket, and their sum."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * len(bounds)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Add one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds, and how many values are within each."""
        within, told = 0, list[tuple[str, float]]()
        for bound, count in zip(self._bounds, self._counts, strict=True):
            within += count
            told.append((floatToGoString(bound), within))
        return told


T = TypeVar("T", Count, Times)


class _Family(Collector, Generic[T]):
    """One metric by its labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name = name
        self._text = text
        self._labelnames = tuple(labels)
        self._kept: dict[Labels, T] = {}

    def _make(self) -> T:
        raise NotImplementedError

    def _family(self) -> Metric:
        raise NotImplementedError

    def describe(self) -> list[Metric]:
        """The metric without its numbers."""
        return [self._family()]

    def labels(self, *labels: str) -> T:
        """The series of these labels."""
        found = self._kept.get(labels)
        if found is None:
            found = self._kept[labels] = self._make()
        return found


class Counts(_Family[Count]):
    """A counter."""

    def _make(self) -> Count:
        return Count()

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self._name, self._text, labels=self._labelnames)

    def collect(self) -> Iterator[Metric]:
        """What was counted until now."""
        family = self._family()
        for labels, kept in self._kept.items():
            family.add_metric(labels, kept.value)
        yield family


class Histogram(_Family[Times]):
    """A histogram with these upper bounds."""

    def __init__(self, name: str, text: str, labels: Sequence[str], *, buckets: Sequence[float]) -> None:
        super().__init__(name, text, labels)
        self._bounds = (*buckets, math.inf)

    def _make(self) -> Times:
        return Times(self._bounds)

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._text, labels=self._labelnames)

    def collect(self) -> Iterator[Metric]:
        """What was observed until now."""
        family = self._family()
        for labels, kept in self._kept.items():
            family.add_metric(labels, kept.buckets(), kept.sum)
        yield family
