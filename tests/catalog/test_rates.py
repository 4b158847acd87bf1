"""The arithmetic of prices: whole numbers, every token once, the sum of the parts, and more is never cheaper."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from execution_platform.catalog.rates import FREE, MILLION, RATES, Price, Rates
from execution_platform.spi.usage import Usage

RATE = st.integers(0, 10**12)
COUNT = st.integers(0, 10**7)
SPECIAL = [name for name in RATES if name not in {"input", "output"}]
INPUTS = ("cache_read", "cache_write", "cache_write_1h", "cache_read_audio", "input_audio", "input_image", "input")
OUTPUTS = ("output_audio", "output_image", "reasoning", "output")
PIECES = ("web_search", "request")


@st.composite
def prices(draw: st.DrawFn, *, tiers: bool = True) -> Price:
    def rates() -> Rates:
        special = {name: draw(st.none() | RATE) for name in SPECIAL}
        return Rates(input=draw(RATE), output=draw(RATE), **special)

    starts = draw(st.lists(COUNT, max_size=2, unique=True)) if tiers else []
    return Price(
        rates=rates(),
        tiers=tuple((start, rates()) for start in sorted(starts, reverse=True)),
        units={"web_search": draw(RATE)},
        request=draw(RATE),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """What a provider that counts right can tell: buckets are inside the totals, and overlap only as cached sound does."""
    read_text, read_audio, written_5m, written_1h, audio, image, plain = (draw(COUNT) for _ in range(7))
    said, pictured, thought, text = (draw(COUNT) for _ in range(4))
    return Usage(
        read_text + read_audio + written_5m + written_1h + audio + image + plain,
        said + pictured + thought + text,
        cache_read_tokens=read_text + read_audio,
        cache_read_audio_tokens=read_audio,
        cache_write_tokens=written_5m + written_1h,
        cache_write_by_ttl={"5m": written_5m, "1h": written_1h},
        input_audio_tokens=audio + read_audio,
        input_image_tokens=image,
        output_audio_tokens=said,
        output_image_tokens=pictured,
        reasoning_tokens=thought,
        units={"web_search": draw(st.integers(0, 100))},
    )


@given(prices(), usages())
def test_every_token_is_on_the_bill_once(price: Price, usage: Usage) -> None:
    bill = price.parts(usage)
    assert sum(tokens for kind, tokens, _ in bill if kind in INPUTS) == usage.input_tokens
    assert sum(tokens for kind, tokens, _ in bill if kind in OUTPUTS) == usage.output_tokens
    assert {kind for kind, _, _ in bill} <= {*INPUTS, *OUTPUTS, *PIECES}


@given(prices(), usages())
def test_a_cost_is_the_sum_of_its_parts_to_the_nearest_nano_dollar(price: Price, usage: Usage) -> None:
    exact = sum((Fraction(tokens * rate, MILLION) for _, tokens, rate in price.parts(usage)), Fraction())
    assert abs(price.nanos(usage) - exact) <= Fraction(1, 2)
    assert type(price.nanos(usage)) is int


@given(prices(), st.none() | COUNT, st.none() | COUNT)
def test_plain_tokens_cost_what_their_bill_says(price: Price, prompt: int | None, completion: int | None) -> None:
    """B6. Most answers have nothing else, and no bill is written for them."""
    usage = Usage(prompt, completion)
    exact = sum((Fraction(tokens * rate, MILLION) for _, tokens, rate in price.parts(usage)), Fraction())
    assert abs(price.nanos(usage) - exact) <= Fraction(1, 2)


@given(prices(tiers=False), usages(), st.sampled_from(["input_tokens", "output_tokens"]), COUNT)
def test_more_tokens_are_never_cheaper(price: Price, usage: Usage, name: str, more: int) -> None:
    """B6. Of plain tokens, at one length of prompt."""
    assert price.nanos(replace(usage, **{name: getattr(usage, name) + more})) >= price.nanos(usage)


@given(prices(), usages())
def test_no_usage_gives_money_back(price: Price, usage: Usage) -> None:
    """B6."""
    assert price.nanos(usage) >= 0
    broken = replace(usage, input_tokens=0, output_tokens=None, cache_write_by_ttl={"1h": 10**9, "": -5})
    assert price.nanos(broken) >= 0
    negative = replace(usage, input_tokens=-(10**6), reasoning_tokens=-5, units={"web_search": -3})
    assert price.nanos(negative) >= 0
    assert price.nanos(Usage(-(10**9), 1)) == price.nanos(Usage(0, 1))
    assert price.nanos(Usage(1, -(10**9))) == price.nanos(Usage(1, 0))


@given(prices(), usages(), st.integers(1, 5))
def test_a_factor_makes_all_tokens_dearer_and_no_piece(price: Price, usage: Usage, tenths: int) -> None:
    dearer = price.times(1 + Fraction(tenths, 10))
    assert dearer.nanos(usage) >= price.nanos(usage)
    assert (dearer.units, dearer.request) == (price.units, price.request)


def test_a_long_prompt_moves_all_its_tokens() -> None:
    price = Price(
        rates=Rates(input=MILLION, output=MILLION),
        tiers=(
            (200, Rates(input=4 * MILLION, output=4 * MILLION)),
            (100, Rates(input=2 * MILLION, output=3 * MILLION)),
        ),
    )
    assert [price.nanos(Usage(tokens, 10)) for tokens in (100, 101, 200, 201)] == [110, 232, 430, 844]


def test_an_entry_that_lives_an_hour_or_longer_has_the_hours_rate() -> None:
    price = Price(rates=Rates(input=0, output=0, cache_write=MILLION, cache_write_1h=2 * MILLION))
    for ttl, cost in (
        ("5m", 10),
        ("30m", 10),
        ("60m", 20),
        ("1h", 20),
        ("12h", 20),
        ("1d", 20),
        ("forever", 10),
        ("", 10),
    ):
        assert price.nanos(Usage(10, 0, cache_write_tokens=10, cache_write_by_ttl={ttl: 10})) == cost


def test_cached_sound_is_not_billed_twice() -> None:
    rates = Rates(input=MILLION, output=0, cache_read=MILLION, cache_read_audio=3 * MILLION, input_audio=10 * MILLION)
    heard = Usage(100, 0, cache_read_tokens=60, cache_read_audio_tokens=60, input_audio_tokens=100)
    assert Price(rates=rates).nanos(heard) == 60 * 3 + 40 * 10
    untold = Usage(100, 0, cache_read_tokens=60, input_audio_tokens=100)
    assert Price(rates=rates).nanos(untold) == 60 + 40 * 10


def test_what_is_free_has_no_bill() -> None:
    assert FREE.parts(Usage(10**9, 10**9, units={"web_search": 9})) == []
    assert FREE.nanos(Usage(10**9, 10**9)) == 0
