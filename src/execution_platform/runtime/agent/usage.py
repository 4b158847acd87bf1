"""Usage of several turns as one."""

from collections.abc import Mapping
from dataclasses import fields

from execution_platform.spi.usage import Usage

_WORDS = frozenset({"tier", "speed", "region", "raw"})


def joined(first: Usage | None, second: Usage | None) -> Usage | None:
    """Both together; what neither said stays unsaid."""
    if first is None or second is None:
        return first or second
    sums: dict[str, object] = {}
    for each in fields(Usage):
        one, other = getattr(first, each.name), getattr(second, each.name)
        if each.name == "estimated":
            sums[each.name] = one or other
        elif each.name in _WORDS:
            sums[each.name] = other if each.name != "raw" else None
        elif isinstance(one, Mapping):
            sums[each.name] = _counted(one, other)  # pyright: ignore[reportUnknownArgumentType] - a field of Usage
        else:
            sums[each.name] = other if one is None else one if other is None else one + other
    return Usage(**sums)  # type: ignore[arg-type] # each name is a field


def _counted(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
