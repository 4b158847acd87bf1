"""Numbers of served requests as a scrape shows them."""

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from execution_platform.observability.served import SECONDS, Served

ROUTE = ("openai", "acme", "large", "dev")


def _series(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, sample.labels.get("le", "") + sample.labels.get("outcome", "") + sample.labels.get("type", "")): (
            sample.value
        )
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_distribution_has_the_buckets_sum_and_count_of_the_librarys_histogram() -> None:
    served, ours, theirs = Served(), CollectorRegistry(), CollectorRegistry()
    ours.register(served)
    known = Histogram("gen_ai_server_request_duration_seconds", "x", ("dialect",), buckets=SECONDS, registry=theirs)
    # A bound belongs to its own bucket; what is above all of them counts too.
    for value in (0.0, 0.05, 0.050001, 1, 2.5, 59.9, 600, 601.5):
        served.route(ROUTE).duration.observe(value)
        known.labels("openai").observe(value)
    found = _series(ours)
    expected = _series(theirs)
    assert expected
    assert {name: found[name] for name in expected} == expected


def test_outcomes_and_tokens_are_counted_by_route() -> None:
    served, registry = Served(), CollectorRegistry()
    registry.register(served)
    served.route(ROUTE).ok += 2
    served.route(ROUTE).failed += 1
    served.route(ROUTE).input_tokens += 11
    served.route(ROUTE).output_tokens += 4
    found = _series(registry)
    assert found["ep_requests_total", "ok"] == 2
    assert found["ep_requests_total", "error"] == 1
    assert found["gen_ai_client_token_usage_total", "input"] == 11
    assert found["gen_ai_client_token_usage_total", "output"] == 4


def test_the_families_are_there_before_the_first_request() -> None:
    registry = CollectorRegistry()
    registry.register(Served())
    assert b"# TYPE ep_requests_total counter" in generate_latest(registry)
