"""Prices as the interfaces show them: US dollars per million tokens, under the names they are set by."""

from typing import Any

from execution_platform.catalog.prices import Quote, remedy
from execution_platform.catalog.rates import NANOS_PER_USD, Rates


def shown(name: tuple[str, str], quote: Quote | None) -> dict[str, Any]:
    """A price as the interface shows it, in US dollars per million tokens."""
    provider, model = name
    if quote is None:
        return {"provider": provider, "model": model, "source": "none", "remedy": remedy(provider, model)}
    row: dict[str, Any] = {"provider": provider, "model": model, "source": quote.source, "price_version": quote.version}
    price = quote.price
    if price.free:
        return {**row, "free": True}
    row.update(_rates(price.rates))
    if price.request:
        row["request"] = _dollars(price.request)
    if price.units:
        row["units"] = {unit: _dollars(each) for unit, each in price.units.items()}
    if price.tiers:
        row["long_prompts"] = [{"above": above, **_rates(rates)} for above, rates in reversed(price.tiers)]
    tiers = {word: _rates(other.rates) for word, other in quote.special() if other != price}
    return {**row, "tiers": tiers} if tiers else row


def _rates(rates: Rates) -> dict[str, float]:
    return {name: _dollars(rate) for name, rate in rates.items() if rate is not None}


def _dollars(nanos: int) -> float:
    return nanos / NANOS_PER_USD
