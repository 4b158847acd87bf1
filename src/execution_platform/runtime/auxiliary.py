"""Embeddings and token counts: the kernel's other two operations, over the same chain of targets."""

from collections.abc import Awaitable, Callable

from execution_platform.exceptions import InvalidRequest, RequirementError
from execution_platform.router.chain import first_to_commit
from execution_platform.router.persona import with_persona
from execution_platform.router.target import Target
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call
from execution_platform.runtime.estimate import estimate_tokens
from execution_platform.runtime.execute import entered, exchange_for

_JSON = "application/json"
Attempt = Callable[[Target, bool], Awaitable[Answer]]


async def embed(call: Call) -> Answer:
    """Vectors for the call's inputs. Raises `RequirementError` when no target has embeddings."""
    codec = call.dialect.embeddings
    if codec is None:
        raise InvalidRequest(f"the {call.dialect.name} dialect has no embeddings")
    request = codec.decode_request(call.body, model=call.path_model)

    async def attempt(target: Target, last: bool) -> Answer:  # noqa: FBT001 - the loop's own signature
        provider = call.snapshot.provider(target.provider)
        exchange = exchange_for(call, target, provider)
        with entered(exchange):
            response = await provider.embed(request, exchange)
        call.outcome.target = target
        call.outcome.metered.usage = response.usage
        call.outcome.metered.finished = True
        return Answer(_JSON, body=codec.encode_response(response, request))

    return await _over_chain(call, attempt)


async def count_tokens(call: Call) -> Answer:
    """Input tokens by the target's own count, else by an estimate that says so."""
    codec = call.dialect.count
    if codec is None:
        raise RequirementError(f"the {call.dialect.name} dialect has no token count")
    request = codec.decode_request(call.body, model=call.path_model)
    if call.route is not None and call.route.persona is not None:
        request = with_persona(request, call.route.persona)

    async def attempt(target: Target, last: bool) -> Answer:  # noqa: FBT001 - the loop's own signature
        provider = call.snapshot.provider(target.provider)
        exchange = exchange_for(call, target, provider)
        with entered(exchange):
            counted = await provider.count(request, exchange)
        call.outcome.target = target
        call.outcome.estimated = counted is None
        call.outcome.metered.finished = True
        return Answer(_JSON, body=codec.encode_response(estimate_tokens(request) if counted is None else counted))

    return await _over_chain(call, attempt)


async def _over_chain(call: Call, attempt: Attempt) -> Answer:
    targets = call.route.targets if call.route is not None else ()
    failures = call.outcome.failures
    return await first_to_commit(targets, attempt, most=call.snapshot.max_attempts, failures=failures)
