"""Tools for models that cannot call them: the request is rewritten for the model, and its answer read back as calls."""

from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest
from execution_platform.tool_bridge.adapters.prompted import Prompted
from execution_platform.tool_bridge.adapters.simulated import Simulated
from execution_platform.tool_bridge.adapters.tier import Tier

__all__ = ["Prompted", "Simulated", "Tier", "adapter"]


def adapter(request: ChatRequest, profile: ModelProfile) -> Tier | None:
    """The tier of a model of this profile, for one answer to `request`; None when it calls by itself or not at all."""
    if profile.tool_calling == "simulated":
        return Simulated(request, has_schema=profile.json_schema)
    return Prompted(request) if profile.tool_calling == "prompted" else None
