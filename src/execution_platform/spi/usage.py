"""Token usage with inclusive totals: every bucket is inside `input_tokens` or `output_tokens`.

Absent is not zero: `None` means the provider did not say.
"""

from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from typing import Literal

from execution_platform.spi.value import value

Confidence = Literal["provider_reported", "metered", "estimated", "unpriced"]


@value()
class Usage:
    """What one response used.

    `input_tokens` includes cached reads, cache writes, audio and tool prompt tokens; `output_tokens`
    includes reasoning. `cost_usd` is what the provider says it charges; towards the caller, what we know it to cost.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    cache_read_tokens: int | None = field(default=None, kw_only=True)
    cache_write_tokens: int | None = field(default=None, kw_only=True)
    cache_write_by_ttl: Mapping[str, int] = field(default_factory=dict[str, int], kw_only=True)
    """Split of `cache_write_tokens` by time to live, e.g. `{"5m": 10, "1h": 0}`."""
    input_audio_tokens: int | None = field(default=None, kw_only=True)
    input_image_tokens: int | None = field(default=None, kw_only=True)
    tool_prompt_tokens: int | None = field(default=None, kw_only=True)
    cache_read_audio_tokens: int | None = field(default=None, kw_only=True)
    """Those of the audio tokens that were read from the cache."""
    reasoning_tokens: int | None = field(default=None, kw_only=True)
    output_audio_tokens: int | None = field(default=None, kw_only=True)
    output_image_tokens: int | None = field(default=None, kw_only=True)
    accepted_prediction_tokens: int | None = field(default=None, kw_only=True)
    rejected_prediction_tokens: int | None = field(default=None, kw_only=True)
    units: Mapping[str, int] = field(default_factory=dict[str, int], kw_only=True)
    """Things billed by the piece: `web_search`, `web_fetch`, `images` …"""
    tier: str | None = field(default=None, kw_only=True)
    speed: str | None = field(default=None, kw_only=True)
    region: str | None = field(default=None, kw_only=True)
    estimated: bool = field(default=False, kw_only=True)
    raw: Mapping[str, object] | None = field(default=None, kw_only=True, compare=False)
    """The wire object as received, for the same dialect."""

    @property
    def prompt_tokens(self) -> int:
        """OpenAI's name for `input_tokens`; 0 when unsaid."""
        return self.input_tokens or 0

    @property
    def completion_tokens(self) -> int:
        """OpenAI's name for `output_tokens`; 0 when unsaid."""
        return self.output_tokens or 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def uncached_input_tokens(self) -> int:
        """Input tokens that were neither read from nor written to a cache."""
        return max(0, self.prompt_tokens - (self.cache_read_tokens or 0) - (self.cache_write_tokens or 0))


@value()
class Cost:
    """What a usage costs at the price of the moment, and how sure that is."""

    nanos: int
    """Nano-dollars."""
    confidence: Confidence

    @property
    def usd(self) -> Decimal:
        """US dollars, exactly."""
        return Decimal(self.nanos).scaleb(-9)
