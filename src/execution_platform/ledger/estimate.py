"""What a request can cost at most, before it is sent.

Two measures of a prompt. The rough one looks at the length of its bytes and at how many of them are spaces, costs nothing, and is
rarely below the truth. The exact one counts with a tokenizer, needs tens of megabytes and some time, and is asked only where it
decides: when the rough measure does not fit into what is left of a budget.
"""

from decimal import Decimal
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple, Protocol

from execution_platform.catalog.prices import PriceBook, Quote
from execution_platform.catalog.rates import Price

MILLION = 1_000_000
_FRAME_TOKENS = 16
_SPACED = 16
"""Ordinary text has a space at least every so many bytes; anything denser may be numbers, code, base64 or another script."""
_SAMPLE = 1024
_SAMPLED = 4 * _SAMPLE
_SEARCHES = 10
"""Searches held back for, of each kind the provider offers. Vendors stop at about as many in one answer."""
_ENCODING = "o200k_base"

OTHER_TOKENIZERS = Decimal("1.4")
"""Claude's and Gemini's tokenizers make up to 1.35 tokens of one of o200k's (Anthropic, migration notes of Claude 4.7, 2026-04)."""


def rough_tokens(body: bytes) -> int:
    """An upper bound of a body's tokens by its bytes: half of them for spaced text, three quarters for dense.

    Hexadecimal digits, the densest text in use, come to 0.57 tokens a byte with o200k, random base64 to 0.68. Of a long body
    only samples are looked at.
    """
    size = len(body)
    sample = body if size <= _SAMPLED else body[:_SAMPLE] + body[size // 2 : size // 2 + _SAMPLE] + body[-_SAMPLE:]
    if sample.count(b" ") * _SPACED < len(sample):
        return size * 3 // 4 + _FRAME_TOKENS
    return size // 2 + _FRAME_TOKENS


class RateCard(NamedTuple):
    """The dearest a model can charge: nano-dollars for a million tokens, and for one answer's web searches."""

    input: int
    input_cached: int
    """When the prompt is marked for the cache: writing it may cost more than reading it plainly."""
    input_audio: int
    output: int
    output_audio: int
    searches: int
    request: int = 0
    """Nano-dollars of an answer as such."""
    tiered: bool = False

    def nanos(self, tokens: "Tokens") -> int:
        """What so many tokens cost at most, rounded up."""
        reading = self.input_cached if tokens.cached else self.input
        writing = self.output
        if tokens.audio:
            reading, writing = max(reading, self.input_audio), max(writing, self.output_audio)
        nanos = self.request - (-(reading * tokens.input + writing * tokens.output) // MILLION)
        return nanos + self.searches if tokens.searches else nanos


class Tokens(NamedTuple):
    """What a request may come to."""

    input: int
    output: int
    cached: bool = False
    audio: bool = False
    searches: bool = False
    special: bool = False
    """Another service tier, speed or region may be asked for than the plain one."""

    @property
    def total(self) -> int:
        """Both directions together."""
        return self.input + self.output


FREE_CARD = RateCard(0, 0, 0, 0, 0, 0)


class RateCards:
    """The rate cards of one price book, made once for each price."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices
        self._cards: dict[tuple[str, str, bool], tuple[Quote, RateCard]] = {}

    def card(self, provider: str, model: str, input_tokens: int, *, special: bool = False) -> RateCard | None:
        """The card of a model for a prompt of at most so many tokens; None when its price is not known.

        `special`: the request may ask for another service tier, speed or region than the plain one, at another price.
        """
        quote = self._prices.quote(provider, model)
        if quote is None:
            return None
        key = (provider, model, special)
        kept = self._cards.get(key)
        if kept is None or kept[0] is not quote:
            if len(self._cards) >= _CARDS:
                self._cards.clear()
            kept = self._cards[key] = (quote, _card(quote, 0, special=special))
        card = kept[1]
        return _card(quote, input_tokens, special=special) if card.tiered else card


_CARDS = 4096


def _card(quote: Quote, input_tokens: int, *, special: bool) -> RateCard:
    card = dearest(quote.price, input_tokens)
    if special:
        for other in quote.combined():
            more = dearest(other, input_tokens)
            card = RateCard(*map(max, card[:-1], more[:-1]), tiered=card.tiered or more.tiered)
    return card


def dearest(price: Price, input_tokens: int) -> RateCard:
    """The dearest of a price's rates in each direction, for prompts up to that length."""
    if price.free:
        return FREE_CARD
    rates = price.at(input_tokens)
    return RateCard(
        _most(rates.input, rates.input_image),
        _most(rates.input, rates.input_image, rates.cache_write, rates.cache_write_1h),
        _most(rates.input, rates.input_audio),
        _most(rates.output, rates.reasoning, rates.output_image),
        _most(rates.output, rates.reasoning, rates.output_audio, rates.output_image),
        sum(price.units.values()) * _SEARCHES,
        price.request,
        tiered=bool(price.tiers),
    )


def _most(*rates: int | None) -> int:
    return max(rate for rate in rates if rate is not None)


class Tokenizer(Protocol):
    """Counts the tokens of a text."""

    def count(self, text: str) -> int:
        """How many there are."""
        ...


@cache
def tokenizer() -> Tokenizer | None:
    """The tokenizer o200k, loaded at the first call; None where its package is missing. Takes 50 ms and 70 MB.

    Only the package's native module is loaded: its Python half builds tables of another 140 MB that nobody here reads.
    """
    package = find_spec("bpe_openai")
    places = [] if package is None else package.submodule_search_locations or ()
    for place in places:
        for module in sorted(Path(place).glob("_bindings*")):
            spec = spec_from_file_location("_bindings", module)
            if spec is not None and spec.loader is not None and module.suffix != ".pyi":
                native = module_from_spec(spec)
                spec.loader.exec_module(native)
                return native.tokenizer_for_encoding(_ENCODING)
    return None
