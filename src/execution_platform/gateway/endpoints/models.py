"""Model listings in the caller's dialect: OpenAI's by default, Anthropic's and Gemini's for their clients."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from execution_platform import _json
from execution_platform.dialects.base import ModelEntry
from execution_platform.dialects.take import Taker
from execution_platform.exceptions import RouterError
from execution_platform.gateway.listing import dialect_of
from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.gateway.state import State
from execution_platform.identity.principal import Principal
from execution_platform.identity.scope import covers, holds

router = APIRouter(tags=["models"])


def entries(state: State, principal: Principal) -> list[ModelEntry]:
    """What this caller may name: models of configured providers, personas, logical models."""
    snapshot, scope = state.snapshot, principal.scope
    made: list[ModelEntry] = []
    for target in snapshot.routing.listed:
        if covers(scope.models, str(target)):
            profile = snapshot.profile(target)
            made.append(
                ModelEntry(
                    str(target),
                    target.provider,
                    display_name=target.model,
                    context_window=profile.context_window,
                    max_output_tokens=profile.max_output_tokens,
                )
            )
    personas = snapshot.config.personas
    made += [ModelEntry(f"persona/{name}") for name in personas if holds(scope.personas, name)]
    made += [ModelEntry(name) for name in snapshot.config.models if covers(scope.models, name)]
    return made


@router.get("/v1/models")
@router.get("/v1beta/models", include_in_schema=False)
@router.get("/openai/v1/models", include_in_schema=False)
@router.get("/openai/models", include_in_schema=False)
@router.get("/anthropic/v1/models", include_in_schema=False)
@router.get("/genai/v1/models", include_in_schema=False)
@router.get("/genai/v1beta/models", include_in_schema=False)
def list_models(request: Request, state: GatewayState, principal: Caller) -> Response:
    """Every name a request may use as `model`."""
    body = dialect_of(request.scope).encode_models(entries(state, principal))
    return Response(body, media_type="application/json")


@router.get("/v1/models/{name:path}")
@router.get("/v1beta/models/{name:path}", include_in_schema=False)
@router.get("/openai/v1/models/{name:path}", include_in_schema=False)
@router.get("/openai/models/{name:path}", include_in_schema=False)
@router.get("/anthropic/v1/models/{name:path}", include_in_schema=False)
@router.get("/genai/v1/models/{name:path}", include_in_schema=False)
@router.get("/genai/v1beta/models/{name:path}", include_in_schema=False)
def get_model(name: str, request: Request, state: GatewayState, principal: Caller) -> Response:
    """One model of the listing. 404 when it is not there."""
    found = next((entry for entry in entries(state, principal) if entry.id == name), None)
    if found is None:
        raise RouterError(f"model {name!r} is not listed; GET /v1/models shows every name", param="model")
    listing = Taker(_json.loads(dialect_of(request.scope).encode_models([found])))
    only = listing.list("data") or listing.list("models") or []
    return Response(_json.dumps(only[0]), media_type="application/json")
