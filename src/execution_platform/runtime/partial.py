"""How many tokens an unfinished answer holds, from what was counted while it passed and a look at its last read."""

from execution_platform.dialects.base import Dialect, Metered, Upstream
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.spi.events import PartDelta, TextDelta, ThinkingDelta
from execution_platform.spi.parts import Origin

_CHARACTERS_A_TOKEN = 4
_ONE_TOKEN = 12
"""A delta of fewer characters is taken for one token: most vendors send one at a time."""


def tokens_so_far(metered: Metered, dialect: Dialect) -> int:
    """Output tokens that have come: of the deltas that were decoded, or by frames and a look at the first and last."""
    if not metered.head and not metered.sample:
        return _tokens(metered.deltas, metered.characters)
    head = _lengths(metered.head, dialect)
    sample = _lengths(metered.sample, dialect)
    mean = sum(sample) / len(sample) if sample else 0
    return _tokens(len(head), sum(head)) + _tokens(metered.deltas, round(metered.deltas * mean))


def _tokens(deltas: int, characters: int) -> int:
    if deltas == 0:
        return 0
    return deltas if characters < deltas * _ONE_TOKEN else characters // _CHARACTERS_A_TOKEN


def _lengths(frames: bytes, dialect: Dialect) -> list[int]:
    """Characters of each delta in whole frames; nothing of what cannot be read."""
    decoder = dialect.stream_decoder(Upstream(Origin(dialect=dialect.name, provider="", model="")))
    try:
        events = decoder.feed(frames)
    except ExecutionPlatformError:
        return []
    deltas = [event.delta for event in events if isinstance(event, PartDelta)]
    return [len(delta.text) for delta in deltas if isinstance(delta, TextDelta | ThinkingDelta)]
