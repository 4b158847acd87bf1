"""Request ids and trace context: the caller's if it is harmless, ours otherwise."""

import time

import pytest

from execution_platform.observability import correlation


@pytest.mark.parametrize("given", [b"abc-123", b"a" * 128, b"req:1/2=x+y.z"])
def test_a_harmless_request_id_is_kept(given: bytes) -> None:
    assert correlation.request_id(given) == given.decode()


@pytest.mark.parametrize(
    "given", [None, b"", b"a" * 129, b"a b", b"a\r\nset-cookie: x", b"\x1b[31m", "ü".encode(), b"a\n"]
)
def test_any_other_request_id_is_replaced(given: bytes | None) -> None:
    made = correlation.request_id(given)
    assert made.startswith("req_")
    assert made != correlation.request_id(given)


def test_ours_come_in_the_order_of_time() -> None:
    before = time.time_ns() >> 16
    made = correlation.request_id(None)
    assert before <= int(made[4:16], 16) <= time.time_ns() >> 16
    assert len(made) == 28


def test_our_span_is_the_parent_upstream_in_the_callers_trace() -> None:
    trace = correlation.trace(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    assert trace is not None
    version, trace_id, span, flags = trace.header.split("-")
    assert (version, trace_id, flags) == ("00", "4bf92f3577b34da6a3ce929d0e0e4736", "01")
    assert span != "00f067aa0ba902b7"
    assert trace.parent_id == "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "given",
    [
        None,
        b"garbage",
        b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01",
        b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ],
)
def test_a_broken_traceparent_is_ignored(given: bytes | None) -> None:
    assert correlation.trace(given) is None
