"""The sandbox of a machine that has none: it runs nothing."""

from execution_platform.exceptions import SandboxUnavailable
from execution_platform.tool_bridge.sandbox.interfaces import Command, Limits, Outcome


class NoSandbox:
    """Refuses every command, with the reason."""

    def __init__(self, reason: str) -> None:
        self.unavailable = reason
        self.limits = Limits()

    async def run(self, command: Command) -> Outcome:
        """Raises `SandboxUnavailable`."""
        raise SandboxUnavailable(self.unavailable)
