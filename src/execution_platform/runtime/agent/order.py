"""What somebody wants a run to do, as it is kept: enough to go on with it in another process."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import cast

from execution_platform import _json
from execution_platform.config.values import PermissionMode
from execution_platform.dialects import dialect
from execution_platform.identity.principal import Principal, Role
from execution_platform.identity.scope import Scope
from execution_platform.runtime.agent.limits import Limits
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.tools import ToolDefinition

_SETS = ("models", "personas", "tools", "routes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A task for an agent."""

    request: ChatRequest
    principal: Principal
    persona: str
    workspace: str | None = None
    mode: PermissionMode | None = None
    """None: the persona's own."""
    limits: Mapping[str, float | int] = field(default_factory=dict[str, float | int])
    """Limits that are lower than the configuration's."""
    conversation: str | None = None
    own: Sequence[ToolDefinition] = ()
    """Tools of the caller, which it runs itself while the run waits."""

    def within(self, limits: Limits) -> Limits:
        """The limits of this run: those of the configuration, or lower."""
        changes: dict[str, object] = {}
        for name, value in self.limits.items():
            usual = getattr(limits, name)
            changes[name] = value if usual is None else min(usual, value)
        return replace(limits, **changes)  # type: ignore[arg-type] # each name is a field

    def body(self) -> str:
        """The request as it is kept."""
        return dialect("native").encode_request(self.request, ModelProfile()).body.decode()

    def options(self) -> str:
        """Everything else as it is kept."""
        who = self.principal
        told: dict[str, object] = {
            "workspace": self.workspace,
            "mode": self.mode,
            "limits": dict(self.limits),
            "own": [
                {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
                for tool in self.own
            ],
            "principal": {
                "name": who.name,
                "tenant": who.tenant,
                "role": who.role,
                "key_id": who.key_id,
                "team": who.team,
                "loss_policy": who.loss_policy,
                "scope": {name: _listed(getattr(who.scope, name)) for name in _SETS},
            },
        }
        return _json.dumps(told).decode()


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def order_of(body: str, options: str, persona: str) -> Order:
    """What was kept, as an order again."""
    told = cast("dict[str, object]", _json.loads(options))
    who = cast("dict[str, object]", told["principal"])
    sets = cast("dict[str, list[str] | None]", who["scope"])
    scope = Scope(**{name: None if names is None else frozenset(names) for name, names in sets.items()})  # type: ignore[arg-type] # each name is a set of names
    principal = Principal(
        str(who["name"]),
        str(who["tenant"]),
        cast("Role", who["role"]),
        scope,
        str(who["key_id"]),
        str(who["team"]),
        cast("None", who["loss_policy"]),
    )
    return Order(
        request=dialect("native").decode_request(body.encode()),
        principal=principal,
        persona=persona,
        workspace=cast("str | None", told["workspace"]),
        mode=cast("PermissionMode | None", told["mode"]),
        limits=cast("dict[str, float | int]", told["limits"]),
        own=own_tools(cast("list[dict[str, object]]", told.get("own") or [])),
    )


def own_tools(told: Sequence[Mapping[str, object]]) -> tuple[ToolDefinition, ...]:
    """Tools of the caller, of their JSON."""
    return tuple(
        ToolDefinition(
            str(each["name"]),
            cast("str | None", each.get("description")),
            json_schema=cast("Mapping[str, object] | None", each.get("parameters")),
        )
        for each in told
    )


LIMIT_NAMES = tuple(each.name for each in fields(Limits))


def shown_limits(limits: Limits) -> dict[str, object]:
    """Limits as JSON."""
    return asdict(limits)
