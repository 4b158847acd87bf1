"""The dry run of a request."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Body

from execution_platform import _json
from execution_platform.dialects import dialect
from execution_platform.dialects.native.request import platform_options
from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.runtime.explain import explain as explain_request
from execution_platform.runtime.plan import with_provider

router = APIRouter(tags=["explain"])
_NOTHING_SAID = [{"role": "user", "content": "-"}]


@router.post("/v1/explain")
def explain(state: GatewayState, principal: Caller, body: dict[str, Any] = Body(...)) -> dict[str, Any]:  # noqa: B008, FAST002
    """A native request, with `messages` optional: its candidates, losses and price, without sending anything."""
    said = body.get("messages") or _NOTHING_SAID
    request = dialect("native").decode_request(_json.dumps({**body, "messages": said}))
    if said is _NOTHING_SAID:
        request = replace(request, messages=())
    provider = platform_options(request).provider
    if provider is not None:
        request = replace(request, model=with_provider(request.model, provider))
    return explain_request(state.snapshot, request, principal=principal)
