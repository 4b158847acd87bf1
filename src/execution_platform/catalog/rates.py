"""What a usage costs at given rates: whole numbers of nano-dollars, and every token counted once.

Theory of operation
-------------------
A rate is nano-dollars per *million* tokens, so a vendor's price of up to nine decimals is a whole number, and the cost of an
answer is one sum of products that is rounded once. Usage is inclusive: tokens of the cache, of sound and of pictures are
inside `input_tokens`, and are taken out before the plain rate applies. A kind without a rate of its own is not taken out: it
costs what plain tokens cost. Cached and heard tokens may be the same ones, so what is heard never exceeds what is left.

A long prompt moves all tokens of the request to the higher tier, as the vendors do. A cache entry that lives an hour or longer
has the hour's rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import lru_cache

from execution_platform.spi.usage import Usage

MILLION = 1_000_000
NANOS_PER_USD = 1_000_000_000
_HOUR = 3600
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Nano-dollars per million tokens. None: no rate of its own, so the plain one applies."""

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    cache_read_audio: int | None = None
    input_audio: int | None = None
    input_image: int | None = None
    output_audio: int | None = None
    output_image: int | None = None
    reasoning: int | None = None

    def times(self, factor: Fraction) -> "Rates":
        """All of them, dearer by a factor; rounded up."""
        scaled = {
            name: None if rate is None else -(-rate * factor.numerator // factor.denominator)
            for name, rate in self.items()
        }
        return replace(self, **scaled)

    def items(self) -> list[tuple[str, int | None]]:
        """Names and rates."""
        return [(name, getattr(self, name)) for name in RATES]


RATES = tuple(each.name for each in fields(Rates))


Part = tuple[str, int, int]
"""One line of a bill: so many tokens, or pieces, of a kind, at a rate in nano-dollars per million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one model under given terms.

    `tiers` are rates for prompts of more than so many tokens, the longest first.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    units: Mapping[str, int] = field(default_factory=dict[str, int])
    """Nano-dollars of one web search, file search, picture …, by the names of `Usage.units`."""
    request: int = 0
    """Nano-dollars of an answer as such."""
    free: bool = False

    def at(self, input_tokens: int) -> Rates:
        """The rates for a prompt of that length."""
        for start, rates in self.tiers:
            if input_tokens > start:
                return rates
        return self.rates

    def nanos(self, usage: Usage) -> int:
        """Nano-dollars for `usage`, rounded to the nearest."""
        if _is_plain(usage) and not self.free:
            # The bill of almost every answer has two lines.
            rates = self.at(usage.prompt_tokens)
            total = max(0, usage.input_tokens or 0) * rates.input + max(0, usage.output_tokens or 0) * rates.output
            return (total + self.request * MILLION + MILLION // 2) // MILLION
        total = 0
        for _, count, rate in self.parts(usage):
            total += count * rate
        return (total + MILLION // 2) // MILLION

    def parts(self, usage: Usage) -> list[Part]:
        """The bill of `usage`."""
        if self.free:
            return []
        rates = self.at(usage.prompt_tokens)
        bill: list[Part] = []
        _input(bill, usage, rates)
        _output(bill, usage, rates)
        if self.request:
            bill.append(("request", 1, self.request * MILLION))
        if usage.units and self.units:
            for name, count in usage.units.items():
                each = self.units.get(name)
                if each and count > 0:
                    bill.append((name, count, each * MILLION))
        return bill

    def times(self, factor: Fraction) -> "Price":
        """The same with dearer tokens."""
        tiers = tuple((start, rates.times(factor)) for start, rates in self.tiers)
        return replace(self, rates=self.rates.times(factor), tiers=tiers)


def _is_plain(usage: Usage) -> bool:
    """Whether `usage` has no tokens but plain ones, and nothing that is billed by the piece."""
    return not (
        usage.cache_read_tokens
        or usage.cache_write_tokens
        or usage.reasoning_tokens
        or usage.units
        or usage.input_audio_tokens
        or usage.input_image_tokens
        or usage.output_audio_tokens
        or usage.output_image_tokens
    )


def _input(bill: list[Part], usage: Usage, rates: Rates) -> None:
    left = max(0, usage.input_tokens or 0)
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    if read and read > 0 and rates.cache_read is not None:
        left = max(0, left - read)
        if rates.cache_read_audio is not None:
            read -= _put(
                bill, "cache_read_audio", min(read, usage.cache_read_audio_tokens or 0), rates.cache_read_audio
            )
        bill.append(("cache_read", read, rates.cache_read))
    if written and written > 0 and rates.cache_write is not None:
        left = max(0, left - written)
        if rates.cache_write_1h is not None:
            lasting = min(written, _lasting(usage.cache_write_by_ttl))
            written -= _put(bill, "cache_write_1h", lasting, rates.cache_write_1h)
        bill.append(("cache_write", written, rates.cache_write))
    if usage.input_audio_tokens and rates.input_audio is not None:
        heard = usage.input_audio_tokens - (usage.cache_read_audio_tokens or 0)
        left -= _put(bill, "input_audio", min(heard, left), rates.input_audio)
    if usage.input_image_tokens and rates.input_image is not None:
        left -= _put(bill, "input_image", min(usage.input_image_tokens, left), rates.input_image)
    bill.append(("input", left, rates.input))


def _output(bill: list[Part], usage: Usage, rates: Rates) -> None:
    left = max(0, usage.output_tokens or 0)
    if usage.output_audio_tokens and rates.output_audio is not None:
        left -= _put(bill, "output_audio", usage.output_audio_tokens, rates.output_audio)
    if usage.output_image_tokens and rates.output_image is not None:
        left -= _put(bill, "output_image", usage.output_image_tokens, rates.output_image)
    if usage.reasoning_tokens and rates.reasoning is not None:
        left -= _put(bill, "reasoning", usage.reasoning_tokens, rates.reasoning)
    bill.append(("output", max(0, left), rates.output))


def _put(bill: list[Part], kind: str, count: int, rate: int) -> int:
    """Bill `count` tokens of a kind; how many that were."""
    if count <= 0:
        return 0
    bill.append((kind, count, rate))
    return count


def _lasting(by_ttl: Mapping[str, int]) -> int:
    """Tokens of cache entries that live an hour or longer."""
    return sum(max(0, count) for ttl, count in by_ttl.items() if _seconds(ttl) >= _HOUR) if by_ttl else 0


@lru_cache(64)
def _seconds(ttl: str) -> int:
    number, unit = ttl[:-1], _UNITS.get(ttl[-1:])
    return int(number) * unit if unit is not None and number.isdecimal() else 0


NOTHING = Rates(input=0, output=0)
FREE = Price(rates=NOTHING, free=True)
