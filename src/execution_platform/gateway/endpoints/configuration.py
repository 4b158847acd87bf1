"""The configuration in force."""

from typing import Any

from fastapi import APIRouter

from execution_platform.gateway.policy import Admin, GatewayState

router = APIRouter(prefix="/v1/config", tags=["configuration"])


@router.get("")
def show(state: GatewayState, _: Admin) -> dict[str, Any]:
    """The version in force and what its check found. Secrets are not part of it."""
    return {
        "version": state.snapshot.version,
        "providers": sorted(state.snapshot.providers),
        "personas": sorted(state.snapshot.config.personas),
        "models": sorted(state.snapshot.config.models),
        "problems": [str(problem) for problem in state.snapshot.problems],
    }
