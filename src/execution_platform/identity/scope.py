"""What a key may do, and whether one scope lies within another.

None stands for everything of its kind, an empty set for nothing. A key is never wider than the one that
made it: `wider` names the ways in which it would be, at creation and at every change (K3).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal, cast

Names = frozenset[str] | None
RouteClass = Literal["chat", "embeddings", "count", "tools", "runs", "batches", "files", "mcp", "costs", "manage"]
"""Kinds of paths a key can be limited to."""

ROUTE_CLASSES: tuple[RouteClass, ...] = (
    "chat",
    "embeddings",
    "count",
    "tools",
    "runs",
    "batches",
    "files",
    "mcp",
    "costs",
    "manage",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The limits of one key."""

    models: Names = None
    """`provider/model`, `provider`, `provider/*`, a bare model, an alias or a logical model."""
    personas: Names = None
    tools: Names = None
    routes: Names = None
    budgets: Mapping[str, int] | None = None
    """Micro-dollars by period; None is no limit of its own."""
    expires: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether the key has expired."""
        return self.expires is not None and now >= self.expires


def holds(names: Names, name: str) -> bool:
    """Whether `names` allows a persona, a tool or a kind of path."""
    return names is None or name in names


def covers(names: Names, name: str) -> bool:
    """Whether `names` allows the model `name`: by itself, by its provider, or without its provider."""
    if names is None or name in names:
        return True
    provider, slash, model = name.partition("/")
    if not slash:
        return False
    return (model != "*" and model in names) or provider in names or f"{provider}/*" in names


def _within(parent: Names, child: Names, allows: Callable[[Names, str], bool]) -> bool:
    if parent is None:
        return True
    return child is not None and all(allows(parent, name) for name in child)


def narrowed(now: Scope, then: Scope) -> Scope:
    """What both of two scopes allow, for work that goes on under a key that may have changed; budgets are those of now.

    Names are never made up: where neither names what the other means, nothing is left.
    """
    if now == then:
        return now
    sooner = min((end for end in (now.expires, then.expires) if end is not None), default=None)
    return Scope(
        models=_both(now.models, then.models, covers),
        personas=_both(now.personas, then.personas, holds),
        tools=_both(now.tools, then.tools, holds),
        routes=_both(now.routes, then.routes, holds),
        budgets=now.budgets,
        expires=sooner,
    )


def _both(one: Names, other: Names, allows: Callable[[Names, str], bool]) -> Names:
    if one is None or other is None:
        return other if one is None else one
    return frozenset(name for name in one if allows(other, name)) | frozenset(
        name for name in other if allows(one, name)
    )


def _cheaper(parent: Mapping[str, int] | None, child: Mapping[str, int] | None) -> bool:
    if parent is None:
        return True
    return child is not None and all(period in child and child[period] <= most for period, most in parent.items())


def _sooner(parent: datetime | None, child: datetime | None) -> bool:
    return parent is None or (child is not None and child <= parent)


def wider(parent: Scope, child: Scope) -> list[str]:
    """The dimensions in which `child` reaches beyond `parent`; empty when it lies within."""
    found: list[str] = []
    for field in fields(Scope):
        given, asked = getattr(parent, field.name), getattr(child, field.name)
        if field.name == "budgets":
            held = _cheaper(given, asked)
        elif field.name == "expires":
            held = _sooner(given, asked)
        else:
            allows = covers if field.name == "models" else holds
            held = _within(cast("Names", given), cast("Names", asked), allows)
        if not held:
            found.append(field.name)
    return found
