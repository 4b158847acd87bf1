"""Gemini's `Schema` object → JSON Schema: lower-case types, `nullable` as a type, protobuf's numbers as numbers.

Source: `google.genai.types.Schema` of google-genai 3.4 (November 2026), and protobuf's JSON form, in which
64-bit integers are text and members may be spelled in snake_case.
"""

from collections.abc import Mapping
from typing import Final, cast

from execution_platform.dialects.schema_merge import Schema, add_null

_COUNTS: Final = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_SPELLED: Final[Mapping[str, str]] = {
    "any_of": "anyOf",
    "min_items": "minItems",
    "max_items": "maxItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_properties": "minProperties",
    "max_properties": "maxProperties",
    "property_ordering": "propertyOrdering",
    "additional_properties": "additionalProperties",
    "defs": "$defs",
    "ref": "$ref",
}


def from_openapi(schema: Mapping[str, object]) -> Schema:
    """A schema of the Gemini wire in the words of JSON Schema; what is such already stays as it is."""
    out: Schema = {}
    for spelled, value in schema.items():
        keyword = _SPELLED.get(spelled, spelled)
        match keyword:
            case "type" if isinstance(value, str):
                if value.upper() != "TYPE_UNSPECIFIED":
                    out[keyword] = value.lower()
            case "propertyOrdering" | "nullable":
                continue
            case "format" if value == "enum":
                continue
            case "example":
                out["examples"] = [value]
            case "$ref" if isinstance(value, str):
                out[keyword] = value.replace("#/defs/", "#/$defs/")
            case _:
                out[keyword] = _whole(value) if keyword in _COUNTS else _below(keyword, value)
    if schema.get("nullable") is True:
        add_null(out)
    return out


def _below(keyword: str, value: object) -> object:
    """A keyword's value with the schemas in it converted."""
    if keyword in ("properties", "$defs") and isinstance(value, dict):
        return {name: _child(child) for name, child in cast("Schema", value).items()}
    if keyword == "anyOf" and isinstance(value, list):
        return [_child(child) for child in cast("list[object]", value)]
    return _child(value) if keyword in ("items", "additionalProperties") else value


def _child(value: object) -> object:
    return from_openapi(cast("Schema", value)) if isinstance(value, dict) else value


def _whole(value: object) -> object:
    """Protobuf writes 64-bit integers as text."""
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 20 else value
