"""What every tool owes its callers, tried on a tool: for the tests of packages that publish one."""

from typing import cast

from execution_platform.exceptions import ConfigError, InvalidToolArguments
from execution_platform.tool_bridge.permissions import LEAST, LEVELS
from execution_platform.tool_bridge.protocol import ToolProtocol
from execution_platform.tool_bridge.registry import ToolRegistry

_UNKNOWN = "no_tool_has_this_argument"
_LONGEST_DESCRIPTION = 1024


def findings(tool: ToolProtocol) -> list[str]:
    """What is wrong with a tool, a sentence each; empty when it keeps to the contract. It is not run."""
    found: list[str] = []
    try:
        ToolRegistry(installed=False).register(tool)
    except ConfigError as error:
        found.append(error.message)
    if not 0 < len(tool.description.strip()) <= _LONGEST_DESCRIPTION:
        found.append(f"description: a model chooses by it; write 1 to {_LONGEST_DESCRIPTION} characters")
    if getattr(tool, "side_effect", None) not in LEAST:
        found.append(f"side_effect: must be one of {', '.join(LEAST)}; without it the tool is taken for the worst")
    if not isinstance(getattr(tool, "repeatable", None), bool):
        found.append("repeatable: say whether a run may repeat a call after a crash")
    if getattr(tool, "least", "full") not in LEVELS:
        found.append(f"least: must be one of {', '.join(LEVELS)}")
    return found + _of_arguments(tool)


def _of_arguments(tool: ToolProtocol) -> list[str]:
    found: list[str] = []
    properties = cast("dict[str, dict[str, object]]", tool.parameters.get("properties", {}))
    found.extend(
        f"parameters.{name}: has no description" for name, given in properties.items() if not given.get("description")
    )
    try:
        tool.validate_args({_UNKNOWN: 1})
    except InvalidToolArguments:
        return found
    except ConfigError as error:
        return [*found, error.message]
    return [*found, "parameters: an argument that does not exist is accepted; set additionalProperties: false"]
