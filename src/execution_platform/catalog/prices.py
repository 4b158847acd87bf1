"""What tokens cost: list prices by date from genai-prices, the configuration's own above them.

Theory of operation
-------------------
A `Price` is a handful of Decimals per million tokens, taken once out of the price table and kept by
provider and model, so that pricing an answer is a look-up and a few multiplications. A model whose price
depends on the date or the hour is looked up again every five minutes. Usage is inclusive (cached tokens are
inside `input_tokens`), so cached and audio tokens are taken out before the plain rate applies. A long
prompt moves all its tokens to the higher tier, as the vendors do. The table itself is a megabyte of
Python and is imported when the first price is asked for.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from execution_platform.config.values import PriceOverride, ProviderConfig, Resolved
from execution_platform.spi.usage import Cost, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

MILLION = Decimal(1_000_000)
THOUSAND = Decimal(1000)
ZERO = Decimal(0)
_SLOT_SECONDS = 300
_KEPT = 4096
"""Prices kept; names come from callers, so their number must have an end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """US dollars per million tokens. None: no rate of its own, so the plain one applies."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    input_audio: Decimal | None = None
    output_audio: Decimal | None = None
    reasoning: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one model at one provider and time.

    `tiers` are rates for prompts of more than so many tokens, the longest first.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    web_search: Decimal | None = None
    """Per thousand."""
    free: bool = False
    varies: bool = False
    """Depends on the date or the hour."""

    def at(self, input_tokens: int) -> Rates:
        """The rates for a prompt of that length."""
        for start, rates in self.tiers:
            if input_tokens > start:
                return rates
        return self.rates

    def cost(self, usage: Usage) -> Decimal:
        """US dollars for `usage`, exactly."""
        if self.free:
            return ZERO
        rates = self.at(usage.prompt_tokens)
        total = (_input(usage, rates) + _output(usage, rates)) / MILLION
        searches = usage.units.get("web_search")
        if searches and self.web_search is not None:
            total += self.web_search * searches / THOUSAND
        return total


def _input(usage: Usage, rates: Rates) -> Decimal:
    plain = usage.prompt_tokens
    total = ZERO
    if usage.cache_read_tokens and rates.cache_read is not None:
        plain -= usage.cache_read_tokens
        total += rates.cache_read * usage.cache_read_tokens
    if usage.cache_write_tokens and rates.cache_write is not None:
        long_lived = usage.cache_write_by_ttl.get("1h", 0) if rates.cache_write_1h is not None else 0
        plain -= usage.cache_write_tokens
        total += (
            rates.cache_write * (usage.cache_write_tokens - long_lived) + (rates.cache_write_1h or ZERO) * long_lived
        )
    if usage.input_audio_tokens and rates.input_audio is not None:
        plain -= usage.input_audio_tokens
        total += rates.input_audio * usage.input_audio_tokens
    return total + rates.input * max(plain, 0)


def _output(usage: Usage, rates: Rates) -> Decimal:
    plain = usage.completion_tokens
    total = ZERO
    if usage.output_audio_tokens and rates.output_audio is not None:
        plain -= usage.output_audio_tokens
        total += rates.output_audio * usage.output_audio_tokens
    if usage.reasoning_tokens and rates.reasoning is not None:
        plain -= usage.reasoning_tokens
        total += rates.reasoning * usage.reasoning_tokens
    return total + rates.output * max(plain, 0)


FREE = Price(rates=Rates(input=ZERO, output=ZERO), free=True)


@dataclass(frozen=True, slots=True)
class Priced:
    """What the book must know of a provider."""

    kind: str
    free: bool = False
    overrides: Mapping[str, Price] = field(default_factory=dict[str, Price])


class PriceBook:
    """The prices of one snapshot."""

    def __init__(self, config: Resolved) -> None:
        self._providers = {name: _priced(provider) for name, provider in config.providers.items()}
        self._kept: dict[tuple[str, str, str | None, str | None, int], Price] = {}
        self._steady: dict[tuple[str, str, str | None, str | None], Price | None] = {}

    def price(
        self,
        provider: str,
        model: str,
        at: datetime | None = None,
        *,
        tier: str | None = None,
        speed: str | None = None,
    ) -> Price | None:
        """The price of `model` at the configured provider; None when none is known. `at` is now unless given.

        `tier` and `speed` are what the provider answered with; those without a price of their own have the plain one.
        """
        key = (provider, model, tier, speed)
        if key in self._steady:
            return self._steady[key]
        moment = at or datetime.now(UTC)
        slotted = (*key, int(moment.timestamp()) // _SLOT_SECONDS)
        price = self._kept.get(slotted)
        if price is not None:
            return price
        price = self._look_up(provider, model, moment, _context(tier, speed))
        if len(self._kept) + len(self._steady) >= _KEPT:
            self._kept.clear()
            self._steady.clear()
        if price is not None and price.varies:
            self._kept[slotted] = price
        else:
            self._steady[key] = price
        return price

    def cost(self, provider: str, model: str, usage: Usage, at: datetime | None = None) -> Cost | None:
        """What `usage` costs, and how sure that is; None when no price is known, never a silent zero."""
        price = self.price(provider, model, at, tier=usage.tier, speed=usage.speed)
        if price is None:
            return None
        return Cost(price.cost(usage), "estimated" if usage.estimated else "metered")

    def _look_up(self, provider: str, model: str, at: datetime, context: Mapping[str, str]) -> Price | None:
        known = self._providers.get(provider)
        if known is None:
            return None
        override = known.overrides.get(model) or known.overrides.get("*")
        if override is not None:
            return override
        return FREE if known.free else list_price(known.kind, model, at, context)


def _context(tier: str | None, speed: str | None) -> dict[str, str]:
    """What the answer said of its processing, in the price table's words."""
    context: dict[str, str] = {}
    if tier == "batch":
        context["processing"] = tier
    elif tier:
        context["service_tier"] = tier
    if speed:
        context["speed"] = speed
    return context


def _priced(provider: ProviderConfig) -> Priced:
    overrides = {model: _override(price) for model, price in provider.prices.items()}
    return Priced(provider.kind, provider.free, overrides)


def _override(price: PriceOverride) -> Price:
    return Price(
        rates=Rates(
            input=price.input,
            output=price.output,
            cache_read=price.cache_read,
            cache_write=price.cache_write,
            cache_write_1h=price.cache_write_1h,
        )
    )


def list_price(kind: str, model: str, at: datetime, context: Mapping[str, str] | None = None) -> Price | None:
    """The published price of a model; None when the price table does not have it.

    `context` selects a variant by the price table's own words (`service_tier`, `speed`, `processing`).
    """
    found = find_model(kind, model)
    if found is None:
        return None
    varies = isinstance(found.prices, list) or bool(
        context and any(each.constraint for each in found.price_variants or ())
    )
    return _from_table(found.get_prices(at, dict(context or {})), varies=varies)


@cache
def _tables() -> Mapping[str, Mapping[str, str]]:
    path = files("execution_platform.catalog") / "data" / "prices.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def find_model(kind: str, model: str) -> "ModelInfo | None":
    """The entry of the price table for a model of this kind of provider."""
    from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

    snapshot = get_snapshot()
    tables = _tables()
    for table in (tables["tables"].get(kind, kind), tables["also"].get(kind)):
        provider = find_provider_by_id(snapshot.providers, table) if table else None
        found = provider.find_model(model.lower(), all_providers=snapshot.providers) if provider else None
        if found is not None:
            return found
    return None


def _from_table(price: "ModelPrice", *, varies: bool) -> Price | None:
    starts = {
        tier.start for value in vars(price).values() if (tiers := getattr(value, "tiers", None)) for tier in tiers
    }
    plain = _rates(price, 0)
    if plain is None:
        return None
    tiers = tuple(
        (start, rates) for start in sorted(starts, reverse=True) if (rates := _rates(price, start + 1)) is not None
    )
    return Price(rates=plain, tiers=tiers, web_search=_rate(price, "web_searches_kcount", 0), varies=varies)


def _rates(price: "ModelPrice", input_tokens: int) -> Rates | None:
    """The rates for a prompt of that length; None for what is not priced by tokens. An unpriced direction has none."""
    plain_input, plain_output = _rate(price, "input_mtok", input_tokens), _rate(price, "output_mtok", input_tokens)
    if plain_input is None and plain_output is None:
        return None
    return Rates(
        input=plain_input if plain_input is not None else ZERO,
        output=plain_output if plain_output is not None else ZERO,
        cache_read=_rate(price, "cache_read_mtok", input_tokens),
        cache_write=_rate(price, "cache_write_mtok", input_tokens),
        cache_write_1h=_rate(price, "cache_write_1h_mtok", input_tokens),
        input_audio=_rate(price, "input_audio_mtok", input_tokens),
        output_audio=_rate(price, "output_audio_mtok", input_tokens),
        reasoning=_rate(price, "output_reasoning_mtok", input_tokens),
    )


def _rate(price: "ModelPrice", key: str, input_tokens: int) -> Decimal | None:
    value = getattr(price, key, None)
    if value is None or isinstance(value, Decimal):
        return value
    rate = value.base
    for tier in value.tiers:
        if input_tokens > tier.start:
            rate = tier.price
    return rate
