"""Prices of one's own: as the file and the interface write them."""

from dataclasses import fields
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from execution_platform.config.facts import Raw
from execution_platform.config.pricing import PriceOverride, RateOverride
from execution_platform.config.units import Money

_PLACES = 6
_MOST = Decimal(1_000_000)
TIERS = "flex, priority, batch, fast or whatever the provider answers with"


def _sensible(value: Decimal) -> Decimal:
    """Within what a column of the price table holds."""
    if value > _MOST or -value.as_tuple().exponent > _PLACES:  # type: ignore[operator] - finite, as the schema checked
        raise ValueError(f"must be at most {_MOST} US dollars with at most {_PLACES} decimals")
    return value


Rate = Annotated[Money, AfterValidator(_sensible)]


class RawRates(Raw):
    """Rates in US dollars per million tokens; what is not given costs what plain tokens do."""

    input: Rate | None = Field(default=None, description="Per million input tokens.")
    output: Rate | None = Field(default=None, description="Per million output tokens.")
    cache_read: Rate | None = Field(default=None, description="Per million input tokens read from the cache.")
    cache_write: Rate | None = Field(default=None, description="Per million input tokens written to the cache.")
    cache_write_1h: Rate | None = Field(
        default=None, description="Per million input tokens written to the cache for an hour or longer."
    )
    cache_read_audio: Rate | None = Field(default=None, description="Per million audio tokens read from the cache.")
    input_audio: Rate | None = Field(default=None, description="Per million audio tokens of the input.")
    input_image: Rate | None = Field(default=None, description="Per million image tokens of the input.")
    output_audio: Rate | None = Field(default=None, description="Per million audio tokens of the output.")
    output_image: Rate | None = Field(default=None, description="Per million image tokens of the output.")
    reasoning: Rate | None = Field(default=None, description="Per million reasoning tokens.")


class RawLongPrompt(RawRates):
    """Rates of a request whose prompt is long."""

    above: int = Field(ge=1, description="Input tokens from which on, exclusively, these rates apply to all tokens.")


class RawPrice(RawRates):
    """Price of a model in US dollars per million tokens: input and output, or free."""

    request: Rate | None = Field(default=None, description="US dollars of each answer as such.")
    units: dict[str, Rate] = Field(
        default_factory=dict, description="US dollars of one piece, by name: web_search, file_search and others."
    )
    long_prompts: list[RawLongPrompt] = Field(
        default_factory=list[RawLongPrompt], max_length=8, description="Rates of longer prompts."
    )
    tiers: dict[str, RawRates] = Field(
        default_factory=dict, max_length=16, description=f"Rates by service tier, speed or region: {TIERS}."
    )
    free: bool = Field(default=False, description="It costs nothing.")

    @model_validator(mode="after")
    def _whole(self) -> "RawPrice":
        given = self.model_fields_set - {"free"}
        if self.free and given:
            raise ValueError(f"is free and has a price ({', '.join(sorted(given))}); keep one of them")
        if not self.free and (self.input is None or self.output is None):
            raise ValueError("needs input and output, or free: true; a direction that costs nothing is 0")
        return self


def price_override(raw: RawPrice) -> PriceOverride:
    """What was written, as a value."""
    return PriceOverride(
        rates=_rates(raw),
        request=raw.request,
        units=dict(raw.units),
        long_prompts=tuple((each.above, _rates(each)) for each in raw.long_prompts),
        tiers={name: _rates(rates) for name, rates in raw.tiers.items()},
        free=raw.free,
    )


def _rates(raw: RawRates) -> RateOverride:
    return RateOverride(**{each.name: getattr(raw, each.name) for each in fields(RateOverride)})
