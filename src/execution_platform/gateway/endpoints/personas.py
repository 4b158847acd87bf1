"""Personas: look at them, and switch one at run time."""

from typing import Any

from fastapi import APIRouter, Body

from execution_platform.exceptions import PermissionDenied, RouterError
from execution_platform.gateway.policy import Admin, Caller, GatewayState
from execution_platform.gateway.state import State

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
    names = [name for name in state.snapshot.config.personas if not principal.personas or name in principal.personas]
    return {"personas": [view(state, name) for name in names]}


@router.get("/{name}")
def get_persona(name: str, state: GatewayState, principal: Caller) -> dict[str, Any]:
    """One persona. 403 when this key may not use it."""
    shown = view(state, name)
    if principal.personas and shown["name"] not in principal.personas:
        raise PermissionDenied(f"this key may not use persona {shown['name']}")
    return shown


@router.put("/{name}")
def put_persona(name: str, state: GatewayState, _: Admin, body: dict[str, Any] = Body(...)) -> dict[str, Any]:  # noqa: B008, FAST002
    """Set or change a persona for all requests from now on. The body has the form of the configuration file."""
    state.switch_persona(name, body)
    return view(state, name)
