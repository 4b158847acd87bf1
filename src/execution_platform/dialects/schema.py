"""JSON Schema as each target takes it: fitted in one direction, with a `Loss` for everything left out.

Flavours (`ModelProfile.schema_flavor`):

* `json_schema`: the schema as the caller wrote it. Only a missing one becomes an empty object, because
  targets want an object with properties even for a tool without parameters.
* `openai_strict`: what OpenAI's strict mode takes (platform.openai.com, guide "Structured outputs", and
  `openai/lib/_pydantic.py` of openai-python 3.52; November 2026): every object closed, every property
  required, no `allOf`/`oneOf`, no siblings of `$ref`.
* `openapi`: Gemini's `Schema`, a subset of OpenAPI 3.0 (see `schema_openapi`).

What a fitted schema accepts the original accepts too, but for the keywords named in the losses. Keys
and properties keep their order, since models write their answer in it. Fitting twice changes nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple, cast

from execution_platform.dialects.schema_gemini import from_openapi
from execution_platform.dialects.schema_merge import (
    MAX_REFERENCES,
    Schema,
    add_null,
    as_list,
    as_schema,
    merge,
    resolve,
    types_of,
)
from execution_platform.dialects.schema_openapi import Walk, to_openapi
from execution_platform.spi.loss import Loss
from execution_platform.spi.profile import SchemaFlavor

__all__ = ["Fitted", "fit", "from_openapi"]


class Fitted(NamedTuple):
    """A schema for the wire and what it could not say."""

    schema: Schema
    losses: tuple[Loss, ...] = ()


def fit(schema: Mapping[str, object] | None, flavor: SchemaFlavor, *, path: str) -> Fitted:
    """The schema as the flavour takes it; `path` is where it stood in the caller's request.

    None and the empty schema mean "no parameters". Never raises: what cannot be understood is left out
    with a loss, and the target has the last word on the rest.
    """
    if not schema:
        return Fitted({"type": "object", "properties": {}})
    given = dict(schema)
    if "type" not in given and "properties" in given:
        given = {"type": "object", **given}
    if flavor == "openapi":
        walk = Walk(given)
        return Fitted(to_openapi(given, walk, path), tuple(walk.losses))
    if flavor == "openai_strict":
        walk = Walk(given)
        return Fitted(_strict(given, walk, path, frozenset()), tuple(walk.losses))
    return Fitted(given)


_STRICT_KEYWORDS = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "title"}
    | {"description", "$ref", "$defs", "definitions", "pattern", "format", "multipleOf", "minimum", "maximum"}
    | {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"}
)
_STRICT_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")


def _strict(node: object, walk: Walk, path: str, refs: frozenset[str]) -> Schema:
    if not walk.enter():
        walk.lose(path, "the schema is too large to be written out for the target")
        return {"type": "string"}
    flat, refs = _strict_flat(as_schema(node), walk, path, refs)
    out: Schema = {}
    for keyword, value in flat.items():
        if keyword == "nullable":
            continue
        if keyword == "default" and value is None:
            continue
        if keyword not in _STRICT_KEYWORDS or (keyword == "format" and value not in _STRICT_FORMATS):
            walk.lose(f"{path}.{keyword}", "strict schemas have no such keyword or format")
            continue
        out[keyword] = _strict_value(keyword, value, walk, path, refs)
    if flat.get("nullable") is True:
        add_null(out)
    if "object" in types_of(out) or "properties" in out:
        _close(out, flat, walk, path)
    return out


def _strict_flat(node: Schema, walk: Walk, path: str, refs: frozenset[str]) -> tuple[Schema, frozenset[str]]:
    """The node without `allOf`, `oneOf`, and siblings of `$ref`."""
    parts = [as_schema(part) for part in as_list(node.get("allOf"))]
    flat = {keyword: value for keyword, value in node.items() if keyword != "allOf"}
    if len(parts) == 1 and not flat:
        return _strict_flat(parts[0], walk, path, refs)
    for part in parts:
        whole, refs = _inlined(part, walk, path, refs)
        merged = merge(flat, whole)
        flat = merged.schema
        walk.lose_all(path, merged.lost, "two parts of allOf disagree about it")
    if "$ref" in flat and len(flat.keys() - {"$defs", "definitions"}) > 1:
        flat, refs = _inlined(flat, walk, path, refs)
    if "allOf" in flat:
        return _strict_flat(flat, walk, path, refs)
    options = as_list(flat.pop("oneOf", None))
    if options:
        walk.lose(f"{path}.oneOf", "sent as anyOf")
        merged = merge(flat, {"anyOf": options})
        flat = merged.schema
        walk.lose_all(path, merged.lost, "there are too many alternatives to combine")
    return flat, refs


def _inlined(node: Schema, walk: Walk, path: str, refs: frozenset[str]) -> tuple[Schema, frozenset[str]]:
    """The node with its `$ref` replaced by what it points to; the node's own annotations win."""
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node, refs
    rest = {keyword: value for keyword, value in node.items() if keyword != "$ref"}
    target = resolve(walk.root, reference)
    if target is None or reference in refs or len(refs) > MAX_REFERENCES or not walk.enter():
        if rest.keys() - {"$defs", "definitions"}:
            walk.lose(f"{path}.$ref", "strict schemas allow nothing beside this reference")
        return {"$ref": reference, **{key: rest[key] for key in ("$defs", "definitions") if key in rest}}, refs
    merged = merge(rest, as_schema(target))
    walk.lose_all(path, merged.lost, "the referenced schema disagrees about it")
    return _inlined(merged.schema, walk, path, refs | {reference})


def _strict_value(keyword: str, value: object, walk: Walk, path: str, refs: frozenset[str]) -> object:
    match keyword:
        case "properties" | "$defs" | "definitions" if isinstance(value, dict):
            named = cast("Schema", value).items()
            return {name: _strict(child, walk, f"{path}.{keyword}.{name}", refs) for name, child in named}
        case "items" if isinstance(value, dict):
            return _strict(cast("Schema", value), walk, f"{path}.items", refs)
        case "anyOf":
            return [
                _strict(child, walk, f"{path}.anyOf[{number}]", refs) for number, child in enumerate(as_list(value))
            ]
        case _:
            return value


def _close(out: Schema, flat: Schema, walk: Walk, path: str) -> None:
    """All properties required, no others allowed."""
    properties = cast("Schema", out["properties"]) if isinstance(out.get("properties"), dict) else {}
    required = as_list(flat.get("required"))
    for name in properties:
        if name not in required:
            walk.lose(f"{path}.properties.{name}", "optional, but strict schemas require every property")
    extra = flat.get("additionalProperties")
    if extra not in (None, False) or (extra is None and not properties):
        walk.lose(f"{path}.additionalProperties", "strict schemas allow only declared properties")
    out.setdefault("properties", {})
    out["required"] = list(properties)
    out["additionalProperties"] = False
