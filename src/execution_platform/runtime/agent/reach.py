"""The tools within reach of a run: what the key, the persona, the request and the registry all name."""

from collections.abc import Iterable, Mapping, Sequence

from execution_platform.config.values import PermissionLevel, PersonaConfig
from execution_platform.exceptions import ToolNotFound
from execution_platform.identity.scope import Names, holds
from execution_platform.spi.tools import ToolDefinition
from execution_platform.tool_bridge.approval import Permit
from execution_platform.tool_bridge.registry import ToolRegistry


def permits_of(
    registry: ToolRegistry, persona: PersonaConfig | None, may: Names, names: Iterable[str] | None = None
) -> dict[str, Permit]:
    """The tools of a persona that a key may use; with `names` only those of them. Tools that are not registered are left out."""
    listed = () if persona is None else persona.tools
    wanted: Iterable[str]
    if names is not None:
        wanted = names
    else:
        wanted = listed if listed is not None else ()
    found: dict[str, Permit] = {}
    for name in wanted:
        if (listed is not None and persona is not None and name not in listed) or not holds(may, name):
            continue
        permit = _permit(registry, persona, name)
        if permit is not None and permit.level != "none":
            found[name] = permit
    return found


def _permit(registry: ToolRegistry, persona: PersonaConfig | None, name: str) -> Permit | None:
    try:
        tool = registry.tool(name)
    except ToolNotFound:
        return None
    given: PermissionLevel | None = None if persona is None else persona.permissions.get(name)
    return Permit(tool, given or "full", given is not None)


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
