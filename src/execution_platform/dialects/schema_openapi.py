"""JSON Schema → Gemini's `Schema` object, a subset of OpenAPI 3.0.

Source: ai.google.dev, API reference "Caching: Schema" (fields, formats, "for anyOf no other field"), and
`google.genai.types.Schema` of google-genai 3.4; November 2026.

To the wire: references are written out (recursion is cut), `type` lists become `nullable` or `anyOf`,
`oneOf` becomes `anyOf`, `allOf` is merged, `const` becomes `enum`. Whatever stands beside an `anyOf`
moves into its alternatives, because the target refuses it there. Each keyword that cannot be said is a
knob loss. The way back is `schema_gemini.from_openapi`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

from execution_platform.dialects.schema_merge import (
    MAX_REFERENCES,
    Schema,
    as_list,
    as_schema,
    is_number,
    merge,
    resolve,
    types_of,
)
from execution_platform.spi.loss import Loss

MAX_NODES: Final = 4000
"""Schemas one schema may grow to: references within references multiply."""
MAX_DEPTH: Final = 40

_KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format", "multipleOf"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format", "multipleOf"}),
    "array": frozenset(
        {"items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"}
        | {"additionalItems", "unevaluatedItems"}
    ),
    "object": frozenset(
        {"properties", "required", "minProperties", "maxProperties", "propertyOrdering", "additionalProperties"}
        | {"patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "dependencies"}
        | {"unevaluatedProperties"}
    ),
    "boolean": frozenset(),
}
"""Keywords that mean something for one type only; beside another type they say nothing."""
_ABOUT_TYPES: Final = frozenset(keyword for keywords in _KEYWORDS.values() for keyword in keywords)
_FORMATS: Final[Mapping[str, frozenset[str]]] = {
    "string": frozenset({"enum", "date-time"}),
    "number": frozenset({"float", "double"}),
    "integer": frozenset({"int32", "int64"}),
}
_SPOKEN: Final = frozenset({"type", "enum", "const", "nullable", "$defs", "definitions", "anyOf", "oneOf", "$ref"})
_COUNTS: Final = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_ORDER: Final = ("string", "number", "integer", "boolean", "array", "object")


class Walk:
    """One walk over one schema: its root for references, its losses, and how much it may still grow."""

    __slots__ = ("_left", "losses", "root")

    def __init__(self, root: Mapping[str, object]) -> None:
        self.root = root
        self.losses: list[Loss] = []
        self._left = MAX_NODES

    def enter(self) -> bool:
        """Count one schema; false when there have been too many."""
        self._left -= 1
        return self._left >= 0

    def lose(self, path: str, what: str) -> None:
        """Record a knob loss."""
        self.losses.append(Loss(path, what, "knob"))

    def lose_all(self, path: str, keywords: Iterable[str], what: str) -> None:
        """Record a knob loss for each keyword of the schema at `path`."""
        for keyword in keywords:
            self.lose(f"{path}.{keyword}", what)


def to_openapi(node: object, walk: Walk, path: str, refs: frozenset[str] = frozenset(), depth: int = 0) -> Schema:
    """One schema and all below it in the target's words."""
    if depth > MAX_DEPTH or not walk.enter():
        walk.lose(path, "nested too deeply or grown too large for the target")
        return {"type": "object"}
    schema, refs = _flatten(as_schema(node), walk, path, refs)
    here = _Here(walk, path, refs, depth)
    for keyword in ("oneOf", "anyOf"):
        branches = schema.get(keyword)
        if isinstance(branches, list) and branches:
            if keyword == "oneOf":
                walk.lose(f"{path}.oneOf", "sent as anyOf")
            rest = {name: value for name, value in schema.items() if name != keyword}
            return here.union(cast("list[object]", branches), rest, keyword)
    return here.one(schema)


def _flatten(node: Schema, walk: Walk, path: str, refs: frozenset[str]) -> tuple[Schema, frozenset[str]]:
    """The node with its reference written out and its `allOf` merged; the node's own annotations win."""
    if "$ref" not in node and "allOf" not in node:
        return node, refs
    out = {keyword: value for keyword, value in node.items() if keyword not in ("$ref", "allOf")}
    parts = [as_schema(part) for part in as_list(node.get("allOf"))]
    if "$ref" in node:
        target, refs = _target(node["$ref"], walk, path, refs)
        parts.append(target)
    for part in parts:
        if not walk.enter():
            walk.lose(f"{path}.allOf", "the schema has grown too large for the target")
            break
        whole, refs = _flatten(part, walk, path, refs)
        merged = merge(out, whole)
        walk.lose_all(path, merged.lost, "two parts of the schema disagree about it")
        out = merged.schema
    return _flatten(out, walk, path, refs)


def _target(reference: object, walk: Walk, path: str, refs: frozenset[str]) -> tuple[Schema, frozenset[str]]:
    """What a reference stands for; a recursive one for any value of its target's type."""
    target = resolve(walk.root, reference) if isinstance(reference, str) else None
    if not isinstance(reference, str) or target is None:
        walk.lose(f"{path}.$ref", "leads nowhere inside the schema")
        return {}, refs
    schema = as_schema(target)
    if reference in refs or len(refs) > MAX_REFERENCES:
        walk.lose(f"{path}.$ref", "recursive; the target gets a value of the same type without its form")
        return {"type": (types_of(schema) or ["object"])[0]}, refs
    return schema, refs | {reference}


class _Here:
    """One place of the walk."""

    __slots__ = ("depth", "path", "refs", "walk")

    def __init__(self, walk: Walk, path: str, refs: frozenset[str], depth: int) -> None:
        self.walk, self.path, self.refs, self.depth = walk, path, refs, depth

    def child(self, node: object, step: str) -> Schema:
        """A schema below this one."""
        return to_openapi(node, self.walk, self.path + step, self.refs, self.depth + 1)

    def lose(self, keyword: str, what: str = "the target's schema has no such keyword") -> None:
        """Record that a keyword of this schema is left out."""
        self.walk.lose(f"{self.path}.{keyword}", what)

    def union(self, branches: list[object], rest: Schema, keyword: str) -> Schema:
        """Alternatives, with what stands beside them moved into each."""
        rest = {name: value for name, value in rest.items() if name not in ("$defs", "definitions")}
        if rest.pop("nullable", None) is True:
            branches = [*branches, {"type": "null"}]
        found: list[Schema] = []
        nullable = False
        for number, branch in enumerate(branches):
            if branch is False:
                continue
            lead = [branch, rest] if len(branches) > 2 else [rest, branch]
            out = self.child({"allOf": lead} if rest else branch, f".{keyword}[{number}]")
            if out.get("type") == "null":
                nullable = True
            else:
                found.extend(cast("list[Schema]", out["anyOf"]) if "anyOf" in out else [out])
        return _alternatives(found, nullable=nullable)

    def one(self, schema: Schema) -> Schema:
        """A schema without alternatives of its own."""
        names = types_of(schema)
        values = _values(schema)
        nullable = "null" in names or not names
        if values is not None:
            nullable = nullable and None in values
        elif not names:
            nullable = False
        nullable = nullable or schema.get("nullable") is True
        kinds = [name for name in names if name in _KEYWORDS] or _inferred(schema, values)
        if values is not None and len(kinds) > 1:
            kinds = [kind for kind in kinds if _of_kind(kind, values)]
        if not kinds:
            if not nullable and "null" not in names:
                return self.any(schema)
            if not nullable:
                self.walk.lose(self.path, "no value satisfies it; the target gets null")
            return {"type": "null"}
        return _alternatives([self.typed(kind, schema, values) for kind in kinds], nullable=nullable)

    def any(self, schema: Schema) -> Schema:
        """A value of any type: the target demands one, so the plain ones are offered."""
        self.walk.lose(self.path, "a value of any type; the target gets text, number or boolean")
        self.walk.lose_all(self.path, [k for k in schema if k not in _SPOKEN and k not in _PLAIN], "no such keyword")
        plain = {
            keyword: schema[keyword] for keyword in ("title", "description") if isinstance(schema.get(keyword), str)
        }
        return {"anyOf": [{"type": kind, **plain} for kind in ("string", "number", "boolean")]}

    def typed(self, kind: str, schema: Schema, values: list[object] | None) -> Schema:
        """A schema of exactly one type."""
        out: Schema = {} if "type" in schema else {"type": kind}
        for keyword, value in schema.items():
            if keyword == "type":
                out["type"] = kind
            elif keyword in ("enum", "const"):
                self.choice(kind, values or [], keyword, out)
            elif keyword in _KEYWORDS[kind]:
                _WRITERS.get(keyword, _Here.unsaid)(self, keyword, value, kind, out)
            elif keyword in _PLAIN:
                self.plain(keyword, value, out)
            elif keyword not in _ABOUT_TYPES and keyword not in _SPOKEN:
                self.lose(keyword)
        if kind == "array" and "items" not in out:
            self.lose("items", "elements of any type; the target gets text")
            out["items"] = {"type": "string"}
        return out

    def plain(self, keyword: str, value: object, out: Schema) -> None:
        """Title, description, default, example."""
        if keyword in ("title", "description") and not isinstance(value, str):
            self.lose(keyword, "not text")
        elif keyword != "default" or value is not None:
            out[keyword] = value

    def unsaid(self, keyword: str, value: object, kind: str, out: Schema) -> None:
        """A keyword the target does not know."""
        del kind, out
        if keyword == "additionalProperties" and value in (True, {}):
            return
        if keyword == "uniqueItems" and value is False:
            return
        self.lose(keyword)

    def choice(self, kind: str, values: list[object], keyword: str, out: Schema) -> None:
        """`enum` and `const`: the target lists text only; numbers become a range."""
        fitting = _of_kind(kind, values)
        if kind == "string":
            words = [value for value in fitting if value != ""]
            if words:
                out["enum"] = words
            if len(words) < len(fitting) or not words:
                self.lose(keyword, "the target lists non-empty text only")
        elif kind in ("number", "integer") and fitting:
            numbers = cast("list[float]", fitting)
            _raise(out, "minimum", min(numbers))
            _lower(out, "maximum", max(numbers))
            if len(set(numbers)) < (max(numbers) - min(numbers) + 1 if kind == "integer" else min(len(numbers), 2)):
                self.lose(keyword, "the target lists text only; it gets the range")
        elif kind != "boolean" or len(set(map(bool, fitting))) < 2:
            self.lose(keyword, "the target lists text only")

    def limit(self, keyword: str, value: object, kind: str, out: Schema) -> None:
        """Bounds of numbers; exclusive ones become inclusive."""
        if isinstance(value, bool) or not is_number(value):
            if value is not False:
                self.lose(keyword, "not a number")
            return
        bound = cast("float", value)
        exclusive = keyword.startswith("exclusive")
        lower = keyword.endswith("inimum")
        if kind == "integer":
            if exclusive:
                bound = math.floor(bound) + 1 if lower else math.ceil(bound) - 1
            elif not isinstance(bound, int):
                bound = math.ceil(bound) if lower else math.floor(bound)
        elif exclusive:
            self.lose(keyword, "sent as an inclusive bound")
        if lower:
            _raise(out, "minimum", bound)
        else:
            _lower(out, "maximum", bound)

    def count(self, keyword: str, value: object, kind: str, out: Schema) -> None:
        """Lengths and counts."""
        del kind
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            self.lose(keyword, "not a whole number")
        else:
            out[keyword] = int(value)

    def form(self, keyword: str, value: object, kind: str, out: Schema) -> None:
        """`format`, of which the target knows few."""
        if isinstance(value, str) and value in _FORMATS.get(kind, ()):
            out[keyword] = value
        else:
            self.lose(keyword, "the target does not know this format")

    def text(self, keyword: str, value: object, kind: str, out: Schema) -> None:
        """`pattern`."""
        del kind
        if isinstance(value, str):
            out[keyword] = value
        else:
            self.lose(keyword, "not text")

    def properties(self, keyword: str, value: object, kind: str, out: Schema) -> None:
        """The properties, in their order."""
        del kind
        if not isinstance(value, dict):
            self.lose(keyword, "not an object")
            return
        found: Schema = {}
        for name, child in cast("Schema", value).items():
            if child is False:
                self.lose(f"{keyword}.{name}", "no value is allowed; left out")
            else:
                found[name] = self.child(child, f".properties.{name}")
        out[keyword] = found
        required = out.get("required")
        if isinstance(required, list):
            known = [name for name in cast("list[object]", required) if name in found]
            out["required"] = known
            if len(known) < len(cast("list[object]", required)):
                self.lose("required", "names properties that are not declared")
            if not known:
                del out["required"]

    def names(self, keyword: str, value: object, kind: str, out: Schema) -> None:
        """`required` and `propertyOrdering`: only names of declared properties."""
        del kind
        declared = out.get("properties")
        names = [name for name in as_list(value) if isinstance(name, str)]
        if isinstance(declared, dict):
            known = [name for name in names if name in declared]
        else:
            known = names
        if len(known) < len(names):
            self.lose(keyword, "names properties that are not declared")
        if known:
            out[keyword] = known

    def items(self, keyword: str, value: object, kind: str, out: Schema) -> None:
        """The elements of a list; those of a tuple become alternatives."""
        del kind
        if keyword == "items" and isinstance(value, dict):
            if "items" not in out:
                out[keyword] = self.child(cast("Schema", value), ".items")
        elif isinstance(value, list) and value:
            self.lose(keyword, "the places of a tuple are sent as alternatives for all elements")
            out["items"] = self.child({"anyOf": cast("list[object]", value)}, f".{keyword}")
        elif value is not True:
            self.lose(keyword, "not a schema of elements")


_Writer = Callable[[_Here, str, object, str, Schema], None]
_WRITERS: Final[Mapping[str, _Writer]] = {
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _Here.limit),
    **dict.fromkeys(_COUNTS, _Here.count),
    "format": _Here.form,
    "pattern": _Here.text,
    "properties": _Here.properties,
    "required": _Here.names,
    "propertyOrdering": _Here.names,
    "items": _Here.items,
    "prefixItems": _Here.items,
}
_PLAIN: Final = frozenset({"title", "description", "default", "example"})


def _alternatives(found: list[Schema], *, nullable: bool) -> Schema:
    """One schema from alternatives; null joins the first, since beside `anyOf` nothing may stand."""
    if not found:
        return {"type": "null"}
    if nullable:
        found = [{**found[0], "nullable": True}, *found[1:]]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _values(schema: Schema) -> list[object] | None:
    """The values `const` and `enum` leave; None when neither is there."""
    values = as_list(schema["enum"]) if isinstance(schema.get("enum"), list) else None
    if "const" in schema:
        const = schema["const"]
        values = [const] if values is None or const in values else []
    return values


def _of_kind(kind: str, values: Iterable[object]) -> list[object]:
    """Those of the values that are of one type."""
    match kind:
        case "string":
            return [value for value in values if isinstance(value, str)]
        case "boolean":
            return [value for value in values if isinstance(value, bool)]
        case "number":
            return [value for value in values if is_number(value)]
        case "integer":
            return [value for value in values if is_number(value) and float(cast("float", value)).is_integer()]
        case "array":
            return [value for value in values if isinstance(value, list)]
        case _:
            return [value for value in values if isinstance(value, dict)]


def _inferred(schema: Schema, values: list[object] | None) -> list[str]:
    """The types that the other keywords speak of, where `type` is missing."""
    if types_of(schema):
        return []
    if values is not None:
        kinds = [kind for kind in _ORDER if kind != "integer" and _of_kind(kind, values)]
        return kinds
    for kind in ("object", "array", "string", "number"):
        if _KEYWORDS[kind] & schema.keys() - {"format"}:
            return [kind]
    return ["string"] if isinstance(schema.get("format"), str) else []


def _raise(out: Schema, keyword: str, value: float) -> None:
    have = out.get(keyword)
    out[keyword] = max(value, cast("float", have)) if is_number(have) else value


def _lower(out: Schema, keyword: str, value: float) -> None:
    have = out.get(keyword)
    out[keyword] = min(value, cast("float", have)) if is_number(have) else value
