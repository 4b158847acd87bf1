import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as TheirCounter

from execution_platform.observability import tally

VALUES = (0.0, 0.05, 0.0500001, 0.1, 3.0, 1e9)


def text(registry: CollectorRegistry) -> set[str]:
    lines = generate_latest(registry).decode().splitlines()
    return {line for line in lines if "_created" not in line}


def test_a_histogram_tells_what_the_librarys_own_tells() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = tally.Histogram("ep_x_seconds", "Seconds", ("a", "b"), buckets=(0.05, 0.1, 2.5))
    ours.register(histogram)
    other = Histogram("ep_x_seconds", "Seconds", ("a", "b"), buckets=(0.05, 0.1, 2.5), registry=theirs)
    assert text(ours) == text(theirs)
    for value in VALUES:
        histogram.labels("1", 'quo"te').observe(value)
        other.labels("1", 'quo"te').observe(value)
    assert text(ours) == text(theirs)


def test_a_counter_tells_what_the_librarys_own_tells() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counter = tally.Counts("ep_y", "Things", ("a",))
    ours.register(counter)
    other = TheirCounter("ep_y", "Things", ("a",), registry=theirs)
    for by in (1, 2.5):
        counter.labels("1").inc(by)
        other.labels("1").inc(by)
    counter.labels("2").inc()
    other.labels("2").inc()
    assert text(ours) == text(theirs)


def test_a_name_that_is_taken_is_refused() -> None:
    registry = CollectorRegistry()
    registry.register(tally.Counts("ep_y", "Things", ("a",)))
    with pytest.raises(ValueError, match="Duplicated"):
        TheirCounter("ep_y", "Things", registry=registry)
