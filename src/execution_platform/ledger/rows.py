"""Events as rows of `cost_events`: what a column cannot hold is cut, so that no event can hold up those behind it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import add
from typing import Any

from execution_platform import _json
from execution_platform.ledger.interfaces import CostEvent, Counts
from execution_platform.storage.given import Given

COLUMNS = (
    "id", "request_id", "tenant", "team", "key_id", "persona", "run_id", "provider", "model", "operation", "attempt",
    "final", "status", "confidence", "arm", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "cache_write_1h_tokens", "reasoning_tokens", "input_audio_tokens", "output_audio_tokens", "units", "cost_nanos",
    "price_version", "config_version", "error", "timestamp",
)  # fmt: skip
"""In the order of `row`."""

NAME = 200
REQUEST_ID = 128
_ERROR = 64
_PLAIN = (0, 0, 0, 0, 0, 0, None)
_OWN = ("id", "request_id", "timestamp", "attempt", "final", "cost_nanos", "input_tokens", "output_tokens")
_SPECIAL = (
    "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens", "input_audio_tokens",
    "output_audio_tokens", "units",
)  # fmt: skip
_SHARED = (
    "tenant", "team", "key_id", "persona", "run_id", "provider", "model", "arm", "price_version", "config_version",
    "operation", "status", "confidence", "error",
)  # fmt: skip
_LARGEST = 2**63 - 1
_NANOSECONDS = 1_000_000_000


def row(event: CostEvent) -> tuple[Any, ...]:
    """The row of an event as PostgreSQL's driver takes it."""
    return _row(event, event.id, moment(event.dispatch.at))


def local_rows(events: Sequence[CostEvent]) -> Given:
    """The rows of `events` as SQLite keeps them: a UUID and a time are text, in SQLAlchemy's spelling. The id comes first.

    Most columns are the same in most of them; those nobody uses here are left to the table's defaults.
    """
    places: dict[tuple[str | None, ...], int] = {}
    rows: list[tuple[Any, ...]] = []
    specials: list[tuple[Any, ...]] = []
    is_plain = True
    for event in events:
        dispatch, settlement = event.dispatch, event.settlement
        account, counts, request_id = dispatch.account, settlement.counts, dispatch.account.request_id
        given = (
            account.tenant, account.team, account.key_id, account.persona, account.run_id, dispatch.provider,
            dispatch.model, dispatch.arm, dispatch.price_version, account.config_version, account.operation,
            settlement.status, settlement.confidence, settlement.error,
        )  # fmt: skip
        place = places.get(given)
        if place is None:
            place = places[given] = len(places)
        special = _special(counts)
        is_plain = is_plain and special is _PLAIN
        specials.append(special)
        rows.append(
            (
                place,
                event.id.replace("-", ""),
                request_id if is_short(request_id, REQUEST_ID) else text(request_id, REQUEST_ID),
                local_moment(dispatch.at),
                dispatch.attempt,
                settlement.final,
                whole(settlement.cost_nanos),
                whole(counts.input_tokens),
                whole(counts.output_tokens),
            )
        )
    shared = [_cut(each) for each in places]
    if is_plain:
        return Given(_OWN, rows, _SHARED, shared)
    return Given((*_OWN, *_SPECIAL), list(map(add, rows, specials)), _SHARED, shared)


def _cut(given: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """Values of `_SHARED` as columns hold them."""
    error = given[-1]
    return (*names(*map(str, given[:-1])), None if error is None else text(error, _ERROR))


def _row(event: CostEvent, identity: str, at: object) -> tuple[Any, ...]:
    dispatch, settlement = event.dispatch, event.settlement
    account, counts, request_id = dispatch.account, settlement.counts, dispatch.account.request_id
    return (
        identity,
        request_id if is_short(request_id, REQUEST_ID) else text(request_id, REQUEST_ID),
        *names(account.tenant, account.team, account.key_id, account.persona, account.run_id),
        *names(dispatch.provider, dispatch.model),
        account.operation,
        dispatch.attempt,
        settlement.final,
        settlement.status,
        settlement.confidence,
        name(dispatch.arm),
        whole(counts.input_tokens),
        whole(counts.output_tokens),
        *_special(counts),
        whole(settlement.cost_nanos),
        *names(dispatch.price_version, account.config_version),
        None if settlement.error is None else text(settlement.error, _ERROR),
        at,
    )


def _special(counts: Counts) -> tuple[Any, ...]:
    """The columns that most answers leave empty."""
    if not (
        counts.cache_read_tokens
        or counts.cache_write_tokens
        or counts.cache_write_1h_tokens
        or counts.reasoning_tokens
        or counts.input_audio_tokens
        or counts.output_audio_tokens
        or counts.units is not None
    ):
        return _PLAIN
    return (
        whole(counts.cache_read_tokens),
        whole(counts.cache_write_tokens),
        whole(counts.cache_write_1h_tokens),
        whole(counts.reasoning_tokens),
        whole(counts.input_audio_tokens),
        whole(counts.output_audio_tokens),
        None if counts.units is None else _json.dumps(counts.units).decode(),
    )


def moment(nanoseconds: int) -> datetime:
    """A time of the books as a time of the database, to the microsecond."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def local_moment(nanoseconds: int) -> str:
    """A time of the books as SQLite keeps it."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    return f"{_second(seconds)}.{rest // 1000:06d}"


@lru_cache(64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def is_short(value: str, longest: int) -> bool:
    """Whether a column can hold `value` as it is; asked first, because it nearly always can."""
    return len(value) <= longest and value.isascii() and "\0" not in value


def text(value: str, longest: int) -> str:
    """Without what PostgreSQL cannot store: NUL, lone surrogates, too many characters."""
    if "\0" in value:
        value = value.replace("\0", "")
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode("utf-8")
    return value[:longest]


@lru_cache(4096)
def name(value: str) -> str:
    """A name as a column holds it. Names come again and again."""
    return text(value, NAME)


@lru_cache(4096)
def names(*values: str) -> tuple[str, ...]:
    """Names that come together, time and again."""
    return tuple(map(name, values))


def whole(value: int) -> int:
    """Within what a column of 64 bits holds, and never negative."""
    return value if 0 <= value <= _LARGEST else 0 if value < 0 else _LARGEST
