"""JSON Schema transforms, judged by a JSON Schema validator where they promise to keep the meaning."""

import json

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution_platform.dialects.schema import fit, from_openapi

FLAVORS = ("json_schema", "openai_strict", "openapi")


def openapi(schema):
    return fit(schema, "openapi", path="p")


def strict(schema):
    return fit(schema, "openai_strict", path="p")


def lost(fitted):
    assert all(loss.severity == "knob" for loss in fitted.losses)
    return [loss.path for loss in fitted.losses]


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("missing", [None, {}])
def test_a_missing_schema_is_an_empty_object(flavor, missing):
    assert fit(missing, flavor, path="p").schema == {"type": "object", "properties": {}}
    assert fit(missing, flavor, path="p").losses == ()


def test_json_schema_stays_as_it_is_but_for_a_missing_type():
    schema = {"properties": {"b": {"oneOf": [{"const": 1}]}, "a": {}}, "$schema": "x"}
    fitted = fit(schema, "json_schema", path="p")
    assert json.dumps(fitted.schema) == json.dumps({"type": "object", **schema})
    assert fitted.losses == ()
    assert fit({"$ref": "#/x"}, "json_schema", path="p").schema == {"$ref": "#/x"}


def test_the_callers_schema_is_never_changed():
    schema = {"type": "object", "properties": {"a": {"type": "string", "default": 1, "nullable": True}}, "$schema": "x"}
    before = json.dumps(schema)
    for flavor in FLAVORS:
        fit(schema, flavor, path="p")
    assert json.dumps(schema) == before


def test_openapi_writes_references_out_and_cuts_recursion():
    node = {"type": "object", "properties": {"value": {"type": "number"}, "next": {"$ref": "#/$defs/Node"}}}
    fitted = openapi({"type": "object", "properties": {"list": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}})
    inner = {"type": "object", "properties": {"value": {"type": "number"}, "next": {"type": "object"}}}
    assert fitted.schema == {"type": "object", "properties": {"list": inner}}
    assert lost(fitted) == ["p.properties.list.properties.next.$ref"]


def test_openapi_keeps_what_stands_beside_a_reference():
    schema = {
        "properties": {"a": {"$ref": "#/definitions/A", "description": "mine"}},
        "definitions": {"A": {"type": "string", "description": "its"}},
    }
    assert openapi(schema).schema["properties"]["a"] == {"description": "mine", "type": "string"}


@pytest.mark.parametrize("reference", ["#/$defs/no", "https://elsewhere/x", "#x", 7, "#/$defs"])
def test_a_reference_that_leads_nowhere_is_a_loss(reference):
    fitted = openapi({"properties": {"a": {"$ref": reference, "type": "string"}}})
    assert fitted.schema["properties"]["a"] == {"type": "string"}
    assert lost(fitted) == ["p.properties.a.$ref"]


def test_references_that_multiply_stay_bounded():
    levels = {
        f"L{n}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/L{n + 1}"} for k in "abcdefgh"}}
        for n in range(20)
    }
    fitted = openapi(
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/L0"}}, "$defs": {**levels, "L20": {"type": "string"}}}
    )
    assert len(json.dumps(fitted.schema)) < 1_000_000
    assert fitted.losses


@pytest.mark.parametrize("flavor", FLAVORS)
def test_long_chains_of_references_do_not_exhaust_the_stack(flavor):
    chain = {f"C{n}": {"$ref": f"#/$defs/C{n + 1}", "description": str(n)} for n in range(5000)}
    fitted = fit({"properties": {"x": {"$ref": "#/$defs/C0", "title": "t"}}, "$defs": chain}, flavor, path="p")
    assert "x" in fitted.schema["properties"]
    many = {"allOf": [{"properties": {"x": {"minLength": n}}} for n in range(2000)]}
    assert fit(many, flavor, path="p").schema


@pytest.mark.parametrize(
    ("given_schema", "expected"),
    [
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "null"], "enum": ["a", None]}, {"type": "string", "enum": ["a"], "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"type": "STRING"}, {"type": "string"}),
        ({"const": "k"}, {"type": "string", "enum": ["k"]}),
        ({"const": 5, "type": "integer"}, {"minimum": 5, "maximum": 5, "type": "integer"}),
        ({"enum": [1, 2, 3], "type": "integer"}, {"minimum": 1, "maximum": 3, "type": "integer"}),
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"type": "integer", "exclusiveMinimum": 3}, {"type": "integer", "minimum": 4}),
        ({"type": "integer", "exclusiveMaximum": 3.5}, {"type": "integer", "maximum": 3}),
        ({"items": {"type": "string"}}, {"type": "array", "items": {"type": "string"}}),
        ({"type": "object", "additionalProperties": True}, {"type": "object"}),
        ({"type": "string", "default": None}, {"type": "string"}),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"},
            {"description": "d", "type": "string", "nullable": True},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "number"}], "description": "d"},
            {"anyOf": [{"type": "string", "description": "d"}, {"type": "number", "description": "d"}]},
        ),
        (
            {
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            },
            {
                "anyOf": [
                    {
                        "required": ["a"],
                        "type": "object",
                        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                    },
                    {
                        "required": ["b"],
                        "type": "object",
                        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                    },
                ]
            },
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"a": {"minLength": 2}}},
                ]
            },
            {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "required": ["a"]},
        ),
        ({"type": "null"}, {"type": "null"}),
        ({"type": "object", "minLength": 3}, {"type": "object"}),
    ],
)
def test_openapi_says_the_same_in_the_targets_words(given_schema, expected):
    fitted = openapi({"type": "object", "properties": {"x": given_schema}})
    assert fitted.schema["properties"]["x"] == expected
    assert lost(fitted) == []


@pytest.mark.parametrize(
    ("given_schema", "expected", "path"),
    [
        (
            {"oneOf": [{"type": "string"}, {"type": "number"}]},
            {"anyOf": [{"type": "string"}, {"type": "number"}]},
            "oneOf",
        ),
        ({"type": "object", "additionalProperties": False}, {"type": "object"}, "additionalProperties"),
        ({"type": "object", "patternProperties": {"a": {}}}, {"type": "object"}, "patternProperties"),
        ({"type": "string", "$comment": "c"}, {"type": "string"}, "$comment"),
        ({"type": "string", "format": "email"}, {"type": "string"}, "format"),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0}, "exclusiveMinimum"),
        ({"type": "number", "multipleOf": 2}, {"type": "number"}, "multipleOf"),
        ({"type": "integer", "enum": [1, 9]}, {"type": "integer", "minimum": 1, "maximum": 9}, "enum"),
        ({"type": "boolean", "const": True}, {"type": "boolean"}, "const"),
        ({"type": "string", "enum": ["", "a"]}, {"type": "string", "enum": ["a"]}, "enum"),
        ({"type": "array"}, {"type": "array", "items": {"type": "string"}}, "items"),
        (
            {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            {"type": "array", "items": {"type": "string"}},
            "uniqueItems",
        ),
        ({"type": "object", "properties": {}, "required": ["a"]}, {"type": "object", "properties": {}}, "required"),
        ({"type": "object", "required": ["a"], "properties": {}}, {"type": "object", "properties": {}}, "required"),
        ({"type": "object", "properties": {"n": False}}, {"type": "object", "properties": {}}, "properties.n"),
        ({"type": "object", "properties": []}, {"type": "object"}, "properties"),
        ({"type": "string", "pattern": 3}, {"type": "string"}, "pattern"),
        ({"type": "string", "not": {"const": "a"}}, {"type": "string"}, "not"),
    ],
)
def test_openapi_names_what_it_leaves_out(given_schema, expected, path):
    fitted = openapi({"type": "object", "properties": {"x": given_schema}})
    assert fitted.schema["properties"]["x"] == expected
    assert lost(fitted) == [f"p.properties.x.{path}"]


def test_openapi_offers_plain_types_where_any_value_is_meant():
    fitted = openapi({"properties": {"x": {"description": "d"}}})
    assert fitted.schema["properties"]["x"] == {
        "anyOf": [{"type": t, "description": "d"} for t in ("string", "number", "boolean")]
    }
    assert lost(fitted) == ["p.properties.x"]


def test_property_order_survives_every_flavor():
    names = ["zeta", "alpha", "mid", "beta"]
    schema = {
        "type": "object",
        "required": ["mid"],
        "properties": {name: {"type": "string", "description": name} for name in names},
    }
    for flavor in FLAVORS:
        fitted = fit(schema, flavor, path="p").schema
        assert list(fitted["properties"]) == names
        assert [key for key in fitted if key in schema] == list(schema)


def test_strict_closes_every_object_and_requires_every_property():
    fitted = strict(
        {
            "type": "object",
            "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}, "c": {"type": "string"}},
            "required": ["c"],
        }
    )
    inner = {
        "type": "object",
        "properties": {"b": {"type": "string"}},
        "required": ["b"],
        "additionalProperties": False,
    }
    assert fitted.schema == {
        "type": "object",
        "properties": {"a": inner, "c": {"type": "string"}},
        "required": ["a", "c"],
        "additionalProperties": False,
    }
    assert lost(fitted) == ["p.properties.a.properties.b", "p.properties.a"]


def test_strict_keeps_references_and_writes_out_those_with_siblings():
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A", "description": "d"}},
        "required": ["a", "b"],
        "$defs": {"A": {"type": "string"}},
    }
    fitted = strict(schema)
    assert fitted.schema["properties"] == {"a": {"$ref": "#/$defs/A"}, "b": {"description": "d", "type": "string"}}
    assert fitted.schema["$defs"] == {"A": {"type": "string"}}
    assert lost(fitted) == []


def test_strict_survives_recursion_beside_siblings():
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/N", "description": "d"}},
        "required": ["next"],
        "additionalProperties": False,
    }
    fitted = strict(
        {
            "type": "object",
            "properties": {"n": {"$ref": "#/$defs/N", "title": "t"}},
            "required": ["n"],
            "$defs": {"N": node},
        }
    )
    assert fitted.schema["properties"]["n"]["properties"]["next"] == {"$ref": "#/$defs/N"}


@pytest.mark.parametrize(
    ("given_schema", "expected", "path"),
    [
        ({"type": "string", "default": "a"}, {"type": "string"}, ["default"]),
        ({"type": "string", "minLength": 2}, {"type": "string"}, ["minLength"]),
        ({"type": "string", "format": "uri"}, {"type": "string"}, ["format"]),
        ({"type": "string", "format": "uuid"}, {"type": "string", "format": "uuid"}, []),
        ({"type": "string", "default": None}, {"type": "string"}, []),
        ({"type": "string", "nullable": True, "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}, []),
        ({"oneOf": [{"type": "string"}]}, {"anyOf": [{"type": "string"}]}, ["oneOf"]),
        ({"allOf": [{"type": "string"}]}, {"type": "string"}, []),
        (
            {"allOf": [{"type": "string"}, {"pattern": "a"}], "title": "t"},
            {"title": "t", "type": "string", "pattern": "a"},
            [],
        ),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object", "additionalProperties": False, "properties": {}, "required": []},
            ["additionalProperties"],
        ),
    ],
)
def test_strict_says_what_it_can_and_names_the_rest(given_schema, expected, path):
    fitted = strict({"type": "object", "properties": {"x": given_schema}, "required": ["x"]})
    assert fitted.schema["properties"]["x"] == expected
    assert lost(fitted) == [f"p.properties.x.{keyword}" for keyword in path]


def test_gemini_schemas_come_back_as_json_schema():
    wire = {
        "type": "OBJECT",
        "properties": {
            "a": {"type": "STRING", "nullable": True, "enum": ["x"], "format": "enum"},
            "b": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "2"},
            "c": {"any_of": [{"type": "NUMBER"}], "nullable": True, "example": 3},
        },
        "propertyOrdering": ["b", "a", "c"],
    }
    assert from_openapi(wire) == {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", None]},
            "b": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
            "c": {"anyOf": [{"type": "number"}, {"type": "null"}], "examples": [3]},
        },
    }


def test_json_schema_passes_the_way_back_unchanged():
    schema = {
        "type": "object",
        "properties": {"type": {"type": "string"}, "nullable": {"type": ["string", "null"]}},
        "required": ["type"],
    }
    assert from_openapi(schema) == schema


# Properties

_words = st.sampled_from(["a", "b", "c"])
_scalars = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 2),
            "maxLength": st.integers(1, 3),
            "enum": st.lists(_words, min_size=1, unique=True),
            "description": _words,
        },
    ),
    st.fixed_dictionaries(
        {"type": st.just("integer")},
        optional={"minimum": st.integers(-2, 2), "exclusiveMaximum": st.integers(0, 3), "const": st.integers(0, 2)},
    ),
    st.fixed_dictionaries({"type": st.just("number")}, optional={"maximum": st.integers(-2, 2)}),
    st.fixed_dictionaries({"type": st.just("boolean")}),
    st.fixed_dictionaries({"type": st.just("null")}),
    st.fixed_dictionaries(
        {"type": st.lists(st.sampled_from(["string", "integer", "boolean", "null"]), min_size=1, unique=True)},
        optional={
            "minimum": st.integers(0, 2),
            "enum": st.lists(st.one_of(_words, st.none()), min_size=1, unique=True),
        },
    ),
    st.fixed_dictionaries({"const": _words}),
    st.just({"$ref": "#/$defs/D"}),
)


def _nested(children):
    return st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": children}, optional={"minItems": st.integers(0, 2)}),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(_words, children, min_size=1)},
            optional={"required": st.lists(_words, unique=True), "additionalProperties": st.booleans()},
        ),
        st.fixed_dictionaries({"anyOf": st.lists(children, min_size=1, max_size=3)}, optional={"description": _words}),
        st.fixed_dictionaries({"allOf": st.lists(children, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"oneOf": st.lists(children, min_size=1, max_size=2)}),
    )


schemas = st.recursive(_scalars, _nested, max_leaves=8).map(
    lambda schema: {"type": "object", "properties": {"x": schema}, "$defs": {"D": {"type": "string", "maxLength": 2}}}
)
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 4),
        st.sampled_from(["", "a", "b", "abc"]),
        st.floats(-3, 3).map(lambda n: round(n, 1)),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_words, inner, max_size=3)),
    max_leaves=6,
)


def accepts(schema, value):
    return jsonschema_rs.validator_for(schema).is_valid({"x": value})


@given(schema=schemas, value=values)
@settings(max_examples=400, deadline=None)
def test_openapi_without_losses_means_the_same(schema, value):
    fitted = openapi(schema)
    if not fitted.losses:
        assert accepts(from_openapi(fitted.schema), value) == accepts(schema, value)


@given(schema=schemas, value=values)
@settings(max_examples=300, deadline=None)
def test_what_strict_accepts_the_original_accepts(schema, value):
    fitted = strict(schema)
    told = {loss.path.rpartition(".")[2] for loss in fitted.losses} - {"x", "a", "b", "c", "additionalProperties"}
    if not told and accepts(fitted.schema, value):
        assert accepts(schema, value)


@pytest.mark.parametrize("flavor", FLAVORS)
@given(schema=schemas)
@settings(max_examples=200, deadline=None)
def test_fitting_twice_changes_nothing(flavor, schema):
    once = fit(schema, flavor, path="p")
    assert fit(once.schema, flavor, path="p") == (once.schema, ())


_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.sampled_from(["string", "object", "#", "#/properties/a", ""]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "required",
                    "anyOf",
                    "oneOf",
                    "allOf",
                    "$ref",
                    "enum",
                    "const",
                    "items",
                    "nullable",
                    "minimum",
                    "exclusiveMinimum",
                    "minLength",
                    "format",
                    "additionalProperties",
                    "$defs",
                    "prefixItems",
                    "default",
                    "a",
                ]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("flavor", FLAVORS)
@given(
    schema=st.dictionaries(
        st.sampled_from(["type", "properties", "anyOf", "allOf", "$ref", "items", "enum"]), _json, max_size=4
    )
)
@settings(max_examples=300, deadline=None)
def test_no_schema_however_odd_raises(flavor, schema):
    json.dumps(fit(schema, flavor, path="p").schema)
    from_openapi(schema)


@pytest.mark.parametrize(
    ("parts", "merged"),
    [
        ([{"minLength": 1, "maxLength": 9}, {"minLength": 2, "maxLength": 5}], {"minLength": 2, "maxLength": 5}),
        ([{"enum": ["a", "b"]}, {"enum": ["b", "c"]}], {"enum": ["b"]}),
        ([{"type": ["string", "null"]}, {"type": "string"}], {}),
        ([{"title": "one"}, {"title": "two"}], {"title": "one"}),
        ([{"anyOf": [{"pattern": "a"}, {"pattern": "b"}]}, {"minLength": 1}], None),
    ],
)
def test_parts_of_allof_narrow_each_other(parts, merged):
    fitted = openapi({"properties": {"x": {"type": "string", "allOf": parts}}})
    if merged is not None:
        assert fitted.schema["properties"]["x"] == {"type": "string", **merged}
    else:
        assert [branch["minLength"] for branch in fitted.schema["properties"]["x"]["anyOf"]] == [1, 1]
    assert lost(fitted) == []


def test_parts_of_allof_that_exclude_each_other_are_told():
    fitted = openapi(
        {"properties": {"x": {"allOf": [{"type": "string", "pattern": "a"}, {"type": "number", "pattern": "b"}]}}}
    )
    assert lost(fitted) == ["p.properties.x.type", "p.properties.x.pattern"]


@pytest.mark.parametrize(
    ("schema", "kept", "path"),
    [
        ({"type": "string", "title": 5}, {"type": "string"}, "title"),
        ({"type": "number", "minimum": "x"}, {"type": "number"}, "minimum"),
        ({"type": "string", "minLength": "x"}, {"type": "string"}, "minLength"),
        ({"type": "array", "items": 5}, {"type": "array", "items": {"type": "string"}}, "items"),
        ({"type": "boolean", "enum": [True, False]}, {"type": "boolean"}, None),
        ({"type": "integer", "minimum": 1.5}, {"type": "integer", "minimum": 2}, None),
        ({"anyOf": [{"type": "string"}], "nullable": True}, {"type": "string", "nullable": True}, None),
        ({"type": "array", "items": True}, {"type": "array", "items": {"type": "string"}}, "items"),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}]},
            {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
            "prefixItems",
        ),
    ],
)
def test_odd_values_of_keywords(schema, kept, path):
    fitted = openapi({"properties": {"x": schema}})
    assert fitted.schema["properties"]["x"] == kept
    paths = [] if path is None else [f"p.properties.x.{path}"]
    assert set(lost(fitted)) == set(paths)
