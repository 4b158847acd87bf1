"""The dry run of a request."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Body, Request

from execution_platform import _json
from execution_platform.dialects import dialect
from execution_platform.dialects.native.request import platform_options
from execution_platform.gateway.http import read_headers
from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.runtime.conversation import conversation_of
from execution_platform.runtime.explain import explain as explain_request
from execution_platform.runtime.plan import with_provider

router = APIRouter(tags=["explain"])
_NOTHING_SAID = [{"role": "user", "content": "-"}]


@router.post("/v1/explain")
def explain(
    request_: Request,
    state: GatewayState,
    principal: Caller,
    body: dict[str, Any] = Body(...),  # noqa: B008, FAST002
) -> dict[str, Any]:
    """A native request, with `messages` optional: its candidates, losses and price, without sending anything.

    `x-ep-conversation` and the session headers of agents tell its conversation, as they do when it is sent.
    """
    said = body.get("messages") or _NOTHING_SAID
    request = dialect("native").decode_request(_json.dumps({**body, "messages": said}))
    if said is _NOTHING_SAID:
        request = replace(request, messages=())
    provider = platform_options(request).provider
    if provider is not None:
        request = replace(request, model=with_provider(request.model, provider))
    key = conversation_of(read_headers(request_.scope), _json.dumps(body), principal.tenant)
    return explain_request(state.snapshot, request, principal=principal, conversation=key)
