"""JSON Schema as this API enforces it, in structured output and strict tools.

Every object is closed, `oneOf` is `anyOf`, and what a grammar cannot hold the model reads in the description instead.
Source: platform.claude.com/docs/en/build-with-claude/structured-outputs and `lib/_parse/_transform.py` of the
anthropic SDK 2.11 (read 2026-11). Keys and properties keep their order.
"""

from collections.abc import Mapping
from typing import cast

from execution_platform.dialects.take import Object
from execution_platform.spi.loss import Loss

_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_READ_ONLY = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "patternProperties",
        "propertyNames",
        "contains",
        "not",
    }
)
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")


def close(schema: Mapping[str, object], path: str, losses: list[Loss]) -> Object:
    """`schema` with closed objects; what cannot be enforced is described, and recorded in `losses`."""
    out: Object = {}
    told: list[str] = []
    for name, value in schema.items():
        if _enforced(name, value):
            out["anyOf" if name == "oneOf" and "anyOf" not in schema else name] = _inner(name, value, path, losses)
        else:
            told.append(f"{name}: {value}")
            losses.append(Loss(f"{path}.{name}", "the model is told of this rule, which is not enforced", "knob"))
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties", False) is not False:
            losses.append(Loss(f"{path}.additionalProperties", "the target closes every object", "knob"))
        out["additionalProperties"] = False
    if told:
        given = out.get("description")
        note = "{" + ", ".join(told) + "}"
        out["description"] = f"{given}\n\n{note}" if given else note
    return out


def _enforced(name: str, value: object) -> bool:
    if name == "format":
        return value in _FORMATS
    if name == "minItems":
        return value in (0, 1)
    return name not in _READ_ONLY


def _inner(name: str, value: object, path: str, losses: list[Loss]) -> object:
    if name in _MAPS and isinstance(value, Mapping):
        children = cast("Mapping[str, object]", value)
        return {key: _node(child, f"{path}.{name}.{key}", losses) for key, child in children.items()}
    if name in _LISTS and isinstance(value, list):
        return [_node(child, f"{path}.{name}[{i}]", losses) for i, child in enumerate(cast("list[object]", value))]
    if name == "items":
        return _node(value, f"{path}.{name}", losses)
    return value


def _node(value: object, path: str, losses: list[Loss]) -> object:
    return close(cast("Mapping[str, object]", value), path, losses) if isinstance(value, Mapping) else value
