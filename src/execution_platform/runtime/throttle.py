"""Rate limits of a call: what the caller may take before anything is tried, and what a target may be given.

Requests that count tokens for free (`count_tokens`) are not limited. Tokens are held by an estimate and corrected by
what the answer reports: a quarter of the body's bytes, and the answer's own limit as far as it is not more than usual.
"""

from execution_platform.limits.limiter import Limit
from execution_platform.router.attempt import Attempt
from execution_platform.runtime.call import Call
from execution_platform.spi.usage import Usage

_USUAL_ANSWER = 1000
"""Tokens of an answer that is held for when the request allows more, or does not say."""
_BYTES_PER_TOKEN = 4


async def throttle(call: Call) -> None:
    """Take a request of the limits of the call's key, tenant and persona. Raises `RateLimited`."""
    table = call.snapshot.limits
    if not table.for_callers or call.operation == "count":
        return
    persona = call.route.persona if call.route is not None else None
    limits = table.caller(call.principal.subject, call.principal.tenant, None if persona is None else persona.name)
    if limits:
        call.limits = limits
        call.admission = await table.limiter.admit(limits, _tokens(call, limits))


async def throttle_target(call: Call, attempt: Attempt) -> None:
    """Take a request of the limits of the target's provider and model. Raises `RateLimited`, which leads to the next one."""
    table = call.snapshot.limits
    if not table.for_targets or call.operation == "count":
        return
    limits = table.target(attempt.target.provider, attempt.target.model)
    if limits:
        admission = await table.limiter.admit(limits, _tokens(call, limits))
        call.target_admissions.append((attempt, admission))


def settle_limits(call: Call) -> None:
    """The call is over: what was held is corrected to what was used.

    A target that gave no answer used no tokens. Where an answer began and nothing was reported, the estimate stands.
    """
    if call.admission is not None:
        used = _used(call.outcome.usage, answered=call.outcome.target is not None)
        if used is not None:
            call.admission.settle(used)
    for attempt, admission in call.target_admissions:
        used = _used(attempt.metered.usage, answered=attempt.status != "failed")
        if used is not None:
            admission.settle(used)


def _used(usage: Usage | None, *, answered: bool) -> int | None:
    """Tokens in truth; None where nobody said."""
    if usage is not None:
        return usage.prompt_tokens + usage.completion_tokens
    return None if answered else 0


def _tokens(call: Call, limits: tuple[Limit, ...]) -> int:
    """The estimate, where any of `limits` asks for it."""
    if all(limit.rule.unit == "requests" for limit in limits):
        return 0
    asked = max(1, len(call.body) // _BYTES_PER_TOKEN)
    if call.operation != "chat":
        return asked
    return asked + min(call.peek.max_tokens or _USUAL_ANSWER, _USUAL_ANSWER) * max(1, call.peek.n)
