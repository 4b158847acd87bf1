"""Pauses between two tries: full jitter below a bound that doubles (AWS Architecture Blog, "Exponential Backoff", 2015)."""

from random import Random

_MOST_DOUBLINGS = 16


def pause(retry: int, base: float, most: float, rng: Random) -> float:
    """Seconds before retry number `retry` (from 1): drawn evenly below `base` doubled each time, at most `most`.

    With a base of 1 s and at most 16 s the bounds are 1, 2, 4, 8, 16, 16, …
    """
    bound = min(most, base * 2 ** min(retry - 1, _MOST_DOUBLINGS))
    return rng.random() * bound
