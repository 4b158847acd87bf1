"""List prices by provider, and what a usage costs by them. A price that is not known is an error, never zero."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from execution_platform.catalog.listed import list_price
from execution_platform.catalog.rates import FREE, MILLION, NANOS_PER_USD, Price
from execution_platform.exceptions import ConfigError, InvalidRequest, RouterError
from execution_platform.providers.registry import specs
from execution_platform.router.capabilities import named
from execution_platform.spi.usage import Usage


def price_of(provider: str, model: str | None = None, at: datetime | None = None) -> Price:
    """The list price of a model, by default the provider's default model, now unless `at` is given.

    What runs on a machine of ours is free. Raises `RouterError` for an unknown provider, `ConfigError` for a model without a price.
    """
    spec, name = named(provider, model)
    if spec.local:
        return FREE
    price = list_price(spec.kind, name, at or datetime.now(UTC)) if name else None
    if price is None:
        what = f"model {name!r} of {spec.kind}" if name else f"{spec.kind}, which has no default model,"
        raise ConfigError(
            f"{what} has no known price; name a priced model, or take prices of your own from the configuration "
            f"(providers.<name>.prices) through the gateway",
            code="unpriced_model",
            param="model",
        )
    return price


def compute_cost(usage: Usage, provider: str, model: str | None = None) -> float:
    """US dollars for `usage` by list price. `provider` is a name, or `provider/model`.

    Raises `RouterError` for an unknown provider, `ConfigError` for a model without a price, `InvalidRequest` for a usage that
    counts nothing.
    """
    if usage.input_tokens is None and usage.output_tokens is None:
        raise InvalidRequest(
            "the usage has neither input_tokens nor output_tokens, so its cost is not known", param="usage"
        )
    return price_of(provider, model).nanos(usage) / NANOS_PER_USD


class ListPrices(Mapping[str, Mapping[str, float]]):
    """US dollars per token, `{"input_tokens", "output_tokens"}`, by provider (its default model) or `provider/model`.

    Only what has a price is there. Money is computed by `compute_cost`, which knows caches and tiers too.
    """

    def __getitem__(self, name: str) -> Mapping[str, float]:
        try:
            rates = price_of(name).rates
        except (RouterError, ConfigError):
            raise KeyError(name) from None
        return {"input_tokens": _per_token(rates.input), "output_tokens": _per_token(rates.output)}

    def __iter__(self) -> Iterator[str]:
        return (kind for kind in specs() if kind in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _per_token(rate: int) -> float:
    return rate / (NANOS_PER_USD * MILLION)


PRICING: Mapping[str, Mapping[str, float]] = ListPrices()
