"""The platform's tools: list them, and run one."""

from typing import Any, cast

from fastapi import APIRouter, Body

from execution_platform.exceptions import PermissionDenied, RouterError, UnprocessableRequest
from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.gateway.state import State
from execution_platform.identity.principal import Principal
from execution_platform.identity.scope import holds
from execution_platform.router.target import Target
from execution_platform.tool_bridge import ToolProtocol

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
    names = None if persona is None else _names_of(state, principal, persona)
    may = principal.scope.tools
    if provider is not None and not calling:
        return {"tools": []}
    found = [tool for tool in state.tools.tools() if holds(may, tool.name)]
    return {"tools": [_view(tool, calling) for tool in found if names is None or tool.name in names]}


@router.post("/invoke")
async def invoke_tool(
    state: GatewayState,
    principal: Caller,
    body: dict[str, Any] = Body(...),  # noqa: B008, FAST002
) -> dict[str, Any]:
    """Run the tool `name` (or `tool_name`) with `args`: `{"ok": true, "result": …}`. 404 for an unknown tool."""
    name = body.get("name", body.get("tool_name"))
    if not isinstance(name, str):
        raise UnprocessableRequest("name: the tool's name is missing or no text", param="name")
    if not holds(principal.scope.tools, name):
        raise PermissionDenied(f"this key may not use tool {name}", param="name")
    args: object = body.get("args", {})
    if not isinstance(args, dict):
        raise UnprocessableRequest("args: must be an object", param="args")
    return (await state.tools.invoke(name, cast("dict[str, object]", args))).as_json()


def _calling(state: State) -> list[str]:
    """The providers whose default model can call tools, in whatever way."""
    snapshot = state.snapshot
    models = {name: snapshot.config.default_model(name) or "" for name in snapshot.providers}
    return [name for name, model in models.items() if snapshot.profile(Target(name, model)).tool_calling != "none"]


def _names_of(state: State, principal: Principal, persona: str) -> tuple[str, ...] | None:
    """The tools a persona names; None when it leaves them open. Raises `RouterError`, `PermissionDenied`."""
    found = state.snapshot.routing.explain(None, persona, {}).persona
    if found is None:
        return None
    if not holds(principal.scope.personas, found.name):
        raise PermissionDenied(f"this key may not use persona {found.name}")
    return found.tools


def _view(tool: ToolProtocol, providers: list[str]) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
        "returns": dict(getattr(tool, "returns", _ANY)),
        "supported_providers": providers,
    }
