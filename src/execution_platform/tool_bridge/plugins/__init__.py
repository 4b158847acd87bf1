"""The platform's own tools."""

from dataclasses import dataclass

from execution_platform.config.tools import ToolsConfig
from execution_platform.tool_bridge.files import FileRules
from execution_platform.tool_bridge.plugins.filesystem import filesystem_tools
from execution_platform.tool_bridge.protected import ProtectedPaths
from execution_platform.tool_bridge.protocol import ToolProtocol

__all__ = ["Toolset", "builtin_tools"]


@dataclass(frozen=True, slots=True)
class Toolset:
    """The tools of one version of the configuration."""

    tools: tuple[ToolProtocol, ...]


def builtin_tools(config: ToolsConfig) -> Toolset:
    """The tools as configured. Opens nothing. Raises `ConfigError`."""
    rules = FileRules(ProtectedPaths(config.protected))
    return Toolset(filesystem_tools(rules))
