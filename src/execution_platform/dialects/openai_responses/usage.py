"""Usage, both ways. `input_tokens` and `output_tokens` are inclusive on this wire."""

from collections.abc import Mapping
from typing import cast

from execution_platform.dialects.take import Object, put
from execution_platform.spi.usage import Usage


def _count(wire: Mapping[str, object], name: str) -> int | None:
    value = wire.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _object(wire: Mapping[str, object], name: str) -> Object:
    value = wire.get(name)
    return cast("Object", value) if isinstance(value, dict) else {}


def decode_usage(wire: Mapping[str, object], tier: str | None = None) -> Usage | None:
    """A `usage` object as inclusive counts; None when it says nothing."""
    given, told = _count(wire, "input_tokens"), _count(wire, "output_tokens")
    if given is None and told is None:
        return None
    details = _object(wire, "input_tokens_details")
    return Usage(
        given,
        told,
        cache_read_tokens=_count(details, "cached_tokens"),
        cache_write_tokens=_count(details, "cache_write_tokens"),
        reasoning_tokens=_count(_object(wire, "output_tokens_details"), "reasoning_tokens"),
        tier=tier,
        raw=wire,
    )


def encode_usage(usage: Usage, *, same: bool) -> Object:
    """The wire object: as received if it came from this dialect, else written anew."""
    if same and usage.raw is not None:
        return dict(usage.raw)
    details: Object = {"cached_tokens": usage.cache_read_tokens or 0}
    put(details, cache_write_tokens=usage.cache_write_tokens)
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": details,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }
