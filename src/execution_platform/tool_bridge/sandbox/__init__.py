"""What a tool that runs programs may do."""

from execution_platform.tool_bridge.sandbox.policy import SandboxPolicy

__all__ = ["SandboxPolicy"]
