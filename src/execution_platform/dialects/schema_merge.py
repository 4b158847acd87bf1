"""The parts of JSON Schema that every flavour needs: references, and `allOf` written as one schema.

Nothing here changes the order of keys or properties. A merge is lazy: where two schemas both say
something about one property, the result says `allOf` for it, and whoever visits that property merges on.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast
from urllib.parse import unquote

Schema = dict[str, object]

ANNOTATIONS = frozenset(
    {"title", "description", "default", "example", "examples", "$comment", "deprecated", "readOnly", "writeOnly"}
)
"""Keywords that say nothing about which values are valid."""

MAX_BRANCHES = 32
"""Alternatives that two `anyOf` may multiply to."""

MAX_REFERENCES = 32
"""References that may follow one another before the chain is cut like a recursion."""

_RAISED = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_LOWERED = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})


class Merged(NamedTuple):
    """Two schemas as one, and the keywords of which only one side could be kept."""

    schema: Schema
    lost: tuple[str, ...] = ()


def is_schema(value: object) -> bool:
    """Whether `value` can stand where a schema is expected."""
    return isinstance(value, dict | bool)


def as_schema(value: object) -> Schema:
    """An object schema as it is; true as the empty schema, false (and anything else) as one nothing satisfies."""
    if isinstance(value, dict):
        return dict(cast("Schema", value))
    return {} if value is True else {"not": {}}


def as_list(value: object) -> list[object]:
    """A list as it is, anything else as no list."""
    return cast("list[object]", value) if isinstance(value, list) else []


def is_number(value: object) -> bool:
    """Whether `value` is a number in JSON's sense."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def resolve(root: Mapping[str, object], reference: str) -> object:
    """What a reference inside the document (`#`, `#/$defs/x`) points to; None when it leads nowhere."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    node: object = root
    for word in reference[2:].split("/"):
        node = _step(node, unquote(word).replace("~1", "/").replace("~0", "~"))
    return node if is_schema(node) else None


def _step(node: object, key: str) -> object:
    if isinstance(node, dict):
        return cast("Schema", node).get(key)
    items = as_list(node)
    return items[int(key)] if key.isdecimal() and len(key) < 6 and int(key) < len(items) else None


def types_of(schema: Mapping[str, object]) -> list[str]:
    """The types a schema names, in lower case; empty when it names none."""
    given = schema.get("type")
    names: Iterable[object] = cast("list[object]", given) if isinstance(given, list) else [given]
    return list(dict.fromkeys(name.lower() for name in names if isinstance(name, str)))


def merge(first: Mapping[str, object], second: Mapping[str, object]) -> Merged:
    """The schema that is satisfied by what satisfies both; annotations of `first` win."""
    out: Schema = dict(first)
    lost: list[str] = []
    for keyword, value in second.items():
        if keyword not in out:
            out[keyword] = value
        elif out[keyword] != value:
            kept = _both(keyword, out[keyword], value)
            if kept is None:
                lost.append(keyword)
            else:
                out[keyword] = kept
    if "nullable" in out and not _keeps_null(first, second):
        del out["nullable"]
    return Merged(out, tuple(lost))


def _keeps_null(first: Mapping[str, object], second: Mapping[str, object]) -> bool:
    sides = [side for side in (first, second) if side.get("type") is not None or "nullable" in side]
    return all(side.get("nullable") is True or "null" in types_of(side) for side in sides)


def _both(keyword: str, one: object, two: object) -> object:
    """The value of a keyword that means both values; None when there is none."""
    if keyword in ANNOTATIONS:
        return one
    if keyword in _RAISED or keyword in _LOWERED:
        return _limit(one, two, highest=keyword in _RAISED)
    match keyword:
        case "type":
            return _common_types(one, two)
        case "properties" | "$defs" | "definitions":
            return _union(one, two)
        case "required" | "propertyOrdering":
            return list(dict.fromkeys(str(name) for name in [*as_list(one), *as_list(two)]))
        case "items" | "additionalProperties":
            return _also(one, two) if is_schema(one) and is_schema(two) else None
        case "enum" | "anyOf" | "allOf":
            return _lists(keyword, as_list(one), as_list(two))
        case _:
            return None


def _lists(keyword: str, one: list[object], two: list[object]) -> list[object] | None:
    if keyword == "allOf":
        return [*one, *two]
    if keyword == "enum":
        return [value for value in one if value in two] or None
    if not one or not two or len(one) * len(two) > MAX_BRANCHES:
        return None
    return [_also(left, right) for left in one for right in two]


def _also(one: object, two: object) -> object:
    """Both schemas at once; kept flat, so that many merges do not nest."""
    if one is False or two is False or one is True:
        return one is not False and two
    if two is True:
        return one
    parts = as_list(cast("Schema", one).get("allOf")) if isinstance(one, dict) and len(cast("Schema", one)) == 1 else []
    return {"allOf": [*(parts or [one]), two]}


def _limit(one: object, two: object, *, highest: bool) -> object:
    if not is_number(one) or not is_number(two):
        return None
    pair = (cast("float", one), cast("float", two))
    return max(pair) if highest else min(pair)


def _common_types(one: object, two: object) -> object:
    left, right = types_of({"type": one}), types_of({"type": two})
    common = [name for name in left if name in right or (name == "integer" and "number" in right)]
    if "number" in left and "integer" in right and "integer" not in common:
        common.append("integer")
    return None if not common else common[0] if len(common) == 1 else common


def _union(one: object, two: object) -> object:
    if not isinstance(one, Mapping) or not isinstance(two, Mapping):
        return None
    out: Schema = dict(cast("Mapping[str, object]", one))
    for name, value in cast("Mapping[str, object]", two).items():
        out[name] = value if name not in out or out[name] == value else _also(out[name], value)
    return out


def add_null(out: Schema) -> None:
    """OpenAPI's `nullable` in the words of JSON Schema."""
    names = types_of(out)
    if names and "null" not in names:
        out["type"] = [*names, "null"]
        if isinstance(out.get("enum"), list) and None not in as_list(out["enum"]):
            out["enum"] = [*as_list(out["enum"]), None]
    elif not names and isinstance(out.get("anyOf"), list) and {"type": "null"} not in as_list(out["anyOf"]):
        out["anyOf"] = [*as_list(out["anyOf"]), {"type": "null"}]
