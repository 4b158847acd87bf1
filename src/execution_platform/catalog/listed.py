"""List prices, from genai-prices: which entry a model's name means, and what it costs at a moment and under which terms.

The table is a megabyte of Python and is imported when the first price is asked for. Its own arithmetic is not used on the
way of a request; its prices are turned into `Price` once and kept (`catalog.prices`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, cast

from execution_platform.catalog.rates import NANOS_PER_USD, RATES, Price, Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "cache_read_audio": "cache_audio_read_mtok",
    "input_audio": "input_audio_mtok",
    "input_image": "input_image_mtok",
    "output_audio": "output_audio_mtok",
    "output_image": "output_image_mtok",
    "reasoning": "output_reasoning_mtok",
}
_PIECES = {"web_search": "web_searches_kcount", "file_search": "storage_searches_kcount"}
_THOUSAND = 1000
_VENDORS = ("anthropic.", "meta.", "mistral.", "google.", "openai.")
_DASHED_VERSION = re.compile(r"-(\d)-(\d)(?=$|[-:])")


@dataclass(frozen=True, slots=True)
class Terms:
    """What an answer said of how it was made, as far as that can change its price."""

    tier: str | None = None
    speed: str | None = None
    region: str | None = None

    def context(self) -> dict[str, str]:
        """In the words of the price table."""
        told: dict[str, str] = {}
        if self.tier == "batch":
            told["processing"] = self.tier
        elif self.tier:
            told["service_tier"] = self.tier
        if self.speed:
            told["speed"] = self.speed
        return told


PLAIN = Terms()


@dataclass(frozen=True, slots=True)
class Listed:
    """A model's entry in the price table."""

    entry: "ModelInfo"
    kind: str
    surcharges: Mapping[str, Fraction]
    """By region."""

    @property
    def varies(self) -> bool:
        """Whether the price depends on the date or the hour."""
        return isinstance(self.entry.prices, list) or any(each.constraint for each in self.entry.price_variants or ())

    @property
    def terms(self) -> frozenset[str]:
        """The words of an answer that change the price."""
        words = {word for variant in self.entry.price_variants or () for word in variant.when.values()}
        return frozenset(words | self.surcharges.keys())

    def version(self, at: datetime) -> str:
        """Where the price is from, and since when it is that; the start is left out where the table has none."""
        start = _start(self.entry, at)
        return table_version() if start is None else f"{table_version()}@{start}"

    def price(self, at: datetime, terms: Terms = PLAIN) -> Price | None:
        """The price of a moment; None for what is not priced by tokens."""
        found = _price(self.entry.get_prices(at, terms.context()))
        factor = self.surcharges.get(terms.region) if terms.region else None
        return found if found is None or factor is None else found.times(factor)


@cache
def table_version() -> str:
    """Name and version of the price table."""
    from importlib.metadata import version

    return f"genai-prices/{version('genai-prices')}"


def _start(entry: "ModelInfo", at: datetime) -> str | None:
    """Since when the price of a moment holds."""
    from genai_prices.types import StartDateConstraint

    if not isinstance(entry.prices, list):
        return None
    for each in reversed(entry.prices):
        if each.constraint is None:
            return None
        if isinstance(each.constraint, StartDateConstraint) and each.constraint.active(at):
            return each.constraint.start_date.isoformat()
    return None


@cache
def _data() -> Mapping[str, object]:
    import tomllib
    from importlib.resources import files

    path = files("execution_platform.catalog") / "data" / "prices.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def reports_cost(kind: str) -> bool:
    """Whether providers of this kind say in an answer what they charge for it."""
    return kind in cast("list[str]", _data()["reports_cost"])


def find(kind: str, model: str, base_url: str | None = None) -> Listed | None:
    """The entry of a model at a kind of provider; a compatible one is known by its address.

    Names are tried as they are, and then without what hosts and tools put around them; what is left must be in the table
    in full, so that a name that only resembles a priced one stays without a price.
    """
    names = list(_spellings(model.lower()))
    for provider in _tables(kind, base_url):
        for name in names:
            found = provider.find_model(name, all_providers=_providers())
            if found is not None:
                return Listed(found, kind, _surcharges(kind, found.id))
    return None


def is_free(kind: str, model: str) -> bool:
    """Whether the name of a model says that it costs nothing."""
    ending = cast("Mapping[str, str]", _data()["free"]).get(kind)
    return ending is not None and model.endswith(ending)


def ceiling(kind: str, model: str) -> Price | None:
    """What a model that stands for others costs at most; None for a model with a price."""
    for row in cast("list[Mapping[str, str]]", _data().get("ceiling", [])):
        if row["kind"] == kind and row["model"] == model:
            return Price(rates=Rates(input=nanos(Decimal(row["input"])), output=nanos(Decimal(row["output"]))))
    return None


def list_price(kind: str, model: str, at: datetime | None = None, terms: Terms = PLAIN) -> Price | None:
    """The published price of a model, now unless `at` is given; None when the price table does not have it."""
    found = find(kind, model)
    return None if found is None else found.price(at or datetime.now(UTC), terms)


def _providers() -> "list[Provider]":
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot().providers


def _tables(kind: str, base_url: str | None) -> "Iterable[Provider]":
    data = _data()
    tables = cast("Mapping[str, Mapping[str, str]]", data)
    if kind in cast("list[str]", data["by_address"]):
        if base_url:
            yield from (each for each in _providers() if re.match(each.api_pattern, base_url))
        return
    for table in (tables["tables"].get(kind, kind), tables["also"].get(kind)):
        yield from (each for each in _providers() if each.id == table)


def _spellings(name: str) -> Iterable[str]:
    """The name as written, and without what hosts put around it."""
    yield name
    bare = name.removeprefix("models/")
    last = bare.rsplit("/", 1)[-1]
    base, _, variant = bare.rpartition(":")
    if bare != name:
        yield bare
    if base and variant != "free":
        yield base
    yield _DASHED_VERSION.sub(r"-\1.\2", base or bare)
    if last != bare:
        yield last
    for vendor in _VENDORS:
        _, found, rest = last.partition(vendor)
        if found:
            yield rest


def _surcharges(kind: str, model: str) -> Mapping[str, Fraction]:
    rows = cast("list[Mapping[str, str | list[str]]]", _data().get("surcharge", []))
    return {
        cast("str", row["region"]): Fraction(cast("str", row["factor"]))
        for row in rows
        if row["kind"] == kind and not any(model.startswith(name) for name in row["not"])
    }


def _price(price: "ModelPrice") -> Price | None:
    starts = {
        tier.start for value in vars(price).values() if (tiers := getattr(value, "tiers", None)) for tier in tiers
    }
    plain = _rates(price, 0)
    request = _each(price, "requests_kcount")
    if plain is None:
        return None
    tiers = tuple(
        (start, rates) for start in sorted(starts, reverse=True) if (rates := _rates(price, start + 1)) is not None
    )
    units = {name: each for name, key in _PIECES.items() if (each := _each(price, key))}
    return Price(rates=plain, tiers=tiers, units=units, request=request)


def _rates(price: "ModelPrice", input_tokens: int) -> Rates | None:
    """The rates for a prompt of that length; None for what is not priced by tokens. An unpriced direction has none."""
    found = {name: _rate(price, _KEYS[name], input_tokens) for name in RATES}
    if found["input"] is None and found["output"] is None:
        return None
    given = {name: rate for name, rate in found.items() if name not in {"input", "output"}}
    return Rates(input=found["input"] or 0, output=found["output"] or 0, **given)


def _rate(price: "ModelPrice", key: str, input_tokens: int) -> int | None:
    value = getattr(price, key, None)
    if value is None or isinstance(value, Decimal):
        return None if value is None else nanos(value)
    rate = value.base
    for tier in value.tiers:
        if input_tokens > tier.start:
            rate = tier.price
    return nanos(rate)


def _each(price: "ModelPrice", key: str) -> int:
    """Nano-dollars of one piece of what is priced by the thousand."""
    rate = _rate(price, key, 0)
    return 0 if rate is None else -(-rate // _THOUSAND)


def nanos(usd: Decimal) -> int:
    """US dollars as nano-dollars, rounded up: vendors have no price that is finer."""
    return int((usd * NANOS_PER_USD).to_integral_value(ROUND_CEILING))
