"""How long a provider asks to wait, in every form providers write it (RFC 9110, section 10.2.3; 2022-06)."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds, or a date measured from the answer's own)."""
    exact = seconds(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    given = headers.get("retry-after")
    wait = seconds(given)
    until = _date(given) if wait is None else None
    if until is None:
        return wait
    return max(0.0, (until - (_date(headers.get("date")) or datetime.now(UTC))).total_seconds())


def seconds(text: str | None) -> float | None:
    """A number of seconds that can be waited; None for anything else."""
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and 0 <= value < float("inf") else None


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        value = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
