"""List prices by provider: exact where known, an error where not, never zero by accident."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from execution_platform.catalog.listed import list_price
from execution_platform.exceptions import ConfigError, InvalidRequest, RouterError
from execution_platform.router.costs import PRICING, compute_cost
from execution_platform.spi import Usage


def test_a_usage_costs_what_the_catalogue_says() -> None:
    price = list_price("openai", "gpt-4o", datetime.now(UTC))
    assert price is not None
    usage = Usage(1_000_000, 1_000_000)
    expected = (price.rates.input + price.rates.output) / 1e9
    assert compute_cost(usage, "openai", "gpt-4o") == compute_cost(usage, "openai/gpt-4o") == expected
    assert expected > 0


def test_cached_tokens_have_their_own_rate() -> None:
    plain = compute_cost(Usage(1000, 0), "openai/gpt-4o")
    assert 0 < compute_cost(Usage(1000, 0, cache_read_tokens=1000), "openai/gpt-4o") < plain


def test_an_older_name_of_a_provider_works() -> None:
    assert compute_cost(Usage(10, 10), "claude") == compute_cost(Usage(10, 10), "anthropic")


def test_what_runs_here_is_free() -> None:
    assert compute_cost(Usage(10, 10), "ollama/llama3") == compute_cost(Usage(10, 10), "mock") == 0


def test_a_model_without_a_price_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"model 'gpt-nonsense' of openai has no known price") as caught:
        compute_cost(Usage(10, 10), "openai", "gpt-nonsense")
    assert caught.value.code == "unpriced_model"
    with pytest.raises(ConfigError, match="no default model"):
        compute_cost(Usage(10, 10), "openai_compatible")
    with pytest.raises(RouterError, match="unknown provider 'opnai'"):
        compute_cost(Usage(10, 10), "opnai")


def test_a_usage_that_counts_nothing_has_no_cost() -> None:
    with pytest.raises(InvalidRequest):
        compute_cost(Usage(), "openai")


def test_prices_are_per_token() -> None:
    price = list_price("anthropic", "claude-sonnet-4-5", datetime.now(UTC))
    assert price is not None
    per_token = PRICING["anthropic/claude-sonnet-4-5"]
    assert Decimal(str(per_token["input_tokens"])) * 10**15 == price.rates.input
    assert {"openai", "anthropic", "gemini", "mock"} <= set(PRICING)
    assert "openai/gpt-nonsense" not in PRICING
    assert "openai_compatible" not in PRICING
    assert len(PRICING) == len(list(PRICING))
