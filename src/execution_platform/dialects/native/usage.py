"""Usage on the native wire: the members of `spi.Usage` under their own names, those that are known.

`input_tokens`, `output_tokens` and `cost_usd` are always there (null when nobody said), so that clients need not ask.
"""

from collections.abc import Mapping
from typing import cast

from execution_platform.dialects.take import Object
from execution_platform.spi.usage import Usage

_COUNTS = (
    "cache_read_tokens",
    "cache_write_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "tool_prompt_tokens",
    "cache_read_audio_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
)
_MAPS = ("cache_write_by_ttl", "units")
_WORDS = ("tier", "speed", "region")


def encode_usage(usage: Usage) -> Object:
    """Usage as a wire object, without provider and model."""
    cost = usage.cost_usd
    out: Object = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": None if cost is None else float(cost),
    }
    for name in (*_COUNTS, *_WORDS):
        value = getattr(usage, name)
        if value is not None:
            out[name] = value
    for name in _MAPS:
        value = getattr(usage, name)
        if value:
            out[name] = dict(value)
    if usage.estimated:
        out["estimated"] = True
    return out


def decode_usage(wire: Mapping[str, object]) -> Usage:
    """A wire object as usage; what has the wrong type counts as unsaid."""
    cost = wire.get("cost_usd")
    counts = {name: _count(wire.get(name)) for name in _COUNTS}
    return Usage(
        _count(wire.get("input_tokens")),
        _count(wire.get("output_tokens")),
        float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None,
        cache_read_tokens=counts["cache_read_tokens"],
        cache_write_tokens=counts["cache_write_tokens"],
        cache_write_by_ttl=_counts(wire.get("cache_write_by_ttl")),
        input_audio_tokens=counts["input_audio_tokens"],
        input_image_tokens=counts["input_image_tokens"],
        tool_prompt_tokens=counts["tool_prompt_tokens"],
        cache_read_audio_tokens=counts["cache_read_audio_tokens"],
        reasoning_tokens=counts["reasoning_tokens"],
        output_audio_tokens=counts["output_audio_tokens"],
        output_image_tokens=counts["output_image_tokens"],
        accepted_prediction_tokens=counts["accepted_prediction_tokens"],
        rejected_prediction_tokens=counts["rejected_prediction_tokens"],
        units=_counts(wire.get("units")),
        tier=_word(wire.get("tier")),
        speed=_word(wire.get("speed")),
        region=_word(wire.get("region")),
        estimated=wire.get("estimated") is True,
        raw=wire,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    pairs = cast("Object", value).items()
    return {name: count for name, number in pairs if (count := _count(number)) is not None}


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None
