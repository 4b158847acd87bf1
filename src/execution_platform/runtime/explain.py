"""`explain`: the dry run of a request. Which targets would be tried, why others would not, what would be lost, what it may cost."""

from dataclasses import replace

from execution_platform.catalog.prices import remedy
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.identity.principal import Principal
from execution_platform.providers.base import WireProvider
from execution_platform.router.persona import with_persona
from execution_platform.router.requirements import needs_of, normalise
from execution_platform.router.selection import Conversation, no_conversation
from execution_platform.router.target import Target
from execution_platform.runtime.estimate import estimate_tokens
from execution_platform.runtime.plan import authorise, content_needs
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.usage import Usage

EVERYTHING = Principal("operator", role="admin")
_ANSWER = 1024
"""Output tokens assumed for the forecast when the request sets no limit."""


def explain(
    snapshot: Snapshot,
    request: ChatRequest,
    *,
    principal: Principal = EVERYTHING,
    conversation: Conversation = no_conversation,
) -> dict[str, object]:
    """The decision for `request` of `principal` as a JSON object; the request's own `persona` and `requires` count.

    Without a key of its `conversation` an order that hangs on it is one of those that chance may give.

    Raises `RouterError` for names that lead nowhere, `InvalidRequest` for an unknown capability and `PermissionDenied` for
    a persona the key may not use.
    """
    name, persona, requires = request.model, request.persona, normalise(request.requires)
    decision = snapshot.routing.explain(name, persona, requires, conversation)
    needs = needs_of(content_needs(request))
    if needs and not decision.explicit and sum(candidate.kept for candidate in decision.candidates) > 1:
        decision = snapshot.routing.explain(name, persona, {**needs, **requires}, conversation)
    if decision.persona is not None:
        request = with_persona(request, decision.persona)
    refused = authorise(principal, decision, [candidate.target for candidate in decision.candidates])
    shadow = decision.shadow
    candidates: list[dict[str, object]] = []
    order = 0
    for candidate in decision.candidates:
        kept = candidate.kept and candidate.target not in refused
        row: dict[str, object] = {
            "provider": candidate.target.provider,
            "model": candidate.target.model,
            "kept": kept,
            "reason": candidate.reason if candidate.target not in refused else "this key may not use it",
        }
        if candidate.target.arm is not None:
            row["arm"] = candidate.target.arm
        if kept:
            order += 1
            row["order"] = order
            row.update(_forecast(snapshot, candidate.target, request))
        candidates.append(row)
    return {
        "requested": {"model": name, "persona": persona, "requires": requires},
        "persona": decision.persona.name if decision.persona is not None else None,
        "strategy": decision.strategy,
        "arm": decision.arm,
        "shadow": None if shadow is None else {"model": str(shadow.target), "percent": shadow.percent},
        "explicit": decision.explicit,
        "config": snapshot.version,
        "candidates": candidates,
    }


def _forecast(snapshot: Snapshot, target: Target, request: ChatRequest) -> dict[str, object]:
    """What sending `request` to `target` would lose, and roughly cost."""
    row: dict[str, object] = {}
    provider = snapshot.providers.get(target.provider)
    if isinstance(provider, WireProvider) and request.messages:
        asked = replace(request, model=target.model, stream=request.stream)
        try:
            encoded = provider.dialect.encode_request(asked, snapshot.profile(target))
        except ExecutionPlatformError as error:
            row["refused"] = error.message
        else:
            row["losses"] = [
                {"path": loss.path, "what": loss.what, "severity": loss.severity} for loss in encoded.losses
            ]
    usage = Usage(estimate_tokens(request), request.max_tokens or _ANSWER, estimated=True)
    quote = snapshot.prices.quote(target.provider, target.model)
    cost = None if quote is None else quote.cost(usage)
    row["estimate"] = {
        "input_tokens": usage.input_tokens,
        "output_tokens_at_most": usage.output_tokens,
        "cost_usd": None if cost is None else float(cost.usd),
        "price_version": None if quote is None else quote.version,
    }
    if quote is None:
        row.setdefault("refused", f"its price is not known: {remedy(target.provider, target.model)}")
    return row
