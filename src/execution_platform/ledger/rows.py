"""An event as a row of `cost_events`: what a column cannot hold is cut, so that no event can hold up those behind it."""

from datetime import UTC, datetime
from typing import Any

from execution_platform.ledger.interfaces import CostEvent

NAME = 200
REQUEST_ID = 128
_ERROR = 64
_LARGEST = 2**63 - 1
_NANOSECONDS = 1_000_000_000


def row(event: CostEvent) -> dict[str, Any]:
    """The row of an event."""
    dispatch, settlement = event.dispatch, event.settlement
    account, counts = dispatch.account, settlement.counts
    return {
        "id": dispatch.id,
        "request_id": text(account.request_id, REQUEST_ID),
        "tenant": text(account.tenant),
        "team": text(account.team),
        "key_id": text(account.key_id),
        "persona": text(account.persona),
        "run_id": text(account.run_id),
        "provider": text(dispatch.provider),
        "model": text(dispatch.model),
        "operation": account.operation,
        "attempt": dispatch.attempt,
        "final": settlement.final,
        "status": settlement.status,
        "confidence": settlement.confidence,
        "arm": text(dispatch.arm),
        "input_tokens": whole(counts.input_tokens),
        "output_tokens": whole(counts.output_tokens),
        "cache_read_tokens": whole(counts.cache_read_tokens),
        "cache_write_tokens": whole(counts.cache_write_tokens),
        "cache_write_1h_tokens": whole(counts.cache_write_1h_tokens),
        "reasoning_tokens": whole(counts.reasoning_tokens),
        "input_audio_tokens": whole(counts.input_audio_tokens),
        "output_audio_tokens": whole(counts.output_audio_tokens),
        "units": counts.units,
        "cost_nanos": whole(settlement.cost_nanos),
        "price_version": text(dispatch.price_version),
        "config_version": text(account.config_version),
        "error": None if settlement.error is None else text(settlement.error, _ERROR),
        "timestamp": moment(dispatch.at),
    }


def moment(nanoseconds: int) -> datetime:
    """A time of the books as a time of the database, to the microsecond."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def text(value: str, longest: int = NAME) -> str:
    """Without what PostgreSQL cannot store: NUL, lone surrogates, too many characters."""
    if "\0" in value:
        value = value.replace("\0", "")
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode("utf-8")
    return value[:longest]


def whole(value: int) -> int:
    """Within what a column of 64 bits holds, and never negative."""
    return value if 0 <= value <= _LARGEST else 0 if value < 0 else _LARGEST
