"""Usage of chat completions: one reading, shared by the decoders, the relay and the meter.

Source: openai SDK 3.52 `types/completion_usage.py`; docs of DeepSeek (`prompt_cache_hit_tokens`), Moonshot (`cached_tokens`),
Groq (`x_groq.usage`), xAI and Gemini's compatible endpoint (reasoning beside the output), Perplexity (`num_search_queries`),
OpenRouter (`cost`), xAI (`cost_in_usd_ticks`), all read 2026-11.

Rules: counts are inclusive. A vendor that reports reasoning beside the completion shows it by a total above the sum, one that
reports cached tokens beside the prompt by more cached than prompt tokens. Servers that report in every chunk report
cumulatively, so merging takes the greater count of each bucket and does not depend on the order.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from execution_platform.dialects.take import Object, put
from execution_platform.spi.usage import Usage

_SUMMED = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
)


_NOTHING_SAID = Usage()
_COUNTS = 3
"""Prompt, completion and total: many servers say these, and nothing that would have to be looked for."""
_TICKS = 10**10
"""Of a US dollar."""


def _object(value: object) -> Mapping[str, object]:
    return cast("Object", value) if isinstance(value, dict) else {}


def _count(wire: Mapping[str, object], *names: str) -> int | None:
    """The first of `names` that holds a count; anything else says nothing."""
    if not wire:
        return None
    for name in names:
        value = wire.get(name)
        if type(value) is int and value >= 0:
            return value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def read(wire: Mapping[str, object]) -> Usage | None:
    """A `usage` object as inclusive counts; None when it says nothing."""
    prompt, total = _count(wire, "prompt_tokens"), _count(wire, "total_tokens")
    completion = _count(wire, "completion_tokens")
    if len(wire) == _COUNTS and prompt and completion is not None and total is not None:
        return Usage(prompt, max(completion, total - prompt), raw=wire)
    details, told = _object(wire.get("prompt_tokens_details")), _object(wire.get("completion_tokens_details"))
    cached = _count(details, "cached_tokens") if details else None
    if cached is None:
        cached = _count(wire, "prompt_cache_hit_tokens", "cached_tokens")
    written = _count(details, "cache_write_tokens") if details else None
    if prompt is not None and cached is not None and cached > prompt:
        prompt += cached + (written or 0)
    if total is not None and prompt is not None and completion is not None:
        completion = max(completion, total - prompt)
    searches = _count(wire, "num_search_queries")
    if not details and not told and cached is None and searches is None and (prompt or completion):
        return Usage(prompt, completion, _cost(wire), raw=wire)
    usage = Usage(
        prompt,
        completion,
        _cost(wire),
        cache_read_tokens=cached,
        cache_write_tokens=written,
        input_audio_tokens=_count(details, "audio_tokens"),
        input_image_tokens=_count(details, "image_tokens"),
        reasoning_tokens=_count(told, "reasoning_tokens"),
        output_audio_tokens=_count(told, "audio_tokens"),
        accepted_prediction_tokens=_count(told, "accepted_prediction_tokens"),
        rejected_prediction_tokens=_count(told, "rejected_prediction_tokens"),
        units={} if searches is None else {"web_search": searches},
        raw=wire,
    )
    return None if prompt is None and completion is None and usage == _NOTHING_SAID else usage


def _cost(wire: Mapping[str, object]) -> float | None:
    """US dollars the provider says it charges; with what the caller's own account pays behind it."""
    ticks = _count(wire, "cost_in_usd_ticks")
    if ticks is not None:
        return ticks / _TICKS
    cost = _dollars(wire.get("cost"))
    if cost is not None and wire.get("is_byok") is True:
        cost += _dollars(_object(wire.get("cost_details")).get("upstream_inference_cost")) or 0.0
    return cost


def _dollars(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def merge(known: Usage | None, wire: Mapping[str, object]) -> Usage | None:
    """What is known after one more `usage` object."""
    new = read(wire)
    if known is None or new is None:
        return new or known
    counts = {name: _greater(getattr(known, name), getattr(new, name)) for name in _SUMMED}
    cost = max((each for each in (known.cost_usd, new.cost_usd) if each is not None), default=None)
    raw = new.raw if (new.output_tokens or 0) >= (known.output_tokens or 0) else known.raw
    return replace(new, **counts, cost_usd=cost, units={**known.units, **new.units}, raw=raw)


def _greater(first: int | None, second: int | None) -> int | None:
    return second if first is None else first if second is None else max(first, second)


def usage_of(body: Mapping[str, object]) -> Mapping[str, object] | None:
    """The `usage` object of a completion or a chunk, where there is one."""
    wire = body.get("usage")
    if not isinstance(wire, dict):
        wire = _object(body.get("x_groq")).get("usage")
    return cast("Object", wire) if isinstance(wire, dict) else None


class Tally:
    """Usage and service tier of one answer as its pieces come by."""

    __slots__ = ("tier", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.tier: str | None = None

    def see(self, body: Mapping[str, object]) -> None:
        """Take what a completion or chunk says."""
        wire = usage_of(body)
        if wire is not None:
            self.usage = merge(self.usage, wire)
        tier = body.get("service_tier")
        if isinstance(tier, str):
            self.tier = tier

    def result(self) -> Usage | None:
        """The usage with the tier that set its price."""
        return self.usage if self.usage is None or self.tier is None else replace(self.usage, tier=self.tier)


def encode(usage: Usage, *, same: bool = False) -> Object:
    """The wire object: as received if it came from this dialect, else written anew."""
    if same and usage.raw is not None:
        return dict(usage.raw)
    wire: Object = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    prompt: Object = {}
    put(
        prompt,
        cached_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        audio_tokens=usage.input_audio_tokens,
        image_tokens=usage.input_image_tokens,
    )
    completion: Object = {}
    put(
        completion,
        reasoning_tokens=usage.reasoning_tokens,
        audio_tokens=usage.output_audio_tokens,
        accepted_prediction_tokens=usage.accepted_prediction_tokens,
        rejected_prediction_tokens=usage.rejected_prediction_tokens,
    )
    put(wire, prompt_tokens_details=prompt or None, completion_tokens_details=completion or None)
    return wire
