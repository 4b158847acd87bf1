"""Rate-limit headers in the caller's dialect: how much of the tightest limit is left, and when it is whole again.

Sources: platform.openai.com/docs/guides/rate-limits (`x-ratelimit-*`, resets as durations such as `6m0s`),
platform.claude.com/docs/en/api/rate-limits (`anthropic-ratelimit-*`, resets as RFC 3339), both read 2026-11. Gemini has no
such headers: a refusal carries `google.rpc.RetryInfo` in its body.
"""

import math
import time
from datetime import UTC, datetime

from execution_platform.gateway.http import HeaderList
from execution_platform.limits.limiter import Limit, Limiter
from execution_platform.runtime.call import Call

_MODE = (b"x-ep-ratelimit-mode", b"degraded")
_NAMES = {
    unit: tuple(
        (f"x-ratelimit-{what}-{unit}".encode(), f"anthropic-ratelimit-{unit}-{what}".encode())
        for what in ("limit", "remaining", "reset")
    )
    for unit in ("requests", "tokens")
}


def rate_limit_headers(call: Call) -> HeaderList:
    """The headers of an answer to a call that a limit applies to."""
    limiter = call.snapshot.limits.limiter
    headers: HeaderList = []
    dialect = call.dialect.name
    if dialect != "gemini":
        tightest: dict[str, tuple[int, Limit]] = {}
        for limit in call.limits:
            remaining, unit = limiter.remaining(limit), limit.rule.unit
            known = tightest.get(unit)
            if known is None or remaining < known[0]:
                tightest[unit] = (remaining, limit)
        for unit, (remaining, limit) in tightest.items():
            _add(headers, limiter, limit, remaining, _NAMES[unit], anthropic=dialect == "anthropic")
    if limiter.mode == "degraded":
        headers.append(_MODE)
    return headers


def _add(
    headers: HeaderList,
    limiter: Limiter,
    limit: Limit,
    remaining: int,
    names: tuple[tuple[bytes, bytes], ...],
    *,
    anthropic: bool,
) -> None:
    seconds = limiter.reset_seconds(limit)
    reset = _moment(time.time() + seconds) if anthropic else _duration(seconds)
    values = (b"%d" % limiter.share_of(limit).limit, b"%d" % remaining, reset)
    headers.extend((pair[anthropic], value) for pair, value in zip(names, values, strict=True))


def _duration(seconds: float) -> bytes:
    """As OpenAI writes them: `20ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return b"%dms" % math.ceil(seconds * 1000)
    if round(seconds, 1) < 60:
        return b"%.3gs" % seconds
    minutes, rest = divmod(math.ceil(seconds), 60)
    return b"%dm%ds" % (minutes, rest)


def _moment(at: float) -> bytes:
    """RFC 3339 in UTC, whole seconds, rounded up so that nobody comes early."""
    return datetime.fromtimestamp(math.ceil(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
