"""What each provider's default model can do."""

from typing import Any

from fastapi import APIRouter

from execution_platform.gateway.policy import Caller, GatewayState
from execution_platform.router.target import Target
from execution_platform.spi.profile import CAPABILITIES, ModelProfile

router = APIRouter(tags=["capabilities"])


def view(profile: ModelProfile) -> dict[str, Any]:
    """A profile's capabilities by their published names."""
    return {name: profile.offers(name) for name in CAPABILITIES}


@router.get("/capabilities")
@router.get("/v1/capabilities")
def capabilities(state: GatewayState, _: Caller) -> dict[str, Any]:
    """The default provider's capabilities, and those of every provider."""
    snapshot = state.snapshot
    by_provider = {
        name: view(snapshot.profile(Target(name, snapshot.config.default_model(name) or "")))
        for name in snapshot.providers
    }
    default = snapshot.default_provider
    return {
        "provider": default,
        "capabilities": by_provider.get(default or "", {}),
        "providers": by_provider,
    }
