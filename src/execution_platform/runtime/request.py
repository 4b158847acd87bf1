"""The canonical request of a call: decoded once, with the persona's text and defaults put in."""

from execution_platform.router.persona import with_persona
from execution_platform.runtime.call import Call
from execution_platform.spi.request import ChatRequest


def decoded(call: Call) -> ChatRequest:
    """The request as the caller wrote it. Raises `InvalidRequest`."""
    request = call.decoded
    if request is None:
        stream = call.peek.stream if call.path_model is not None else None
        request = call.decoded = call.dialect.decode_request(call.body, model=call.path_model, stream=stream)
    return request


def canonical(call: Call) -> ChatRequest:
    """The request as it goes to every target of the chain: with persona, and with what the stash kept."""
    request = call.request
    if request is None:
        request = decoded(call)
        persona = call.route.persona if call.route is not None else None
        if persona is not None:
            request = with_persona(request, persona)
        request = call.request = call.snapshot.stash.refill(call.principal.tenant, request)
    return request
