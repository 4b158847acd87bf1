"""Prices of one's own at run time."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import Any


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
