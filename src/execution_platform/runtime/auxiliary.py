"""Embeddings and token counts: the kernel's other two operations, over the same chain of targets."""

from collections.abc import Awaitable, Callable

from execution_platform.exceptions import InvalidRequest, RequirementError
from execution_platform.router.attempt import Attempt
from execution_platform.router.chain import first_to_commit
from execution_platform.router.patience import whole_answer
from execution_platform.router.persona import with_persona
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call
from execution_platform.runtime.estimate import estimate_tokens
from execution_platform.runtime.exchange import departing, run_for
from execution_platform.runtime.throttle import throttle_target

_JSON = "application/json"
Try = Callable[[Attempt], Awaitable[Answer]]


async def embed(call: Call) -> Answer:
    """Vectors for the call's inputs. Raises `RequirementError` when no target has embeddings."""
    codec = call.dialect.embeddings
    if codec is None:
        raise InvalidRequest(f"the {call.dialect.name} dialect has no embeddings")
    request = codec.decode_request(call.body, model=call.path_model)

    async def attempt(tried: Attempt) -> Answer:
        provider = call.snapshot.provider(tried.target.provider)
        await throttle_target(call, tried)
        exchange = await departing(call, tried, provider)
        response = await whole_answer(provider, exchange, provider.embed(request, exchange))
        tried.metered.usage = response.usage
        tried.metered.finished = True
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

    async def attempt(tried: Attempt) -> Answer:
        provider = call.snapshot.provider(tried.target.provider)
        exchange = await departing(call, tried, provider)
        counted = await whole_answer(provider, exchange, provider.count(request, exchange))
        call.outcome.estimated = counted is None
        tried.metered.finished = True
        return Answer(_JSON, body=codec.encode_response(estimate_tokens(request) if counted is None else counted))

    return await _over_chain(call, attempt)


async def _over_chain(call: Call, attempt: Try) -> Answer:
    targets = call.route.targets if call.route is not None else ()
    run = call.outcome.run = run_for(call, stream=False, hedge=False)
    answer = await first_to_commit(targets, attempt, run)
    if run.winner is not None:
        call.outcome.adopt(run.winner)
    return answer
