"""What a model can charge at most: never less than what an answer turns out to cost."""

from hypothesis import given, settings
from hypothesis import strategies as st

from execution_platform.catalog.prices import PriceBook
from execution_platform.config.files import parse_config
from execution_platform.config.known import known
from execution_platform.config.resolve import resolve
from execution_platform.config.settings import Settings
from execution_platform.ledger.estimate import RateCards, Tokens
from execution_platform.spi.usage import Usage

BOOK = PriceBook(resolve(parse_config(""), Settings(environ={}), known().usual_kinds))
CARDS = RateCards(BOOK)
MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-5.1"),
    ("anthropic", "claude-opus-4-8"),
    ("anthropic", "claude-sonnet-4-5"),
    ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-2.5-flash-image"),
]
COUNT = st.integers(0, 150_000)


@settings(max_examples=150, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    counts=st.tuples(COUNT, COUNT, COUNT, COUNT, COUNT, COUNT, COUNT),
    terms=st.tuples(
        st.sampled_from([None, "default", "priority", "flex", "batch"]),
        st.sampled_from([None, "fast"]),
        st.sampled_from([None, "us", "global"]),
    ),
    searches=st.integers(0, 10),
)
def test_what_is_held_covers_what_any_answer_costs(
    model: tuple[str, str], counts: tuple[int, ...], terms: tuple[str | None, ...], searches: int
) -> None:
    """B1: cached, heard, drawn, searched, and under whatever terms the caller may ask for."""
    plain, read, write, audio, text, picture, thought = counts
    tier, speed, region = terms
    usage = Usage(
        plain + read + write + audio,
        text + picture + thought,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_by_ttl={"1h": write},
        input_audio_tokens=audio,
        output_image_tokens=picture,
        reasoning_tokens=thought,
        units={"web_search": searches},
        tier=tier,
        speed=speed,
        region=region,
    )
    tokens = Tokens(usage.prompt_tokens, usage.completion_tokens, cached=True, audio=True, searches=True, special=True)
    card = CARDS.card(*model, tokens.input, special=True)
    cost = BOOK.cost(*model, usage)
    assert card is not None
    assert cost is not None
    assert card.nanos(tokens) >= cost.nanos


def test_a_prompt_that_is_written_to_the_cache_is_held_for() -> None:
    """B1: at the dearest rate of writing, where it is dearer than reading plainly."""
    usage = Usage(1000, 0, cache_write_tokens=1000, cache_write_by_ttl={"1h": 1000})
    card = CARDS.card("anthropic", "claude-sonnet-4-5", 1000)
    cost = BOOK.cost("anthropic", "claude-sonnet-4-5", usage)
    assert card is not None
    assert cost is not None
    assert card.nanos(Tokens(1000, 0, cached=True)) >= cost.nanos > card.nanos(Tokens(1000, 0))


def test_terms_nobody_asks_for_are_not_held_for() -> None:
    plain, special = (CARDS.card("openai", "gpt-5.1", 10, special=special) for special in (False, True))
    assert plain is not None
    assert special is not None
    assert special.output == 2 * plain.output
