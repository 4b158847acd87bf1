"""The limiter of failed authentications: a hundred a minute and peer, in bounded memory."""

from execution_platform.limits.failures import FailureLimiter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_hundred_failures_then_as_many_a_minute() -> None:
    """E13"""
    clock = Clock()
    limiter = FailureLimiter(clock=clock)
    assert [limiter.note("10.0.0.1") for _ in range(100)] == [0.0] * 100
    wait = limiter.note("10.0.0.1")
    assert 0 < wait < 0.61
    assert limiter.note("10.0.0.2") == 0.0
    clock.now += wait
    assert limiter.note("10.0.0.1") == 0.0
    assert limiter.note("10.0.0.1") > 0
    clock.now += 60
    assert [limiter.note("10.0.0.1") for _ in range(100)] == [0.0] * 100


def test_one_network_of_ipv6_is_one_peer_and_mapped_addresses_are_ipv4() -> None:
    limiter = FailureLimiter(clock=Clock())
    for number in range(100):
        limiter.note(f"2001:db8:1:2::{number:x}")
    assert limiter.note("2001:db8:1:2:ffff::1") > 0
    assert limiter.note("2001:db8:1:3::1") == 0.0
    for _ in range(100):
        limiter.note("::ffff:10.0.0.9")
    assert limiter.note("10.0.0.9") > 0


def test_it_remembers_a_bounded_number_of_peers_and_keeps_the_newest() -> None:
    limiter = FailureLimiter(clock=Clock(), most=100)
    for _ in range(101):
        limiter.note("10.9.9.9")
    for number in range(99):
        limiter.note(f"10.0.0.{number}")
    assert len(limiter) == 100
    assert limiter.note("10.9.9.9") > 0
    for number in range(100):
        limiter.note(f"10.1.0.{number}")
    assert len(limiter) == 100
    assert limiter.note("10.9.9.9") == 0.0


def test_an_unknown_address_is_a_peer_too() -> None:
    limiter = FailureLimiter(clock=Clock())
    for _ in range(100):
        limiter.note("")
    assert limiter.note("") > 0
