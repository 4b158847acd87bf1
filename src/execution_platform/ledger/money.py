"""Money as integers of nano-dollars.

A nano-dollar is a billionth of a US dollar. A micro-dollar would be too coarse for one event: five tokens of an embedding
model at $0.02 a million cost a tenth of it, and a million such calls would be free. 64 bits hold nine billion dollars.
"""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

NANOS = 1_000_000_000
"""Nano-dollars of a US dollar."""

_NANOS = Decimal(NANOS)


def to_nanos(usd: Decimal) -> int:
    """`usd` in nano-dollars, rounded to the nearest. For costs."""
    return int((usd * _NANOS).to_integral_value(ROUND_HALF_EVEN))


def hold_nanos(usd: Decimal) -> int:
    """`usd` in nano-dollars, rounded up. For reservations: what is held is never less than what may be spent."""
    return int((usd * _NANOS).to_integral_value(ROUND_CEILING))


def to_usd(nanos: int) -> Decimal:
    """Nano-dollars in US dollars, exactly."""
    return Decimal(nanos) / _NANOS
