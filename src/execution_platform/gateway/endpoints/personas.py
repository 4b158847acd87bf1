"""Personas: look at them, and switch one at run time."""

from typing import Any

from fastapi import APIRouter, Body

from execution_platform.exceptions import PermissionDenied, RouterError
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.gateway.state import State
from execution_platform.identity.scope import holds

router = APIRouter(prefix="/v1/personas", tags=["personas"])


def view(state: State, name: str) -> dict[str, Any]:
    """One persona with the state of its chain. Raises `RouterError`."""
    decision = state.snapshot.routing.explain(None, name, {})
    persona = decision.persona
    if persona is None:
        raise RouterError(f"persona {name!r} is not known")
    return {
        "name": persona.name,
        "prefer": list(persona.chain),
        "requires": dict(persona.requires),
        "tools": list(persona.tools or ()),
        "system": persona.system,
        "candidates": [
            {"target": str(candidate.target), "kept": candidate.kept, "reason": candidate.reason}
            for candidate in decision.candidates
        ],
    }


@router.get("")
def list_personas(state: GatewayState, principal: Caller) -> dict[str, Any]:
    """Every persona this key may use."""
    names = [name for name in state.snapshot.config.personas if holds(principal.scope.personas, name)]
    return {"personas": [view(state, name) for name in names]}


@router.get("/{name}")
def get_persona(name: str, state: GatewayState, principal: Caller) -> dict[str, Any]:
    """One persona. 403 when this key may not use it."""
    shown = view(state, name)
    if not holds(principal.scope.personas, shown["name"]):
        raise PermissionDenied(f"this key may not use persona {shown['name']}")
    return shown


@router.put("/{name}")
async def put_persona(
    name: str,
    state: GatewayState,
    principal: Caller,
    request_id: RequestId,
    body: dict[str, Any] = Body(...),  # noqa: B008, FAST002
) -> dict[str, Any]:
    """Set or change a persona for all requests from now on, on every replica, over reloads and restarts too.

    The body has the form of the configuration file.

    422 for what the file could not say either, such as a text that holds a secret.
    """
    await state.switches.switch(name, body, principal.subject)
    await state.following.serves("persona", principal.subject)
    await state.access.note(principal, "persona.switch", "persona", name, {"changed": sorted(body)}, request_id)
    return view(state, name)


@router.delete("/{name}")
async def delete_persona(name: str, state: GatewayState, principal: Caller, request_id: RequestId) -> dict[str, Any]:
    """Take back a switch: what the files say of the persona counts again. 404 when it was not switched."""
    await state.switches.forget(name, principal.subject)
    await state.following.serves("persona", principal.subject)
    await state.access.note(principal, "persona.forget", "persona", name, {}, request_id)
    return {"name": name, "version": state.snapshot.version}
