"""Usage, both ways, and the one place where reports of one answer are merged.

Source: ai.google.dev API reference, UsageMetadata (2026-11). Every chunk of a stream carries the whole
usage so far, so a later report replaces an earlier one; a report without token counts (Vertex sends
`trafficType` alone) adds to it. Thoughts are counted beside the candidates, tool prompts beside the
prompt, cached tokens inside the prompt.
"""

from collections.abc import Mapping
from typing import Final

from execution_platform.dialects.gemini.wire import member, objects, whole
from execution_platform.dialects.take import Object
from execution_platform.spi.usage import Usage

REPORT_EVERY: Final = 64
"""Output tokens after which the usage so far is told, for the case that the stream is cut."""
_COUNTS: Final = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount")
_TIERS: Final[Mapping[str, str]] = {
    "ON_DEMAND_PRIORITY": "priority",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_OFFPEAK": "offpeak",
    "PROVISIONED_THROUGHPUT": "provisioned",
}


def counts_tokens(wire: Mapping[str, object]) -> bool:
    """Whether a report says how many tokens there were, so that it replaces earlier ones."""
    return any(name in wire for name in _COUNTS)


class Meter:
    """What one answer has used so far; the decoder, the relay and the unary path all feed it."""

    __slots__ = ("_searches", "wire")

    def __init__(self) -> None:
        self.wire: Object | None = None
        self._searches: dict[int, int] = {}

    def report(self, wire: Object) -> None:
        """A `usageMetadata` object."""
        if "promptTokenCount" in wire or self.wire is None or counts_tokens(wire):
            self.wire = wire
        else:
            self.wire = {**self.wire, **wire}

    def searched(self, choice: int, grounding: Mapping[str, object]) -> None:
        """A `groundingMetadata` object: searches are billed by the query."""
        queries = grounding.get("webSearchQueries")
        if isinstance(queries, list):
            self._searches[choice] = len(queries)  # pyright: ignore[reportUnknownArgumentType] - only counted

    def usage(self) -> Usage | None:
        """The usage so far; None when nothing was reported."""
        searches = sum(self._searches.values())
        if self.wire is None:
            return Usage(units={"web_search": searches}) if searches else None
        return decode_usage(self.wire, searches)


def decode_usage(wire: Mapping[str, object], searches: int = 0) -> Usage:
    """A `usageMetadata` object with inclusive totals."""
    prompt, tools = whole(wire.get("promptTokenCount")), whole(wire.get("toolUsePromptTokenCount"))
    said, thoughts = whole(wire.get("candidatesTokenCount")), whole(wire.get("thoughtsTokenCount"))
    if said is None:
        # Live and batch answers of the same API call it this.
        said = whole(wire.get("responseTokenCount"))
    total = whole(wire.get("totalTokenCount"))
    given = None if prompt is None and tools is None else (prompt or 0) + (tools or 0)
    output = None if said is None and thoughts is None else (said or 0) + (thoughts or 0)
    if output is None and total is not None and given is not None:
        # What is zero is left out on this wire; the total tells it from what is unknown.
        output = max(0, total - given)
    inputs = (wire.get("promptTokensDetails"), wire.get("toolUsePromptTokensDetails"))
    traffic, tier = wire.get("trafficType"), wire.get("serviceTier")
    return Usage(
        given,
        output,
        cache_read_tokens=whole(wire.get("cachedContentTokenCount")),
        input_audio_tokens=_modality(inputs, "AUDIO"),
        input_image_tokens=_modality(inputs, "IMAGE"),
        tool_prompt_tokens=tools,
        cache_read_audio_tokens=_modality((wire.get("cacheTokensDetails"),), "AUDIO"),
        reasoning_tokens=thoughts,
        output_audio_tokens=_modality((wire.get("candidatesTokensDetails"),), "AUDIO"),
        output_image_tokens=_modality((wire.get("candidatesTokensDetails"),), "IMAGE"),
        units={"web_search": searches} if searches else {},
        tier=tier if isinstance(tier, str) else _TIERS.get(traffic) if isinstance(traffic, str) else None,
        raw=wire,
    )


def _modality(details: tuple[object, ...], modality: str) -> int | None:
    counts = [
        whole(entry.get("tokenCount")) or 0
        for detail in details
        for entry in objects(detail)
        if entry.get("modality") == modality
    ]
    return sum(counts) if counts else None


def encode_usage(usage: Usage, *, same: bool) -> Object:
    """A `usageMetadata` object; the wire's own where the answer came from this dialect."""
    if same and usage.raw is not None:
        return dict(usage.raw)
    wire: Object = {}
    tools, thoughts = usage.tool_prompt_tokens, usage.reasoning_tokens
    if usage.input_tokens is not None:
        wire["promptTokenCount"] = max(0, usage.input_tokens - (tools or 0))
    if usage.output_tokens is not None:
        wire["candidatesTokenCount"] = max(0, usage.output_tokens - (thoughts or 0))
    for name, count in (
        ("thoughtsTokenCount", thoughts),
        ("toolUsePromptTokenCount", tools),
        ("cachedContentTokenCount", usage.cache_read_tokens),
    ):
        if count is not None:
            wire[name] = count
    if usage.input_tokens is not None or usage.output_tokens is not None:
        wire["totalTokenCount"] = usage.total_tokens
    spoken = [("AUDIO", usage.input_audio_tokens), ("IMAGE", usage.input_image_tokens)]
    heard = [{"modality": name, "tokenCount": count} for name, count in spoken if count is not None]
    if heard:
        wire["promptTokensDetails"] = heard
    made = [("AUDIO", usage.output_audio_tokens), ("IMAGE", usage.output_image_tokens)]
    told = [{"modality": name, "tokenCount": count} for name, count in made if count is not None]
    if told:
        wire["candidatesTokensDetails"] = told
    if usage.cache_read_audio_tokens is not None:
        wire["cacheTokensDetails"] = [{"modality": "AUDIO", "tokenCount": usage.cache_read_audio_tokens}]
    return wire


def grounding_of(candidate: Mapping[str, object]) -> Object:
    """A candidate's `groundingMetadata`; empty when there is none."""
    return member(candidate, "groundingMetadata")
