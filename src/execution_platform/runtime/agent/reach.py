"""The tools within reach of a run: what the key, the persona, the request and the registry all name."""

from collections.abc import Iterable, Mapping, Sequence

from execution_platform.config.values import PersonaConfig
from execution_platform.exceptions import ToolError
from execution_platform.identity.scope import Names
from execution_platform.spi.tools import ToolDefinition
from execution_platform.tool_bridge.aliases import canonical, tool_names
from execution_platform.tool_bridge.approval import Permit
from execution_platform.tool_bridge.permissions import level_of
from execution_platform.tool_bridge.registry import ToolRegistry


def permits_of(
    registry: ToolRegistry, persona: PersonaConfig | None, may: Names, names: Iterable[str] | None = None
) -> dict[str, Permit]:
    """The tools of a persona that a key may use; with `names` only those of them, by these names, which may be aliases.

    Tools that are not registered are left out.
    """
    own = None if persona is None else tool_names(persona.tools)
    key = None if may is None else {*may, *map(canonical, may)}
    found: dict[str, Permit] = {}
    for name in names if names is not None else own or ():
        tool = canonical(name)
        if (own is not None and tool not in own) or (key is not None and tool not in key):
            continue
        permit = _permit(registry, persona, tool)
        if permit is not None and permit.level != "none":
            found[name] = permit
    return found


def may_use(may: Names, tool: str) -> bool:
    """Whether a key may use a tool, by the tool's own name."""
    return may is None or tool in may or tool in map(canonical, may)


def _permit(registry: ToolRegistry, persona: PersonaConfig | None, name: str) -> Permit | None:
    try:
        tool = registry.tool(name)
    except ToolError:  # not there, or not on this machine: a call is told which
        return None
    consented = persona is not None and any(canonical(each) == name for each in persona.permissions)
    return Permit(tool, level_of(persona, name), consented)


def definitions(permits: Mapping[str, Permit]) -> tuple[ToolDefinition, ...]:
    """The tools as a model is told of them."""
    return tuple(
        ToolDefinition(name, permit.tool.description, json_schema=dict(permit.tool.parameters))
        for name, permit in permits.items()
    )


def is_bare(tool: ToolDefinition) -> bool:
    """Whether a declaration only names a tool: the platform knows the rest."""
    schema = tool.input_schema
    return tool.kind == "function" and not tool.description and not (schema and schema.get("properties"))


def declared(tools: Sequence[ToolDefinition], permits: Mapping[str, Permit]) -> tuple[ToolDefinition, ...]:
    """What the model is told: the platform's tools as the registry has them, and those that only the caller declares."""
    ours = {tool.name: tool for tool in definitions(permits)}
    told = tuple(ours.pop(tool.name, tool) for tool in tools)
    return (*told, *ours.values())
