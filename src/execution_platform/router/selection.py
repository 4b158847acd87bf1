"""The order in which targets are tried. Everything that varies is given: chance, latencies, prices, the conversation.

Shares are drawn without replacement (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006): each
target gets the exponential variate of its weight, and the smallest is first. Where a conversation has a key the variates come
from a hash of key and target instead of from chance, which is weighted rendezvous hashing (Thaler and Ravishankar, 1998): the
same conversation gets the same order on every replica, without anything being remembered, and when a target goes or a weight
changes only the conversations move that have to.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from random import Random

from execution_platform.config.values import Strategy
from execution_platform.router.target import Target

Latency = Callable[[Target, bool], float | None]
"""Typical seconds to the first content of a stream (true) or to a whole answer; None when the target has not been seen yet."""
PriceOf = Callable[[Target], int | None]
"""What a typical request costs, in a unit that all targets share; None when no price is known."""
Conversation = Callable[[bool], bytes | None]
"""The key of a request's conversation: the one its caller gave; where none was given and true is asked, one of its own words."""
_Draw = Callable[[str, int], float]
"""The variate of a name with a weight above 0; the smallest is first."""
_WIDE = 2.0**64


def unknown_latency(_: Target, __: bool) -> float | None:  # noqa: FBT001 - the signature of `Latency`
    """No target has been seen yet."""
    return None


def unknown_price(_: Target) -> int | None:
    """No price is known."""
    return None


def no_conversation(_: bool) -> bytes | None:  # noqa: FBT001 - the signature of `Conversation`
    """Every request stands alone."""
    return None


def order(
    targets: Sequence[Target],
    strategy: Strategy,
    *,
    rng: Random,
    latency: Latency = unknown_latency,
    price: PriceOf = unknown_price,
    conversation: Conversation = no_conversation,
    stream: bool = False,
) -> tuple[Target, ...]:
    """All of `targets`, the first choice first; every other one is a fallback.

    `priority` keeps the listed order within equal priorities. `weighted` and `sticky` give shares by weight; `sticky` by the
    conversation, so that a provider's prompt cache is met again. `least_latency` tries unseen targets first, so that they
    become seen; a stream and a whole answer are two different waits. `lowest_cost` puts targets without a price last.
    """
    match strategy:
        case "priority":
            return tuple(sorted(targets, key=lambda target: target.priority))
        case "weighted":
            return _drawn(targets, _by_chance(rng), rng, conversation)
        case "sticky":
            key = conversation(True)
            return _drawn(targets, _by_chance(rng) if key is None else _by_key(key), rng, conversation)
        case "least_latency":
            return tuple(sorted(targets, key=lambda target: _seconds(latency(target, stream))))
        case _:
            return tuple(sorted(targets, key=lambda target: _dear(price(target))))


def _drawn(targets: Sequence[Target], draw: _Draw, rng: Random, conversation: Conversation) -> tuple[Target, ...]:
    """By share; where the targets are the arms of an experiment, the arm is drawn first."""
    if targets[0].arm is None:
        return _shares(targets, draw)
    arms: dict[str, list[Target]] = {}
    for target in targets:
        arms.setdefault(target.arm or "", []).append(target)
    # Only a key the caller gave holds an arm: requests that merely begin alike are different subjects of the experiment.
    key = conversation(False)
    draw_arm = _by_chance(rng) if key is None else _by_key(key)
    place = {
        arm: _variate(draw_arm, f"{targets[0].via} {arm}", sum(each.weight for each in members))
        for arm, members in arms.items()
    }
    return tuple(target for arm in sorted(arms, key=place.__getitem__) for target in _shares(arms[arm], draw))


def _shares(targets: Sequence[Target], draw: _Draw) -> tuple[Target, ...]:
    """By weight; weight 0 is a fallback only."""
    if len(targets) == 1:
        return (targets[0],)
    return tuple(sorted(targets, key=lambda target: _variate(draw, str(target), target.weight)))


def _variate(draw: _Draw, name: str, weight: int) -> float:
    return draw(name, weight) if weight > 0 else math.inf


def _by_chance(rng: Random) -> _Draw:
    return lambda _, weight: rng.expovariate(weight)


def _by_key(key: bytes) -> _Draw:
    return lambda name, weight: -math.log(_uniform(key, name)) / weight


def _uniform(key: bytes, name: str) -> float:
    """Between 0 and 1, neither included; the same on every machine."""
    found = hashlib.blake2b(name.encode(), key=key, digest_size=8).digest()
    return (int.from_bytes(found) + 0.5) / _WIDE


def _seconds(value: float | None) -> float:
    return -1.0 if value is None else value


def _dear(value: int | None) -> float:
    return math.inf if value is None else value
