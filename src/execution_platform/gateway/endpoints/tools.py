"""The platform's tools: list them, and run one."""

from typing import Annotated, Any, cast

from fastapi import APIRouter, Body, Header

from execution_platform.config.values import PersonaConfig
from execution_platform.exceptions import PermissionDenied, RouterError, UnprocessableRequest
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.gateway.state import State
from execution_platform.gateway.tooling import User
from execution_platform.identity.principal import Principal
from execution_platform.identity.scope import holds
from execution_platform.router.target import Target
from execution_platform.tool_bridge import ToolProtocol
from execution_platform.tool_bridge.aliases import aliases
from execution_platform.tool_bridge.permissions import needed_level

router = APIRouter(prefix="/v1/tools", tags=["tools"])
_ANY: dict[str, Any] = {}
"""Schema of a tool that does not say what it returns."""


@router.get("")
@router.get("/list")
def list_tools(
    state: GatewayState, principal: Caller, provider: str | None = None, persona: str | None = None
) -> dict[str, Any]:
    """Every tool, or those that a provider can call and a persona may use. 404 for an unknown provider or persona."""
    calling = _calling(state)
    if provider is not None:
        if provider not in state.snapshot.providers:
            raise RouterError(f"provider {provider!r} is not configured", param="provider")
        calling = [name for name in calling if name == provider]
    user = User(principal, None if persona is None else persona_of(state, principal, persona))
    if provider is not None and not calling:
        return {"tools": []}
    return {"tools": [_view(tool, calling) for tool in state.tools.tools() if user.may_use(tool.name)]}


@router.post("/invoke")
async def invoke_tool(
    state: GatewayState,
    principal: Caller,
    request_id: RequestId,
    x_ep_persona: Annotated[str | None, Header()] = None,
    *,
    body: dict[str, Any] = Body(...),  # noqa: B008, FAST002
) -> dict[str, Any]:
    """Run the tool `name` (or `tool_name`) with `args`: `{"ok": true, "result": …}`. 404 for an unknown tool.

    Tools that work on files do so in the workspace of the key's tenant. With a persona (`persona`, or the header
    `x-ep-persona`) the call is held to the persona's tools and permission levels.
    """
    name = body.get("name", body.get("tool_name"))
    if not isinstance(name, str):
        raise UnprocessableRequest("name: the tool's name is missing or no text", param="name")
    args: object = body.get("args", {})
    if not isinstance(args, dict):
        raise UnprocessableRequest("args: must be an object", param="args")
    persona = body.get("persona", body.get("personaId", x_ep_persona))
    if persona is not None and not isinstance(persona, str):
        raise UnprocessableRequest("persona: must be the name of a persona", param="persona")
    user = User(principal, persona_of(state, principal, persona))
    return (await state.tooling.invoke(user, name, cast("dict[str, object]", args), request_id)).as_json()


def _calling(state: State) -> list[str]:
    """The providers whose default model can call tools, in whatever way."""
    snapshot = state.snapshot
    models = {name: snapshot.config.default_model(name) or "" for name in snapshot.providers}
    return [name for name, model in models.items() if snapshot.profile(Target(name, model)).tool_calling != "none"]


def persona_of(state: State, principal: Principal, name: str | None) -> PersonaConfig | None:
    """The persona a call is made for; a key that is limited to personas has to name one, unless it has a single one.

    Raises `RouterError`, `PermissionDenied`.
    """
    allowed = principal.scope.personas
    if name is None and allowed is not None:
        if len(allowed) != 1:
            raise PermissionDenied("this key is limited to its personas; name one of them", param="persona")
        name = next(iter(allowed))
    if name is None:
        return None
    found = state.snapshot.routing.explain(None, name, {}).persona
    if found is None or not holds(allowed, found.name):
        raise PermissionDenied(f"this key may not use persona {name}", param="persona")
    return found


def _view(tool: ToolProtocol, providers: list[str]) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
        "returns": dict(getattr(tool, "returns", _ANY)),
        "side_effect": getattr(tool, "side_effect", "exec"),
        "level": needed_level(tool),
        "aliases": [name for name, alias in aliases().items() if alias.tool == tool.name],
        "supported_providers": providers,
    }
