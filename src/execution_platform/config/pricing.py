"""Prices of one's own: as the file and the interface write them, and as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from execution_platform.config.facts import Raw
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RateOverride:
    """US dollars per million tokens; None where the plain rate applies."""

    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    cache_read_audio: Decimal | None = None
    input_audio: Decimal | None = None
    input_image: Decimal | None = None
    output_audio: Decimal | None = None
    output_image: Decimal | None = None
    reasoning: Decimal | None = None

    def given(self) -> dict[str, Decimal]:
        """The rates that were written."""
        found = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: rate for name, rate in found if rate is not None}

    def updated(self, other: "RateOverride") -> "RateOverride":
        """These rates with those of `other` put in."""
        return replace(self, **other.given())


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOverride:
    """A price of one's own."""

    rates: RateOverride = field(default_factory=RateOverride)
    request: Decimal | None = None
    units: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    long_prompts: tuple[tuple[int, RateOverride], ...] = ()
    tiers: Mapping[str, RateOverride] = field(default_factory=dict[str, RateOverride])
    free: bool = False

    def with_rates(self, rates: RateOverride) -> "PriceOverride":
        """The same under terms with rates of their own; longer prompts keep theirs where the terms say nothing."""
        long_prompts = tuple((above, longer.updated(rates)) for above, longer in self.long_prompts)
        return replace(self, rates=self.rates.updated(rates), long_prompts=long_prompts)


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


def told(price: PriceOverride) -> dict[str, Any]:
    """A price in the form it is written in, as plain data."""
    if price.free:
        return {"free": True}
    out: dict[str, Any] = _floats(price.rates)
    if price.request is not None:
        out["request"] = float(price.request)
    if price.units:
        out["units"] = {name: float(each) for name, each in price.units.items()}
    if price.long_prompts:
        out["long_prompts"] = [{"above": above, **_floats(rates)} for above, rates in price.long_prompts]
    if price.tiers:
        out["tiers"] = {name: _floats(rates) for name, rates in price.tiers.items()}
    return out


def _floats(rates: RateOverride) -> dict[str, float]:
    return {name: float(rate) for name, rate in rates.given().items()}


def _rates(raw: RawRates) -> RateOverride:
    return RateOverride(**{each.name: getattr(raw, each.name) for each in fields(RateOverride)})
