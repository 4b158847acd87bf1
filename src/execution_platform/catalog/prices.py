"""What a model costs, by order of authority: prices set at run time, the configuration's, the vendors' list prices.

Theory of operation
-------------------
A `Quote` is the price of one model at one moment, under all the terms an answer may turn out to have been made. It is taken
when a request leaves and prices whatever comes of it, so that a price that changes meanwhile does not price the past. Quotes
are kept by provider and model for as long as they hold: finding one is a look-up and two comparisons. What depends on the date
or the hour is looked up again every five minutes, on the minutes that prices change at; prices set at run time at the next day
that one of them begins.

Prices set at run time are the same for all snapshots of a process: `StoredPrices` holds them, and is exchanged as a whole when
the database has others. The next request drops every quote kept before.
"""

import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Literal, NamedTuple, Protocol

from execution_platform.catalog.listed import PLAIN, Listed, Terms, ceiling, find, is_free, nanos, reports_cost
from execution_platform.catalog.rates import FREE, Price, Rates
from execution_platform.config.pricing import PriceOverride, RateOverride
from execution_platform.config.values import ProviderConfig, Resolved
from execution_platform.spi.usage import Cost, Usage

Source = Literal["table", "file", "free", "list"]
"""`table` set at run time; `file` the configuration; `free` by the provider or its kind; `list` the vendor's list price."""

ANY = "*"
"""In an own price: every model of the provider."""
_SECOND = 1_000_000_000
_SLOT_SECONDS = 300
_KEPT = 4096
"""Quotes kept; names come from callers, so their number must have an end."""
_TERMS_KEPT = 64
_NEVER = 2**63 - 1


class Variants(Protocol):
    """The price under other terms than the plain ones."""

    def __call__(self, terms: Terms) -> Price | None:
        """None where the plain one applies."""
        ...


def _no_variants(terms: Terms) -> Price | None:
    del terms
    return None


class Quote:
    """The price of a model at a moment."""

    __slots__ = ("_kept", "_regions", "_variants", "_words", "exact", "price", "reported", "source", "version")

    def __init__(
        self,
        price: Price,
        source: Source,
        version: str,
        *,
        words: frozenset[str] = frozenset(),
        regions: frozenset[str] = frozenset(),
        variants: Variants = _no_variants,
        reported: bool = False,
        exact: bool = True,
    ) -> None:
        """`words` are the terms that change the price, `regions` those of them that are regions; `reported` lets the provider's own statement of a cost count.

        A price that is not `exact` is a ceiling: what it comes to is an estimate.
        """
        self.price = price
        """Under plain terms."""
        self.source: Source = source
        self.version = version
        """Where the price is from, and since when it is that."""
        self.reported = reported
        self.exact = exact
        self._words = words
        self._regions = regions
        self._variants = variants
        self._kept: dict[tuple[str | None, str | None, str | None], Price] = {}

    def under(self, tier: str | None = None, speed: str | None = None, region: str | None = None) -> Price:
        """The price under the terms an answer tells. Terms without a price of their own have the plain one."""
        words = self._words
        if tier not in words and speed not in words and region not in words:
            return self.price
        key = (tier, speed, region)
        found = self._kept.get(key)
        if found is None:
            terms = Terms(*(word if word in words else None for word in key))
            found = self._variants(terms) or self.price
            if len(self._kept) < _TERMS_KEPT:
                self._kept[key] = found
        return found

    def special(self) -> list[tuple[str, Price]]:
        """The prices under terms that change it, each by the word of an answer that does."""
        found = [(word, self.under(tier=word, speed=word, region=word)) for word in sorted(self._words)]
        return [(word, price) for word, price in found if price is not self.price]

    def combined(self) -> list[Price]:
        """Every price that a caller can bring about by asking for terms, a tier or speed together with a region too."""
        words = sorted(self._words)
        pairs = [
            (word, region) for word in words for region in (None, *words) if region in self._regions or region is None
        ]
        found = [self.under(word, word, word if region is None else region) for word, region in pairs]
        return [self.price, *(price for price in found if price is not self.price)]

    def cost(self, usage: Usage) -> Cost:
        """What `usage` costs, and how sure that is.

        A provider's own statement counts before the list price, and after a price that the operator set; but zero only for
        what is free.
        """
        price = self.price if not self._words else self.under(usage.tier, usage.speed, usage.region)
        cost = price.nanos(usage)
        if self.reported and usage.cost_usd is not None and (usage.cost_usd > 0 or cost == 0):
            return Cost(nanos(Decimal(repr(usage.cost_usd))), "provider_reported")
        return Cost(cost, "estimated" if usage.estimated or not self.exact else "metered")


class Dated(NamedTuple):
    """A price that was set at run time, from a day on (UTC)."""

    start: date
    price: PriceOverride
    version: str


class StoredPrices:
    """The prices that were set at run time, by provider and model, the earliest first. Exchanged as a whole."""

    def __init__(self) -> None:
        self.current: Mapping[tuple[str, str], Sequence[Dated]] = {}


class _Kept(NamedTuple):
    quote: Quote | None
    since: int
    until: int


class _Own(NamedTuple):
    """What the book must know of a provider."""

    kind: str
    base_url: str | None
    free: bool
    prices: Mapping[str, Quote]


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A configured model whose price nobody knows."""

    provider: str
    model: str

    @property
    def remedy(self) -> str:
        """What an operator can do."""
        return remedy(self.provider, self.model)


def remedy(provider: str, model: str) -> str:
    """What gives a model a price."""
    return (
        f"set its price with `ep prices set {provider}/{model}` (PUT /v1/prices/{provider}/{model}) or under "
        f"providers.{provider}.prices, or mark it free: true"
    )


@dataclass(slots=True)
class _Table:
    """What a price book keeps, for one state of the stored prices."""

    rows: Mapping[tuple[str, str], Sequence[Dated]]
    kept: dict[tuple[str, str], _Kept] = field(default_factory=dict[tuple[str, str], _Kept])


class PriceBook:
    """The prices of one snapshot."""

    def __init__(self, config: Resolved, stored: StoredPrices | None = None) -> None:
        self._config = config
        self._providers = {name: _own(provider) for name, provider in config.providers.items()}
        self._stored = stored if stored is not None else StoredPrices()
        self._table = _Table(self._stored.current)

    def quote(self, provider: str, model: str, at: int | None = None) -> Quote | None:
        """The price of `model` at the configured provider; None when none is known.

        `at` is now, in nanoseconds since 1970 UTC, where the caller has read the clock already.
        """
        moment = time.time_ns() if at is None else at
        table = self._table
        if table.rows is not self._stored.current:
            table = self._table = _Table(self._stored.current)
        found = table.kept.get((provider, model))
        if found is None or not found.since <= moment < found.until:
            found = self._keep(table, provider, model, moment)
        return found.quote

    def quote_at(self, provider: str, model: str, at: datetime) -> Quote | None:
        """The price at any other moment."""
        return self._look_up(provider, model, at)[0]

    def cost(self, provider: str, model: str, usage: Usage, at: datetime | None = None) -> Cost | None:
        """What `usage` costs, and how sure that is; None when no price is known, never a silent zero."""
        quote = self.quote(provider, model) if at is None else self.quote_at(provider, model, at)
        return None if quote is None else quote.cost(usage)

    def known(self) -> list[tuple[str, str]]:
        """Provider and model of everything that is configured or has a price of its own, in order."""
        names = {(provider.name, model) for provider in self._config.providers.values() for model in _models(provider)}
        own = {(provider, model) for provider, facts in self._providers.items() for model in facts.prices}
        return sorted(names | own | self._stored.current.keys())

    def unpriced(self) -> list[Unpriced]:
        """The models of providers that can be called here whose price nobody knows."""
        live = {name for name, provider in self._config.providers.items() if provider.origin != "builtin"}
        return [
            Unpriced(provider, model)
            for provider, model in self.known()
            if provider in live and self.quote(provider, model) is None
        ]

    def _keep(self, table: _Table, provider: str, model: str, moment: int) -> _Kept:
        quote, until = self._look_up(provider, model, datetime.fromtimestamp(moment / _SECOND, UTC))
        if len(table.kept) >= _KEPT:
            table.kept.clear()
        found = table.kept[provider, model] = _Kept(quote, moment, until)
        return found

    def _look_up(self, provider: str, model: str, at: datetime) -> tuple[Quote | None, int]:
        """The quote, and until when it holds."""
        known = self._providers.get(provider)
        if known is None:
            return None, _NEVER
        change = _NEVER
        for name in (model, ANY):
            rows = self._stored.current.get((provider, name), ())
            place = bisect_right(rows, at.astimezone(UTC).date(), key=_start)
            if place < len(rows):
                change = min(change, _midnight(rows[place].start))
            if place:
                return _own_quote(rows[place - 1].price, "table", rows[place - 1].version), change
        for name in (model, ANY):
            if name in known.prices:
                return known.prices[name], change
        if known.free or is_free(known.kind, model):
            return _FREE, change
        listed = find(known.kind, model, known.base_url)
        if listed is None:
            return _ceiling_quote(known.kind, model), change
        if listed.varies:
            slot = int(at.timestamp()) // _SLOT_SECONDS + 1
            change = min(change, slot * _SLOT_SECONDS * _SECOND)
        return _list_quote(listed, at), change


def _start(row: Dated) -> date:
    return row.start


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * _SECOND


def _models(provider: ProviderConfig) -> set[str]:
    return {*provider.models, *([provider.default_model] if provider.default_model else [])}


def _own(provider: ProviderConfig) -> _Own:
    prices = {model: _own_quote(price, "file", "file") for model, price in provider.prices.items()}
    return _Own(provider.kind, provider.base_url, provider.free, prices)


_FREE = Quote(FREE, "free", "free")


def _list_quote(listed: Listed, at: datetime) -> Quote | None:
    price = listed.price(at)
    if price is None:
        return None
    return Quote(
        price,
        "list",
        listed.version(at),
        words=listed.terms,
        regions=frozenset(listed.surcharges),
        variants=partial(listed.price, at),
        reported=reports_cost(listed.kind),
    )


def _ceiling_quote(kind: str, model: str) -> Quote | None:
    price = ceiling(kind, model)
    return None if price is None else Quote(price, "list", "ceiling", reported=reports_cost(kind), exact=False)


def _own_quote(given: PriceOverride, source: Source, version: str) -> Quote:
    price = _own_price(given)

    def variant(terms: Terms) -> Price | None:
        names = [name for name in (terms.tier, terms.speed, terms.region) if name is not None]
        found = given
        for name in names:
            found = found.with_rates(given.tiers[name])
        return None if terms == PLAIN else _own_price(found)

    words = frozenset(given.tiers)
    return Quote(price, source, version, words=words, regions=words, variants=variant)


def _own_price(given: PriceOverride) -> Price:
    if given.free:
        return FREE
    plain = given.rates
    tiers = [(above, _rates(plain.updated(rates))) for above, rates in given.long_prompts]
    return Price(
        rates=_rates(plain),
        tiers=tuple(sorted(tiers, key=_above, reverse=True)),
        units={name: nanos(usd) for name, usd in given.units.items()},
        request=0 if given.request is None else nanos(given.request),
    )


def _above(tier: tuple[int, Rates]) -> int:
    return tier[0]


def _rates(given: RateOverride) -> Rates:
    rates = {name: nanos(usd) for name, usd in given.given().items()}
    return Rates(**{"input": 0, "output": 0, **rates})
