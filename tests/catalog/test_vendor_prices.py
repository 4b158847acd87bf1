"""Costs worked out by hand from the prices that genai-prices lists, against ours. US dollars per million tokens unless said otherwise.

The vendors publish them at openai.com/api/pricing, platform.claude.com/docs/en/about-claude/pricing,
ai.google.dev/gemini-api/docs/pricing, api-docs.deepseek.com/quick_start/pricing, docs.x.ai/developers/pricing and openrouter.ai/docs.
"""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from execution_platform.catalog.prices import PriceBook
from execution_platform.config.files import parse_config
from execution_platform.config.known import known
from execution_platform.config.resolve import resolve
from execution_platform.config.settings import Settings
from execution_platform.spi.usage import Cost, Usage

M = 1_000_000
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def book(text: str = "") -> PriceBook:
    kinds = [*known().usual_kinds, "deepseek", "openrouter", "xai", "fireworks", "openai_compatible"]
    return PriceBook(resolve(parse_config(text), Settings(environ={}), list(dict.fromkeys(kinds))))


BOOK = book()


def cost(name: str, usage: Usage, at: datetime = NOW, prices: PriceBook = BOOK) -> Cost:
    provider, _, model = name.partition("/")
    found = prices.cost(provider, model, usage, at)
    assert found is not None, name
    return found


@pytest.mark.parametrize(
    ("name", "usage", "dollars"),
    [
        # 2.50 in, 1.25 cached, 10 out
        ("openai/gpt-4o", Usage(M, M, cache_read_tokens=400_000), "12"),
        ("openai/gpt-4o", Usage(M, M, tier="batch"), "6.25"),
        ("openai/gpt-4o", Usage(M, M, tier="default"), "12.5"),
        ("openai/gpt-4o", Usage(M, M, tier="priority"), "21.25"),
        # 1.25 / 10; flex at half, priority at twice the price
        ("openai/gpt-5.1", Usage(M, M, tier="flex"), "5.625"),
        ("openai/gpt-5.1", Usage(M, M, tier="priority", cache_read_tokens=M), "20.25"),
        ("openai/text-embedding-3-small", Usage(M, None), "0.02"),
        # web search at 10 a thousand
        ("openai/gpt-5.1", Usage(0, 0, units={"web_search": 3}), "0.03"),
        # 5 in, 0.50 read, 6.25 written for 5 minutes, 10 for an hour, 25 out; search 10 a thousand
        (
            "anthropic/claude-opus-4-5",
            Usage(
                1000 + 2000 + 3000 + 4000,
                5000,
                cache_read_tokens=2000,
                cache_write_tokens=7000,
                cache_write_by_ttl={"5m": 3000, "1h": 4000},
                units={"web_search": 2},
            ),
            "0.20975",
        ),
        ("anthropic/claude-opus-4-5", Usage(M, M, tier="batch"), "15"),
        # 3 / 15 up to 200,000 tokens of prompt, 6 / 22.50 beyond
        ("anthropic/claude-sonnet-4-5", Usage(200_000, 1000), "0.615"),
        ("anthropic/claude-sonnet-4-5", Usage(200_001, 1000), "1.222506"),
        # fast mode: 10 / 50
        ("anthropic/claude-opus-4-8", Usage(M, M, speed="fast"), "60"),
        # in the US alone: 1.1 times 5 / 25; nothing for models that have no such setting
        ("anthropic/claude-opus-4-8", Usage(M, M, region="us"), "33"),
        ("anthropic/claude-opus-4-8", Usage(M, M, region="global"), "30"),
        ("anthropic/claude-opus-4-8", Usage(M, M, region="us", tier="batch"), "16.5"),
        ("anthropic/claude-opus-4-5", Usage(M, M, region="us"), "30"),
        # 0.30 text, 1.00 audio, 2.50 out with thoughts; cached 0.03 and 0.10
        ("gemini/gemini-2.5-flash", Usage(M, M, input_audio_tokens=500_000, reasoning_tokens=900_000), "3.15"),
        (
            "gemini/gemini-2.5-flash",
            Usage(M, 0, input_audio_tokens=M, cache_read_tokens=600_000, cache_read_audio_tokens=600_000),
            "0.46",
        ),
        ("gemini/gemini-2.5-flash", Usage(0, 0, units={"web_search": 2}), "0.07"),
        ("gemini/gemini-2.5-pro", Usage(200_001, 1000), "0.5150025"),
        # pictures at 30, text at 2.50
        ("gemini/gemini-2.5-flash-image", Usage(0, M + 1290, output_image_tokens=1290), "2.5387"),
        # 3 / 15, cached 0.75
        ("xai/grok-4", Usage(M, M, cache_read_tokens=500_000), "16.875"),
    ],
)
def test_a_usage_costs_what_the_vendors_page_says(name: str, usage: Usage, dollars: str) -> None:
    found = cost(name, usage)
    assert found.usd == Decimal(dollars)
    assert found.confidence == "metered"


@pytest.mark.parametrize(
    ("name", "at", "dollars", "version"),
    [
        # OpenAI, 2025-06-10: o3 from 10 / 40 to 2 / 8
        ("openai/o3", datetime(2025, 6, 9, 23, 59, tzinfo=UTC), "50", ""),
        ("openai/o3", datetime(2025, 6, 10, tzinfo=UTC), "10", "@2025-06-10"),
        # DeepSeek, off-peak from 16:30 to 00:30 UTC: 0.135 / 0.55 in place of 0.27 / 1.10
        ("deepseek/deepseek-chat", datetime(2025, 3, 1, 16, 29, tzinfo=UTC), "1.37", ""),
        ("deepseek/deepseek-chat", datetime(2025, 3, 1, 16, 30, tzinfo=UTC), "0.685", ""),
        ("deepseek/deepseek-chat", datetime(2025, 3, 2, 0, 29, tzinfo=UTC), "0.685", ""),
    ],
)
def test_the_date_and_the_hour_of_the_call_count(name: str, at: datetime, dollars: str, version: str) -> None:
    assert cost(name, Usage(M, M), at).usd == Decimal(dollars)
    quote = BOOK.quote_at(*name.split("/"), at)
    assert quote is not None
    assert quote.version.startswith("genai-prices/")
    assert quote.version.endswith(version)


def test_the_clock_that_decides_is_utc() -> None:
    from datetime import timedelta, timezone

    zone = timezone(timedelta(hours=-8))
    assert cost("openai/o3", Usage(M, M), datetime(2025, 6, 9, 16, tzinfo=zone)).usd == 10


SAME = [
    ("openai/gpt-4o-2024-08-06", "openai/gpt-4o"),
    ("anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
    ("azure_openai/gpt-4o-2024-08-06", "openai/gpt-4o"),
    ("openrouter/openai/gpt-4o:nitro", "openrouter/openai/gpt-4o"),
    ("openrouter/openai/gpt-4o-2024-08-06", "openrouter/openai/gpt-4o"),
    ("openrouter/anthropic/claude-sonnet-4-5", "openrouter/anthropic/claude-sonnet-4.5"),
    ("gemini/models/gemini-2.5-pro", "gemini/gemini-2.5-pro"),
    ("vertex/claude-sonnet-4-5@20250929", "vertex/claude-sonnet-4-5"),
    ("vertex/publishers/google/models/gemini-2.5-pro", "gemini/gemini-2.5-pro"),
]
OTHERS = (
    "providers: {vertex: {kind: gemini}, openrouter: {}, fireworks: {}, azure_openai: {base_url: 'https://x.example'}}"
)


@pytest.mark.parametrize(("written", "meant"), SAME)
def test_dated_and_prefixed_names_have_the_price_of_the_model_they_mean(written: str, meant: str) -> None:
    from execution_platform.catalog.listed import list_price

    one, other = (list_price(*name.split("/", 1), NOW) for name in (written, meant))
    assert one is not None
    assert one == other


@pytest.mark.parametrize(
    "model", ["anthropic.claude-3-5-sonnet-20241022-v2:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"]
)
def test_names_of_bedrock_are_known(model: str) -> None:
    from execution_platform.catalog.listed import list_price

    assert list_price("bedrock", model, NOW) is not None


@pytest.mark.parametrize("name", ["openai/gpt-4o-nonsense", "anthropic/claude-nothing", "gemini/gemini", "openai/o"])
def test_a_name_that_only_resembles_a_priced_one_has_no_price(name: str) -> None:
    provider, _, model = name.partition("/")
    assert BOOK.quote(provider, model) is None


def test_a_compatible_provider_is_known_by_its_address() -> None:
    text = (
        "providers: {cerebras: {kind: openai_compatible, base_url: 'https://api.cerebras.ai/v1'},"
        " mine: {kind: openai_compatible, base_url: 'http://127.0.0.1:8000/v1'}}"
    )
    prices = book(text)
    assert prices.quote("cerebras", "gpt-oss-120b") is not None
    assert prices.quote("mine", "gpt-4o") is None


# What providers say they charge


def test_what_openrouter_and_xai_report_counts_before_the_list() -> None:
    told = Usage(M, M, 0.0123456789)
    for name in ("openrouter/openai/gpt-4o", "xai/grok-4"):
        found = cost(name, told)
        assert (found.nanos, found.confidence) == (12_345_679, "provider_reported")


def test_nobody_else_may_name_a_cost() -> None:
    found = cost("openai/gpt-4o", Usage(M, 0, 0.000001))
    assert (found.usd, found.confidence) == (Decimal("2.5"), "metered")


def test_a_reported_zero_is_believed_only_for_what_is_free() -> None:
    """Field item 15."""
    found = cost("openrouter/openai/gpt-4o", Usage(M, 0, 0.0))
    assert (found.usd, found.confidence) == (Decimal("2.5"), "metered")
    free = cost("openrouter/meta-llama/llama-3.3-70b-instruct:free", Usage(M, 0, 0.0))
    assert (free.usd, free.confidence) == (Decimal(0), "metered")


def test_a_price_of_ones_own_counts_before_what_is_reported() -> None:
    own = book("providers: {openrouter: {prices: {openai/gpt-4o: {input: 2, output: 8}}}}")
    found = cost("openrouter/openai/gpt-4o", Usage(M, M, 0.5), prices=own)
    assert (found.usd, found.confidence) == (Decimal(10), "metered")


def test_a_router_costs_what_it_reports_and_is_estimated_without() -> None:
    told = cost("openrouter/openrouter/auto", Usage(M, M, 1.5))
    assert (told.usd, told.confidence) == (Decimal("1.5"), "provider_reported")
    untold = cost("openrouter/openrouter/auto", Usage(M, M))
    assert (untold.usd, untold.confidence) == (Decimal(90), "estimated")


# Prices of the file


def test_a_price_of_the_file_has_tiers_long_prompts_and_pieces() -> None:
    own = book(
        """
providers:
  openai:
    prices:
      mine:
        input: 2
        output: 8
        cache_read: 0.2
        request: 0.001
        units: {web_search: 0.02}
        long_prompts: [{above: 1000, input: 4}, {above: 2000, input: 6, output: 16}]
        tiers: {batch: {input: 1, output: 4}, eu: {output: 9}}
      gift: {free: true}
"""
    )
    assert cost("openai/mine", Usage(1000, 0), prices=own).usd == Decimal("0.003")
    assert cost("openai/mine", Usage(1001, 0), prices=own).usd == Decimal("0.005004")
    assert cost("openai/mine", Usage(3000, 1000, cache_read_tokens=1000), prices=own).usd == Decimal("0.0292")
    assert cost("openai/mine", Usage(0, 0, units={"web_search": 2, "other": 3}), prices=own).usd == Decimal("0.041")
    assert cost("openai/mine", Usage(1000, 1000, tier="batch"), prices=own).usd == Decimal("0.006")
    assert cost("openai/mine", Usage(1000, 1000, region="eu"), prices=own).usd == Decimal("0.012")
    assert cost("openai/mine", Usage(1000, 1000, tier="batch", region="eu"), prices=own).usd == Decimal("0.011")
    assert cost("openai/gift", Usage(M, M), prices=own).usd == 0


@pytest.mark.parametrize(
    ("price", "says"),
    [
        ("{input: 1}", "needs input and output"),
        ("{input: 1, output: 1, free: true}", "is free and has a price"),
        ("{input: 1, output: 0.0000001}", "decimals"),
    ],
)
def test_a_price_of_the_file_that_is_none_is_named(price: str, says: str) -> None:
    from execution_platform.exceptions import ConfigError

    with pytest.raises(ConfigError, match=says):
        book(f"providers: {{openai: {{prices: {{m: {price}}}}}}}")
