"""What a provider is told about one try."""

from execution_platform.config.values import Hedge
from execution_platform.providers.base import Exchange, Provider, WireProvider, depart
from execution_platform.router.attempt import Attempt
from execution_platform.router.chain import Run
from execution_platform.router.hedging import hedge_of
from execution_platform.runtime.call import Call


def exchange_for(call: Call, attempt: Attempt, provider: Provider) -> Exchange:
    """The exchange of one try, which shares its losses and what is told with it."""
    headers: dict[str, str] = {}
    if call.forwarded and isinstance(provider, WireProvider) and provider.speaks(call.dialect):
        allowed = provider.spec.forward
        headers.update((name, value) for name, value in call.forwarded.items() if name in allowed)
    if call.trace is not None:
        headers["traceparent"] = call.trace.header
    model = attempt.target.model
    profile = call.snapshot.profile(attempt.target)
    entry = None if call.books is None else call.books.begin(call, attempt)
    return Exchange(model, profile, call.loss_policy, headers, call.deadline, attempt.losses, attempt.told, entry)


async def departing(call: Call, attempt: Attempt, provider: Provider) -> Exchange:
    """The exchange of one try, entered in the books unless the provider does that itself with the first byte."""
    exchange = exchange_for(call, attempt, provider)
    if not isinstance(provider, WireProvider):
        await depart(exchange)
    return exchange


def run_for(call: Call, *, stream: bool, hedge: Hedge) -> Run:
    """The allowance of the call: how many tries, until when, at whose expense."""
    return Run(
        call.snapshot.board,
        call.principal.tenant,
        call.snapshot.max_attempts,
        call.deadline,
        repeats=call.repeats,
        stream=stream,
        hedge=hedge_of(hedge, stream=stream),
    )
