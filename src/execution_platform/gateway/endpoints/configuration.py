"""The configuration in force, the versions before it, and the ways to change it while it is served."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from execution_platform.exceptions import UnprocessableRequest
from execution_platform.gateway.lifecycle import CURRENT
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.gateway.state import State

router = APIRouter(prefix="/v1/config", tags=["configuration"])
_KIND = "configuration"


def view(state: State) -> dict[str, Any]:
    """What is served, and whether that is what the files say."""
    return {
        "version": state.snapshot.version,
        "stale": state.lifecycle.stale is not None,
        "stale_because": state.lifecycle.stale,
        "providers": sorted(state.snapshot.providers),
        "personas": sorted(state.snapshot.config.personas),
        "models": sorted(state.snapshot.config.models),
        "problems": [str(problem) for problem in state.snapshot.problems],
    }


@router.get("")
def show(state: GatewayState, _: Caller) -> dict[str, Any]:
    """The version in force and what its check found. Secrets are not part of it."""
    return view(state)


@router.post("/reload")
async def reload(state: GatewayState, principal: Caller, request_id: RequestId) -> dict[str, Any]:
    """Read the files again and serve them. 422 with every finding when they cannot be served; then nothing changes."""
    before = state.snapshot.version
    changed = await state.lifecycle.reload("api", principal.subject)
    workers = await state.following.reloaded(principal.subject)
    if changed:
        after = state.snapshot.version
        await state.access.note(principal, "config.reload", _KIND, after, {"before": before}, request_id)
    return {"changed": changed, "before": before, "workers": workers, **view(state)}


@router.get("/versions")
def versions(state: GatewayState, _: Caller) -> dict[str, Any]:
    """The versions the process that answers has served, the newest first."""
    return {"versions": state.lifecycle.versions.listing()}


@router.get("/versions/{version}")
async def version(version: str, state: GatewayState, _: Caller) -> dict[str, Any]:
    """One version with its content, `current` for the one in force; a secret shows where it comes from."""
    name = state.snapshot.version if version == CURRENT else version
    return {"version": name, "config": await state.lifecycle.shown(name)}


@router.get("/diff")
async def diff(
    state: GatewayState,
    _: Caller,
    before: Annotated[str | None, Query(alias="from")] = None,
    after: Annotated[str | None, Query(alias="to")] = None,
) -> dict[str, Any]:
    """Where two versions differ; `file` is what the files say now. By default: what a reload would change."""
    return await state.lifecycle.diff(before, after)


@router.post("/rollback")
async def rollback(
    state: GatewayState,
    principal: Caller,
    request_id: RequestId,
    body: dict[str, Any] = Body(...),  # noqa: B008, FAST002
) -> dict[str, Any]:
    """`{"version"}`: serve an earlier version again, until the next reload or new content of the files."""
    version = body.get("version")
    if not isinstance(version, str) or body.keys() != {"version"}:
        raise UnprocessableRequest("give the version and nothing else: GET /v1/config/versions", param="version")
    before = state.snapshot.version
    await state.switches.rollback(version, principal.subject)
    workers = await state.following.serves("rollback", principal.subject)
    await state.access.note(principal, "config.rollback", _KIND, version, {"before": before}, request_id)
    return {"before": before, "workers": workers, **view(state)}
