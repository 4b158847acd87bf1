"""Usage of the Messages API: one merge for decoder, meter and relay, and the canonical view of it.

`message_start` and each `message_delta` carry counts that are cumulative for the whole message; the API repeats
all of them in the last event, compatible servers repeat some, send zeros, or correct what they guessed at the start.
So a later number replaces an earlier one, except that a report without any input tokens does not undo one with some.
Source: anthropic SDK 2.11, `types/usage.py`, `types/message_delta_usage.py`, `types/beta/beta_usage.py` (read 2026-11).
"""

from collections.abc import Mapping
from typing import cast

from execution_platform.dialects.take import Object
from execution_platform.spi.usage import Usage

_INPUT = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_PREFIX, _SUFFIX = "ephemeral_", "_input_tokens"


def merge(known: Object, report: Mapping[str, object]) -> Object:
    """`known` with a later report put in. Null members and members of a wrong type say nothing."""
    empty = not any(_count(report.get(name)) for name in _INPUT)
    for name, value in report.items():
        if value is None or (empty and name in _INPUT and _count(known.get(name))):
            continue
        if name == "output_tokens" and _count(value) < _count(known.get(name)):
            continue
        known[name] = value
    return known


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _said(raw: Mapping[str, object], name: str) -> int | None:
    value = raw.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return max(0, value) if isinstance(value, int) and not isinstance(value, bool) else None


def _word(raw: Mapping[str, object], name: str) -> str | None:
    value = raw.get(name)
    return value if isinstance(value, str) else None


def _inner(raw: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = raw.get(name)
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def decode_usage(raw: Mapping[str, object]) -> Usage:
    """The canonical usage of a merged wire object: totals include cache reads and writes.

    Summaries the provider made on the way (`iterations` of type compaction) are billed but not in the totals of the
    wire, so they are added here.
    """
    counts = [_said(raw, name) for name in _INPUT]
    output = _said(raw, "output_tokens")
    by_ttl = _by_ttl(raw, counts[2])
    for entry in _compactions(raw):
        for position, name in enumerate(_INPUT):
            counts[position] = _plus(counts[position], _said(entry, name))
        output = _plus(output, _said(entry, "output_tokens"))
        for ttl, number in _by_ttl(entry, _said(entry, _INPUT[2])).items():
            by_ttl[ttl] = by_ttl.get(ttl, 0) + number
    known = [count for count in counts if count is not None]
    return Usage(
        sum(known) if known else None,
        output,
        cache_read_tokens=counts[1],
        cache_write_tokens=counts[2],
        cache_write_by_ttl=by_ttl,
        reasoning_tokens=_said(_inner(raw, "output_tokens_details"), "thinking_tokens"),
        units=_units(raw),
        tier=_word(raw, "service_tier"),
        speed=_word(raw, "speed"),
        region=_word(raw, "inference_geo"),
        raw=raw,
    )


def _plus(have: int | None, more: int | None) -> int | None:
    return have if more is None else (have or 0) + more


def _compactions(raw: Mapping[str, object]) -> list[Mapping[str, object]]:
    listed = raw.get("iterations")
    if not isinstance(listed, list):
        return []
    entries = [cast("Object", entry) for entry in cast("list[object]", listed) if isinstance(entry, dict)]
    return [entry for entry in entries if entry.get("type") == "compaction"]


def _by_ttl(raw: Mapping[str, object], total: int | None) -> dict[str, int]:
    """The split of cache writes. A total that a later event corrected counts; the difference is of the default lifetime."""
    wire = _inner(raw, "cache_creation")
    split = {
        name.removeprefix(_PREFIX).removesuffix(_SUFFIX): number
        for name in wire
        if name.startswith(_PREFIX) and (number := _said(wire, name)) is not None
    }
    if not split or total is None:
        return split
    gap = total - sum(split.values())
    if gap and split.get("5m", 0) + gap < 0:
        return {}
    if gap:
        split["5m"] = split.get("5m", 0) + gap
    return split


def _units(raw: Mapping[str, object]) -> dict[str, int]:
    wire = _inner(raw, "server_tool_use")
    return {name.removesuffix("_requests"): number for name in wire if (number := _said(wire, name)) is not None}


_TIERS = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}
_SPEEDS = ("standard", "fast")


def encode_usage(usage: Usage | None, *, native: bool) -> Object:
    """Usage as the wire has it. `native`: `raw` is this API's own object."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    if native and usage.raw is not None:
        return {"input_tokens": 0, "output_tokens": 0, **usage.raw}
    wire: Object = {"input_tokens": usage.uncached_input_tokens, "output_tokens": usage.output_tokens or 0}
    if usage.cache_read_tokens is not None:
        wire["cache_read_input_tokens"] = usage.cache_read_tokens
    if usage.cache_write_tokens is not None:
        wire["cache_creation_input_tokens"] = usage.cache_write_tokens
        if usage.cache_write_by_ttl:
            short = sum(number for ttl, number in usage.cache_write_by_ttl.items() if ttl == "5m")
            long = sum(usage.cache_write_by_ttl.values()) - short
            wire["cache_creation"] = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}
    if usage.reasoning_tokens is not None:
        wire["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    _encode_terms(usage, wire)
    return wire


def _encode_terms(usage: Usage, wire: Object) -> None:
    if "web_search" in usage.units or "web_fetch" in usage.units:
        names = ("web_search", "web_fetch")
        wire["server_tool_use"] = {f"{name}_requests": usage.units.get(name, 0) for name in names}
    if usage.tier in _TIERS:
        wire["service_tier"] = _TIERS[usage.tier]
    if usage.speed in _SPEEDS:
        wire["speed"] = usage.speed
    if usage.region is not None:
        wire["inference_geo"] = usage.region


_START_ONLY = frozenset({"cache_creation", "service_tier", "speed", "inference_geo"})


def delta_usage(wire: Mapping[str, object]) -> Object:
    """The members of usage that `message_delta` has: the cumulative counts, without the terms of `message_start`."""
    return {name: value for name, value in wire.items() if name not in _START_ONLY}
