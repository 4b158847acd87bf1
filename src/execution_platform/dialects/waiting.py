"""How long a provider asks to wait, in every form providers write it.

`retry-after` as RFC 9110, section 10.2.3 (2022-06) has it, `retry-after-ms` of OpenAI and Azure, and where neither is told the
reset of a limit of which nothing is left: `x-ratelimit-*` (OpenAI and those who follow it: `1s`, `6m0s`, `20ms`; platform docs,
"Rate limits", 2026-10) and `anthropic-ratelimit-*` (a date of RFC 3339; API docs, "Rate limits", 2026-10).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_COUNTED = tuple((f"x-ratelimit-remaining-{what}", f"x-ratelimit-reset-{what}") for what in ("requests", "tokens"))
_DATED = tuple(
    (f"anthropic-ratelimit-{what}-remaining", f"anthropic-ratelimit-{what}-reset")
    for what in ("requests", "tokens", "input-tokens", "output-tokens")
)
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?=\d)(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds, or a date measured from the answer's own)."""
    exact = seconds(headers.get("retry-after-ms"))
    if exact is not None:
        return exact / 1000
    given = headers.get("retry-after")
    wait = seconds(given)
    if wait is not None:
        return wait
    until = _date(given)
    return _reset_after(headers) if until is None else _left(until, headers)


def _reset_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until the last of the used-up limits is reset; None when none is used up."""
    waits = [_duration(headers.get(reset)) for left, reset in _COUNTED if _is_used_up(headers, left)]
    for left, reset in _DATED:
        if _is_used_up(headers, left):
            until = _moment(headers.get(reset))
            waits.append(None if until is None else _left(until, headers))
    return max((wait for wait in waits if wait is not None), default=None)


def _is_used_up(headers: Mapping[str, str], name: str) -> bool:
    left = seconds(headers.get(name))
    return left is not None and left < 1


def _left(until: datetime, headers: Mapping[str, str]) -> float:
    return max(0.0, (until - (_date(headers.get("date")) or datetime.now(UTC))).total_seconds())


def _duration(text: str | None) -> float | None:
    """`1s`, `6m0s`, `20ms`, `1h2m3.5s`, or seconds as a bare number."""
    match = _DURATION.fullmatch(text.strip()) if text else None
    if match is None:
        return seconds(text)
    return sum(float(match[place] or 0) * unit for place, unit in enumerate((86400, 3600, 60, 1, 0.001), start=1))


def _moment(text: str | None) -> datetime | None:
    """A date and time of RFC 3339 with its offset."""
    try:
        value = datetime.fromisoformat(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and value.tzinfo is not None else None


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
