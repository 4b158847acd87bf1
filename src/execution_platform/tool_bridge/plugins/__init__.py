"""The platform's own tools."""

from collections.abc import Mapping
from dataclasses import dataclass

from execution_platform.config.tools import ToolsConfig
from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.files import FileRules
from execution_platform.tool_bridge.plugins.exec import exec_tools, why_absent
from execution_platform.tool_bridge.plugins.filesystem import filesystem_tools
from execution_platform.tool_bridge.protected import ProtectedPaths
from execution_platform.tool_bridge.protocol import ToolProtocol
from execution_platform.tool_bridge.sandbox import Sandbox

__all__ = ["Toolset", "builtin_tools"]


@dataclass(frozen=True, slots=True)
class Toolset:
    """The tools of one version of the configuration."""

    tools: tuple[ToolProtocol, ...]
    absent: Mapping[str, ToolError]
    """Tools that are not there, by name, and why."""


def builtin_tools(config: ToolsConfig, sandbox: Sandbox) -> Toolset:
    """The tools as configured. Opens nothing. Raises `ConfigError`."""
    rules = FileRules(ProtectedPaths(config.protected))
    programs = exec_tools(config.exec, sandbox, protected=config.protected)
    return Toolset((*filesystem_tools(rules), *programs), why_absent(config.exec, sandbox))
