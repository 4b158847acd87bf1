"""Permission levels: how much of a tool a persona may use, decided by what a call can do at worst."""

from collections.abc import Mapping, Sequence
from typing import Final

from execution_platform.config.values import PermissionLevel, PersonaConfig
from execution_platform.exceptions import ToolDenied
from execution_platform.tool_bridge.aliases import canonical
from execution_platform.tool_bridge.protocol import SideEffect, ToolProtocol

LEVELS: Final[Sequence[PermissionLevel]] = ("none", "read_only", "write", "full")
"""From nothing to everything."""

LEAST: Final[Mapping[SideEffect, PermissionLevel]] = {
    "read": "read_only",
    "write": "write",
    "network": "write",
    "exec": "full",
}
"""The lowest level at which a tool of this worst effect may be called, unless the tool has a `least` of its own: one that
only looks things up in the network, or that keeps its read-only calls apart itself."""


def least_level(side_effect: SideEffect) -> PermissionLevel:
    """The lowest level that may call a tool of this side effect."""
    return LEAST[side_effect]


def needed_level(tool: ToolProtocol) -> PermissionLevel:
    """The lowest level that may call this tool. A tool that does not say what it does is taken for the worst."""
    own, effect = getattr(tool, "least", None), getattr(tool, "side_effect", None)
    for level in LEVELS:
        if level == own:
            return level
    for kind, level in LEAST.items():
        if kind == effect:
            return level
    return "full"


def level_of(persona: PersonaConfig | None, tool: str) -> PermissionLevel:
    """How much of a tool a persona may use: `full` unless its `permissions` say less, in either spelling of the name."""
    if persona is None:
        return "full"
    given = [level for name, level in persona.permissions.items() if name == tool or canonical(name) == tool]
    for level in LEVELS:
        if level in given:
            return level
    return "full"


def check_level(tool: ToolProtocol, level: PermissionLevel) -> None:
    """Raises `ToolDenied` when the level does not reach to the tool."""
    needed = needed_level(tool)
    if LEVELS.index(level) < LEVELS.index(needed) or level == "none":
        raise ToolDenied(
            f"tool {tool.name!r} needs the permission level {needed}, and it is {level} here. Go on without it, or report "
            "that the task needs it."
        )
