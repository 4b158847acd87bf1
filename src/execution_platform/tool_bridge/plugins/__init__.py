"""The platform's own tools."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.tools import HttpToolsConfig, ToolsConfig
from execution_platform.exceptions import ToolError
from execution_platform.tool_bridge.files import FileRules
from execution_platform.tool_bridge.plugins.code import code_tools
from execution_platform.tool_bridge.plugins.db import Databases
from execution_platform.tool_bridge.plugins.exec import exec_tools, why_absent
from execution_platform.tool_bridge.plugins.filesystem import filesystem_tools
from execution_platform.tool_bridge.plugins.http import http_tools
from execution_platform.tool_bridge.plugins.todo import todo_tools
from execution_platform.tool_bridge.plugins.web_search import WebSearch
from execution_platform.tool_bridge.protected import ProtectedPaths
from execution_platform.tool_bridge.protocol import ToolProtocol
from execution_platform.tool_bridge.sandbox import Sandbox
from execution_platform.tool_bridge.web import LARGEST, SECONDS, Web
from execution_platform.transport.egress import EgressPolicy

__all__ = ["Toolset", "builtin_tools"]

_PORTS = frozenset({80, 443})


class Closable(Protocol):
    """Something that keeps connections."""

    async def aclose(self) -> None:
        """Close them."""
        ...


@dataclass(frozen=True, slots=True)
class Toolset:
    """The tools of one version of the configuration, and the connections they keep."""

    tools: tuple[ToolProtocol, ...]
    absent: Mapping[str, ToolError]
    """Tools that are not there, by name, and why."""
    open: tuple[Closable, ...] = ()

    async def aclose(self) -> None:
        """Close what is open."""
        for each in self.open:
            await each.aclose()


def builtin_tools(config: ToolsConfig, sandbox: Sandbox, secret: Callable[[SecretRef], Secret]) -> Toolset:
    """The tools as configured. Opens nothing. Raises `ConfigError`."""
    rules = FileRules(ProtectedPaths(config.protected))
    web = Web(_policy(config.http), config.http.trusted)
    search = WebSearch(config.web_search, secret)
    databases = Databases(config.databases, secret)
    tools = (
        *filesystem_tools(rules),
        *code_tools(rules, config.code, sandbox),
        *exec_tools(config.exec, sandbox, protected=config.protected),
        *http_tools(web),
        *databases.tools(),
        *search.tools(),
        *todo_tools(),
    )
    keeping = (web, databases) if search.web is None else (web, search.web, databases)
    return Toolset(tools, why_absent(config.exec, sandbox), keeping)


def _policy(config: HttpToolsConfig) -> EgressPolicy:
    """Public addresses on the usual ports, as far as the lists allow; http too, since much of the web has no choice."""
    return EgressPolicy(
        "tool",
        ports=_PORTS,
        seconds=SECONDS,
        most=LARGEST,
        plain=True,
        only=config.allow,
        blocked=config.block,
        internal=config.internal,
    )
