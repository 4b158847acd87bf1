"""The order in which targets are tried. Everything that varies is given: chance, latencies, prices."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random

from execution_platform.config.values import Strategy
from execution_platform.router.target import Target

Latency = Callable[[Target], float | None]
"""Typical seconds to the first token; None when the target has not been seen yet."""
PriceOf = Callable[[Target], Decimal | None]
"""US dollars of a typical request; None when no price is known."""


def unknown_latency(_: Target) -> float | None:
    """No target has been seen yet."""
    return None


def unknown_price(_: Target) -> Decimal | None:
    """No price is known."""
    return None


def order(
    targets: Sequence[Target],
    strategy: Strategy,
    *,
    rng: Random,
    latency: Latency = unknown_latency,
    price: PriceOf = unknown_price,
) -> tuple[Target, ...]:
    """All of `targets`, the first choice first; every other one is a fallback.

    `priority` keeps the listed order within equal priorities. `least_latency` tries unseen targets first,
    so that they become seen. `lowest_cost` puts targets without a price last.
    """
    match strategy:
        case "priority":
            return tuple(sorted(targets, key=lambda target: target.priority))
        case "weighted":
            return _weighted(targets, rng)
        case "least_latency":
            return tuple(sorted(targets, key=lambda target: _seconds(latency(target))))
        case _:
            return tuple(sorted(targets, key=lambda target: _dollars(price(target))))


def _weighted(targets: Sequence[Target], rng: Random) -> tuple[Target, ...]:
    """Drawn without replacement by weight (Efraimidis and Spirakis, 2006); weight 0 is a fallback only."""
    drawn = [(rng.expovariate(target.weight), target) for target in targets if target.weight > 0]
    drawn.sort(key=lambda pair: pair[0])
    return (*(target for _, target in drawn), *(target for target in targets if target.weight <= 0))


def _seconds(value: float | None) -> float:
    return -1.0 if value is None else value


def _dollars(value: Decimal | None) -> Decimal:
    return Decimal("Infinity") if value is None else value
