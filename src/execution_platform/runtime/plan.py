"""From a call to the targets that may serve it, in order, and whether its bytes can pass through."""

from collections.abc import Iterable, Iterator

from execution_platform.exceptions import PermissionDenied
from execution_platform.identity.principal import Principal
from execution_platform.identity.scope import covers, holds
from execution_platform.providers.base import WireProvider
from execution_platform.router.requirements import RequestNeeds, needs_of, normalise
from execution_platform.router.table import Decision, Route
from execution_platform.router.target import Target
from execution_platform.runtime.call import Call
from execution_platform.runtime.marks import contains, contains_any
from execution_platform.runtime.request import decoded
from execution_platform.spi.parts import MediaPart, Part, ToolResultPart
from execution_platform.spi.request import ChatRequest

_TELLTALES = (
    b"image",
    b"audio",
    b"document",
    b"file",
    b"inline",
    b"json_",
    b"Schema",
    b"logprobs",
    b"application/json",
)
"""A body without any of these asks nothing special of a model, so it need not be decoded to choose one."""


def plan(call: Call) -> Route:
    """The route of `call`: persona or model → targets. Raises `RouterError`, `RequirementError`, `PermissionDenied`."""
    peek, routing = call.peek, call.snapshot.routing
    name = call.path_model or peek.model
    provider = call.provider or peek.provider
    if provider is not None:
        name = with_provider(name, provider)
    persona = call.persona or peek.persona
    native = call.dialect.name == "native" and call.operation == "chat"
    requires = normalise(decoded(call).requires) if native else {}
    route = routing.route(name, persona, requires, call.conversation, stream=peek.stream)
    if call.operation == "chat" and not route.explicit and len(route.targets) > 1:
        needs = needs_of(request_needs(call))
        if needs:
            route = routing.route(name, persona, {**needs, **requires}, call.conversation, stream=peek.stream)
    refused = authorise(call.principal, route, route.targets)
    if refused:
        raise PermissionDenied(f"this key may not use {', '.join(str(target) for target in refused)}")
    call.route = route
    return route


def with_provider(name: str | None, provider: str) -> str:
    """A model name at an explicitly chosen provider."""
    if name is None:
        return provider
    return name if name.startswith((f"{provider}/", f"{provider}:")) else f"{provider}/{name}"


def request_needs(call: Call) -> RequestNeeds:
    """What the request asks of a model by its content; decoded only if it may hold something special."""
    if not contains_any(call.body, _TELLTALES):
        return RequestNeeds(tools=call.peek.has_tools)
    return content_needs(decoded(call))


def content_needs(request: ChatRequest) -> RequestNeeds:
    """What a decoded request asks of a model by its content."""
    kinds = {part.kind for part in _parts(request) if isinstance(part, MediaPart)}
    output = request.output.kind if request.output is not None else "text"
    return RequestNeeds(
        tools=bool(request.tools),
        images="image" in kinds,
        audio="audio" in kinds,
        documents="document" in kinds,
        json=output != "text",
        json_schema=output == "json_schema",
        logprobs=bool(request.logprobs),
    )


def _parts(request: ChatRequest) -> Iterator[Part]:
    for message in request.messages:
        for part in message.parts:
            yield part
            if isinstance(part, ToolResultPart):
                yield from part.parts


def authorise(principal: Principal, way: Route | Decision, targets: Iterable[Target]) -> list[Target]:
    """Those of `targets` that the key may not use: a model that neither its persona nor a name it may use has chosen.

    Raises `PermissionDenied` when it may not use the persona.
    """
    persona = way.persona
    scope = principal.scope
    if persona is not None and not holds(scope.personas, persona.name):
        raise PermissionDenied(f"this key may not use persona {persona.name}")
    by_persona = persona is not None and not way.explicit
    if scope.models is None or by_persona or way.requested in scope.models:
        return []
    return [target for target in targets if not covers(scope.models, str(target))]


def passes_through(call: Call, provider: WireProvider) -> bool:
    """Whether the caller's bytes can go to `provider` as they are: same dialect, nothing to add or open."""
    if call.route is None or not provider.speaks(call.dialect):
        return False
    persona = call.route.persona
    return (persona is None or not persona.changes_request) and not contains(call.body, call.dialect.seal_mark)
