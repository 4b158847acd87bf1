"""Where commands of models run: apart from everything else, within limits, or not at all."""

from execution_platform.tool_bridge.sandbox.bubblewrap import Bubblewrap
from execution_platform.tool_bridge.sandbox.interfaces import Command, Ended, Limits, Outcome, Sandbox
from execution_platform.tool_bridge.sandbox.null import NoSandbox
from execution_platform.tool_bridge.sandbox.policy import SandboxPolicy

__all__ = ["Bubblewrap", "Command", "Ended", "Limits", "NoSandbox", "Outcome", "Sandbox", "SandboxPolicy"]
