"""The response headers that tell what happened."""

import time
from functools import lru_cache

from execution_platform.exceptions import BudgetExceeded
from execution_platform.gateway.http import HeaderList
from execution_platform.gateway.ratelimits import rate_limit_headers
from execution_platform.router.target import Target
from execution_platform.runtime.call import Call, Outcome
from execution_platform.spi.loss import loss_header


def header_value(text: str) -> bytes:
    """`text` as a header value: printable ASCII only, so that nothing can forge a header."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return bytes(byte if 32 <= byte < 127 else 63 for byte in text.encode("ascii", "replace"))


_NAMES_KEPT = 4096
_TENS = 10**8
"""Tens of nano-dollars of a dollar."""
_name = lru_cache(_NAMES_KEPT)(header_value)
"""The same for names, which are few and come again and again."""


def answer_headers(call: Call, content_type: str | None) -> HeaderList:
    """The headers of an answer or an error that knows its call."""
    outcome = call.outcome
    overhead = time.perf_counter() - call.started - outcome.upstream_seconds
    headers: HeaderList = [
        (b"x-request-id", call.id.encode()),
        (b"x-ep-attempts", b"%d" % outcome.attempts),
        (b"x-ep-config", call.snapshot.version.encode()),
        (b"x-ep-overhead-ms", b"%.3f" % (overhead * 1000)),
        (b"x-ep-cache", b"off"),
    ]
    if content_type is not None:
        headers.append((b"content-type", content_type.encode()))
    if outcome.target is not None:
        headers.extend(_target_headers(outcome.target))
    if call.route is not None and call.route.persona is not None:
        headers.append((b"x-ep-persona", _name(call.route.persona.name)))
    if outcome.losses:
        headers.append((b"x-ep-loss", header_value(loss_header(outcome.losses))))
    if outcome.cost is not None:
        headers.append((b"x-ep-cost-usd", dollars(outcome.cost.nanos)))
    if call.downgraded is not None:
        headers.append((b"x-ep-downgraded", header_value(call.downgraded)))
    if outcome.simulated:
        headers.append((b"x-ep-simulated", b"true"))
    headers.extend(_way(outcome))
    if call.limits:
        headers.extend(rate_limit_headers(call))
    if call.dialect.name == "anthropic":
        headers.append((b"request-id", call.id.encode()))
    return headers


def _target_headers(target: Target) -> HeaderList:
    """Who answered, and for which side of an experiment."""
    headers: HeaderList = [
        (b"x-ep-provider", _name(target.provider)),
        (b"x-ep-model", _name(target.model)),
    ]
    if target.arm is not None:
        headers.append((b"x-ep-arm", _name(target.arm)))
    return headers


def dollars(nanos: int) -> bytes:
    """Nano-dollars as dollars with eight places, half of the last one to the even."""
    tens, rest = divmod(nanos, 10)
    if rest > 5 or (rest == 5 and tens % 2):
        tens += 1
    return b"%d.%08d" % divmod(tens, _TENS)


def _way(outcome: Outcome) -> HeaderList:
    """Where another target answered than the first, why; and that a vendor's SDK need not try again what was tried here."""
    fallback = outcome.fallback
    if fallback is not None:
        return [
            (b"x-ep-fallback-from", header_value(str(fallback.target))),
            (b"x-ep-fallback-reason", header_value(fallback.reason)),
        ]
    # SDKs obey it (openai-python and anthropic-sdk-python, `_should_retry`, 2026-10): one layer repeats, not two.
    # An exhausted budget says so itself, with the error's own headers.
    tried_again = outcome.attempts > 1 and not isinstance(outcome.error, BudgetExceeded)
    return [(b"x-should-retry", b"false")] if outcome.error is not None and tried_again else []
