import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import genai_prices
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution_platform.catalog.listed import find
from execution_platform.catalog.prices import PriceBook
from execution_platform.catalog.rates import Price, Rates
from execution_platform.config.files import parse_config
from execution_platform.config.known import known
from execution_platform.config.resolve import resolve
from execution_platform.config.settings import Settings
from execution_platform.spi.usage import Usage

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


KINDS = [*known().usual_kinds, "deepseek"]


def book(text: str = "") -> PriceBook:
    return PriceBook(resolve(parse_config(text), Settings(environ={}), KINDS))


BOOK = book()


def cost(provider: str, model: str, usage: Usage, at: datetime = NOW) -> Decimal:
    found = BOOK.cost(provider, model, usage, at)
    assert found is not None
    return found.usd


def test_importing_the_catalogue_does_not_import_the_price_table():
    code = "import sys, execution_platform.catalog.prices; sys.exit('genai_prices' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode
        == 0
    )


def test_input_includes_cached_tokens():
    assert cost("openai", "gpt-4o", Usage(1_000_000, 0)) == Decimal("2.5")
    assert cost("openai", "gpt-4o", Usage(1_000_000, 0, cache_read_tokens=1_000_000)) == Decimal("1.25")
    assert cost("openai", "gpt-4o", Usage(0, 1_000_000)) == Decimal(10)


def test_cache_writes_have_two_prices():
    plain = Usage(1_000_000, 0, cache_write_tokens=1_000_000)
    assert cost("anthropic", "claude-opus-4-5", plain) == Decimal("6.25")
    split = Usage(1_000_000, 0, cache_write_tokens=1_000_000, cache_write_by_ttl={"5m": 500_000, "1h": 500_000})
    assert cost("anthropic", "claude-opus-4-5", split) == Decimal("8.125")


def test_a_long_prompt_costs_the_higher_rate_for_all_its_tokens():
    assert cost("gemini", "gemini-2.5-pro", Usage(200_000, 0)) == Decimal("0.25")
    assert cost("gemini", "gemini-2.5-pro", Usage(200_001, 0)) == Decimal("2.5") * 200_001 / 1_000_000


def test_reasoning_tokens_are_inside_the_output():
    with_reasoning = Usage(10, 100, reasoning_tokens=90)
    assert cost("openai", "gpt-5.1", with_reasoning) == cost("openai", "gpt-5.1", Usage(10, 100))


def test_the_price_of_the_moment_counts():
    dearer = cost("openai", "o3", Usage(1_000_000, 0), datetime(2025, 5, 1, tzinfo=UTC))
    assert dearer > cost("openai", "o3", Usage(1_000_000, 0), NOW)


def test_a_price_that_depends_on_the_hour_is_looked_up_again():
    day = datetime(2025, 3, 1, tzinfo=UTC)
    prices = {cost("deepseek", "deepseek-chat", Usage(1_000_000, 0), day + timedelta(hours=hour)) for hour in range(24)}
    assert len(prices) == 2


@pytest.mark.parametrize(("tier", "dearer"), [("priority", True), ("flex", False)])
def test_service_tiers_have_their_own_price(tier, dearer):
    standard, tiered = (
        cost("openai", "gpt-5.1", Usage(1_000_000, 0)),
        cost("openai", "gpt-5.1", Usage(1_000_000, 0, tier=tier)),
    )
    assert tiered > standard if dearer else tiered < standard


def test_batches_are_cheaper_and_unknown_tiers_cost_the_plain_price():
    standard = cost("anthropic", "claude-opus-4-5", Usage(1_000_000, 0))
    assert cost("anthropic", "claude-opus-4-5", Usage(1_000_000, 0, tier="batch")) == standard / 2
    assert cost("anthropic", "claude-opus-4-5", Usage(1_000_000, 0, tier="standard")) == standard


def test_a_faster_answer_has_its_own_price():
    fast = cost("anthropic", "claude-opus-4-8", Usage(1_000_000, 0, speed="fast"))
    assert fast > cost("anthropic", "claude-opus-4-8", Usage(1_000_000, 0))


@pytest.mark.parametrize("model", ["whisper-1", "tts-1"])
def test_a_model_that_is_not_priced_by_tokens_has_no_price(model):
    assert BOOK.quote_at("openai", model, NOW) is None


def test_web_searches_are_billed_by_the_piece():
    plain = cost("anthropic", "claude-opus-4-5", Usage(1, 1))
    search = cost("anthropic", "claude-opus-4-5", Usage(1, 1, units={"web_search": 2}))
    assert search - plain == Decimal("0.02")


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-nothing"), ("nowhere", "gpt-4o"), ("ollama-x", "m")])
def test_a_model_without_a_price_has_no_cost(provider, model):
    assert BOOK.cost(provider, model, Usage(1, 1)) is None
    assert BOOK.quote(provider, model) is None


@pytest.mark.parametrize(
    ("provider", "model"), [("embedded", "smollm2"), ("mock", "mock-1"), ("ollama", "llama3"), ("vllm", "x")]
)
def test_our_own_machines_cost_nothing(provider, model):
    found = BOOK.cost(provider, model, Usage(1000, 1000))
    assert found is not None
    assert (found.usd, found.confidence) == (Decimal(0), "metered")


def test_the_configurations_prices_win_and_may_cover_every_model():
    own = book(
        "providers: {openai: {prices: {gpt-4o: {input: 1, output: 2, cache_read: 0.1}, '*': {input: 3, output: 4}}},"
        " x: {kind: ollama, prices: {m: {input: 5, output: 6}}}, y: {kind: openai, free: true}}"
    )
    usage = Usage(1_000_000, 1_000_000, cache_read_tokens=500_000)
    assert own.cost("openai", "gpt-4o", usage).usd == Decimal("2.55")  # type: ignore[union-attr]
    assert own.cost("openai", "anything", usage).usd == Decimal(7)  # type: ignore[union-attr]
    assert own.cost("x", "m", usage).usd == Decimal(11)  # type: ignore[union-attr]
    assert own.cost("y", "gpt-4o", usage).usd == Decimal(0)  # type: ignore[union-attr]


def test_estimated_usage_gives_an_estimated_cost():
    found = BOOK.cost("openai", "gpt-4o", Usage(1, 1, estimated=True))
    assert found is not None
    assert found.confidence == "estimated"


def test_usage_that_contradicts_itself_is_never_negative():
    assert cost("openai", "gpt-4o", Usage(10, 0, cache_read_tokens=1000)) == Decimal("1.25") * 1000 / 1_000_000


def test_azure_takes_what_its_table_lacks_from_openai():
    assert BOOK.cost("azure_openai", "gpt-4o", Usage(1_000_000, 0), NOW).usd == Decimal("2.5")  # type: ignore[union-attr]


MODELS = [
    ("openai", "openai", "gpt-4o"),
    ("openai", "openai", "gpt-5.1"),
    ("openai", "openai", "gpt-5.5"),
    ("anthropic", "anthropic", "claude-opus-4-5"),
    ("anthropic", "anthropic", "claude-sonnet-4-5"),
    ("anthropic", "anthropic", "claude-opus-5-5"),
    ("gemini", "google", "gemini-2.5-pro"),
    ("gemini", "google", "gemini-2.5-flash"),
]
TOKENS = st.integers(0, 400_000)


@settings(max_examples=60, deadline=None)
@given(model=st.sampled_from(MODELS), plain=TOKENS, read=TOKENS, write=TOKENS, output=TOKENS)
def test_costs_agree_with_the_price_table_own_arithmetic(model, plain, read, write, output):
    provider, table, name = model
    listed = find(provider, name)
    assert listed is not None
    if listed.entry.get_prices(NOW).cache_write_mtok is None:
        write = 0
    usage = Usage(plain + read + write, output, cache_read_tokens=read, cache_write_tokens=write)
    theirs = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=plain + read + write,
            output_tokens=output,
            cache_read_tokens=read,
            cache_write_tokens=write,
        ),
        model_ref=name,
        provider_id=table,
        genai_request_timestamp=NOW,
    )
    assert abs(cost(provider, name, usage) - theirs.total_price) <= Decimal("0.5e-9")


def test_quotes_are_kept_and_their_number_has_an_end(monkeypatch):
    own = book()
    kept = own.quote("openai", "o1")
    assert kept is not None
    with monkeypatch.context() as patched:
        patched.setattr("execution_platform.catalog.prices.find", lambda *_: pytest.fail("looked up again"))
        assert own.quote("openai", "o1") is kept
    for number in range(5000):
        own.quote("openai", f"m{number}")
    assert len(own._table.kept) <= 4096


def test_audio_and_reasoning_have_rates_of_their_own_where_the_table_says_so():
    rates = Rates(input=10**9, output=10**9, input_audio=10**10, output_audio=2 * 10**10, reasoning=5 * 10**9)
    usage = Usage(
        1_000_000, 1_000_000, input_audio_tokens=500_000, output_audio_tokens=250_000, reasoning_tokens=250_000
    )
    assert Price(rates=rates).nanos(usage) == 5_500_000_000 + 6_750_000_000
