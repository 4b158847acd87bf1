"""The dry run of a request."""

from typing import Any

from fastapi import APIRouter, Body

from execution_platform import _json
from execution_platform.dialects import dialect
from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.router.requirements import normalise
from execution_platform.runtime.explain import explain as explain_request
from execution_platform.spi.request import ChatRequest

router = APIRouter(tags=["explain"])


@router.post("/v1/explain")
def explain(state: GatewayState, principal: Caller, body: dict[str, Any] = Body(...)) -> dict[str, Any]:  # noqa: B008, FAST002
    """A native request, with `messages` optional: its candidates, losses and price, without sending anything."""
    persona = body.pop("personaId", None) or body.pop("persona", None)
    requires = normalise(body.pop("requires", None))
    if body.get("messages"):
        request = dialect("native").decode_request(_json.dumps(body))
    else:
        request = ChatRequest((), body.get("model"))
    return explain_request(state.snapshot, request, persona=persona, requires=requires, principal=principal)
