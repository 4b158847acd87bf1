"""Our books against a provider's: a usage export in CSV, compared day by day and model by model, with the likely reason.

Exports differ from vendor to vendor and from year to year, so columns are found by name among those in use; what an export
does not have is not compared.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from execution_platform.exceptions import InvalidRequest
from execution_platform.ledger.money import to_nanos

_DAY = ("date", "day", "usage_date", "usage_date_utc", "start_time", "start_time_iso", "bucket_start", "timestamp")
_MODEL = ("model", "model_version", "model_name", "snapshot_id", "line_item", "sku")
_INPUT = (
    "input_tokens", "n_context_tokens_total", "prompt_tokens", "usage_input_tokens", "usage_input_tokens_no_cache",
    "usage_input_tokens_cache_read", "usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h",
    "uncached_input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
)  # fmt: skip
_OUTPUT = ("output_tokens", "n_generated_tokens_total", "completion_tokens", "usage_output_tokens")
_COST = ("cost_usd", "cost", "amount", "amount_value", "cost_in_usd", "amount_usd")
_REQUESTS = ("requests", "n_requests", "num_model_requests", "request_count")
_MINUTE_EPOCH = 10**8
_NEAR = Decimal("0.005")
_HALF = Decimal("0.5")
_SHIFTED = "with the neighbouring day the books agree: the export's days begin at another hour; export them in UTC"


@dataclass(frozen=True, slots=True)
class Used:
    """What one model used on one day, by one of the two books. None where a book does not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    nanos: int | None = None
    requests: int | None = None

    def plus(self, other: "Used") -> "Used":
        """Both together."""
        return Used(*(_sum(mine, theirs) for mine, theirs in zip(self.parts, other.parts, strict=True)))

    @property
    def parts(self) -> tuple[int | None, ...]:
        """In the order of the fields."""
        return self.input_tokens, self.output_tokens, self.nanos, self.requests


Key = tuple[date, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One day and model of both books."""

    day: date
    model: str
    ours: Used
    theirs: Used
    reason: str
    """Empty when the books agree."""


def _sum(one: int | None, two: int | None) -> int | None:
    if one is None or two is None:
        return one if two is None else two
    return one + two


def read_export(text: str) -> dict[Key, Used]:
    """What an export tells by day and model. Raises `InvalidRequest` that names the column or row at fault."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    columns = {name.strip().lower().replace(" ", "_"): name for name in rows.fieldnames or ()}
    day, model = _one(columns, _DAY), _one(columns, _MODEL)
    if day is None or model is None:
        missing = "day" if day is None else "model"
        raise InvalidRequest(f"the export has no column for the {missing}; it has {', '.join(columns) or 'none'}")
    found: dict[Key, Used] = {}
    for number, row in enumerate(rows, start=2):
        if not (row.get(model) or "").strip():
            continue
        key = (_date(row[day], number), row[model].strip())
        used = Used(
            _number(row, columns, _INPUT, number),
            _number(row, columns, _OUTPUT, number),
            _money(row, columns, number),
            _number(row, columns, _REQUESTS, number),
        )
        found[key] = found.get(key, Used()).plus(used)
    return found


def _one(columns: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _number(row: Mapping[str, str], columns: Mapping[str, str], names: Iterable[str], number: int) -> int | None:
    """The sum of all columns of one meaning: some vendors split input by cache."""
    given = [row[columns[name]] for name in names if name in columns and row.get(columns[name])]
    try:
        return sum(int(Decimal(text.replace(",", ""))) for text in given) if given else None
    except (InvalidOperation, ValueError):
        raise InvalidRequest(f"line {number} of the export has a number that is none") from None


def _money(row: Mapping[str, str], columns: Mapping[str, str], number: int) -> int | None:
    column = _one(columns, _COST)
    text = (row.get(column) or "").strip().lstrip("$").replace(",", "") if column is not None else ""
    if not text:
        return None
    try:
        return to_nanos(Decimal(text))
    except InvalidOperation:
        raise InvalidRequest(f"line {number} of the export has a cost that is no number") from None


def _date(text: str, number: int) -> date:
    text = text.strip()
    try:
        if text.isdigit() and int(text) > _MINUTE_EPOCH:
            return datetime.fromtimestamp(int(text), UTC).date()
        return datetime.fromisoformat(text).date()
    except (ValueError, OverflowError):
        raise InvalidRequest(f"line {number} of the export has a date that is none: write 2026-01-31") from None


def compare(ours: Mapping[Key, Used], theirs: Mapping[Key, Used]) -> list[Difference]:
    """Every day and model of either book, in order, with the likely reason where they differ."""
    matched: dict[Key, Used] = {}
    for key, used in theirs.items():
        known = _matching(key, ours)
        matched[known] = matched.get(known, Used()).plus(used)
    keys = sorted({*ours, *matched})
    nothing = Used()
    lines = [
        Difference(*key, (mine := ours.get(key, nothing)), (other := matched.get(key, nothing)), _reason(mine, other))
        for key in keys
    ]
    shifted = _shifted(lines)
    return [replace(line, reason=_SHIFTED) if (line.day, line.model) in shifted else line for line in lines]


def _shifted(lines: Sequence[Difference]) -> set[Key]:
    """Neighbouring days of a model that differ, and agree when they are taken together: what one lacks the other has."""
    found: set[Key] = set()
    by_key = {(line.day, line.model): line for line in lines if line.reason}
    for (day, model), line in by_key.items():
        following = by_key.get((day + timedelta(days=1), model))
        if following is None or (day, model) in found:
            continue
        ours, theirs = line.ours.plus(following.ours), line.theirs.plus(following.theirs)
        pairs = zip(ours.parts, theirs.parts, strict=True)
        if ours.input_tokens and theirs.input_tokens and not any(_apart(*pair) for pair in pairs):
            found |= {(day, model), (following.day, model)}
    return found


def _matching(key: Key, ours: Mapping[Key, Used]) -> Key:
    """Our name of the export's model: exports name the dated version (`gpt-4o-2024-08-06`) of what was asked for."""
    day, model = key
    if key in ours:
        return key
    candidates: Sequence[str] = [name for at, name in ours if at == day and model.startswith(f"{name}-")]
    return (day, max(candidates, key=len)) if candidates else key


def _reason(ours: Used, theirs: Used) -> str:
    if ours == Used():
        return "calls that did not pass the gateway, or another name of the model"
    if theirs == Used():
        return "not in the export: another account or time zone, or tries the provider did not bill"
    tokens = [_apart(ours.input_tokens, theirs.input_tokens), _apart(ours.output_tokens, theirs.output_tokens)]
    if any(tokens):
        more = (theirs.input_tokens or 0) + (theirs.output_tokens or 0) > (ours.input_tokens or 0) + (
            ours.output_tokens or 0
        )
        if more:
            return "they count more tokens: calls that did not pass the gateway, or the end of cut answers"
        return "we count more tokens: estimates of cut answers, or a day that ends at another hour"
    if _apart(ours.nanos, theirs.nanos):
        return _price_reason(ours.nanos or 0, theirs.nanos or 0)
    return ""


def _price_reason(ours: int, theirs: int) -> str:
    if not ours:
        return "the same tokens, and we have no price for them: set it with `ep prices set`"
    share = Decimal(theirs) / Decimal(ours)
    why = "batches, or a tier" if abs(share - _HALF) <= _NEAR else "a discount, a tier or a changed list price"
    return f"the same tokens at {share:.3f} of our price: {why}; set it with `ep prices set`"


def _apart(one: int | None, two: int | None) -> bool:
    """Whether two numbers differ by more than half a percent; what one book does not say differs from nothing."""
    if one is None or two is None:
        return False
    return abs(one - two) > max(one, two) * _NEAR
