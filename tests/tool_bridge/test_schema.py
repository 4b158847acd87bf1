"""Schemas made from functions, and arguments checked against schemas."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema_rs
import pytest

from execution_platform.exceptions import ConfigError, InvalidToolArguments
from execution_platform.tool_bridge import ArgumentCheck, FunctionTool, function_schema
from loops import in_loop


@dataclass
class Place:
    """Where."""

    city: str
    country: str | None = None


def search(
    query: Annotated[str, "what to look for"],
    *,
    limit: int = 10,
    kind: Literal["web", "news"] = "web",
    near: Place | None = None,
    tags: list[str] | None = None,
    options: Any = None,
) -> list[str]:
    """Search the web.

    The rest is for people.
    """
    return [query, str(limit), kind, near.city if near else "", *(tags or ())]


def test_a_functions_annotations_and_defaults_are_its_schema() -> None:
    schema = function_schema(search)
    jsonschema_rs.meta.validate(schema)
    assert schema["required"] == ["query"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["query"] == {"type": "string", "description": "what to look for"}
    assert properties["limit"] == {"type": "integer", "default": 10}
    assert properties["kind"] == {"enum": ["news", "web"], "default": "web"}
    assert properties["near"] == {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}], "default": None}
    assert schema["$defs"]["Place"]["required"] == ["city"]


def test_a_function_without_arguments_takes_none() -> None:
    def nothing() -> None:
        """Nothing."""

    assert function_schema(nothing) == {"type": "object", "properties": {}, "additionalProperties": False}


def test_a_signature_an_object_cannot_fill_is_refused() -> None:
    def listed(*parts: str) -> None: ...
    def named(**parts: str) -> None: ...
    def bare(part) -> None: ...
    def odd(part: object) -> None: ...

    for function, problem in ((listed, "no name"), (named, "no name"), (bare, "no annotation"), (odd, "object")):
        with pytest.raises(ConfigError, match=problem):
            function_schema(function)


def test_a_tool_needs_a_description() -> None:
    def silent() -> None: ...

    with pytest.raises(ConfigError, match="no description"):
        FunctionTool(silent)
    assert FunctionTool(search).description == "Search the web."


@in_loop
async def test_arguments_reach_a_function_in_its_own_types() -> None:
    tool = FunctionTool(search)
    args = {"query": "rain", "near": {"city": "Bern"}, "tags": ["a"]}
    tool.validate_args(args)
    assert (await tool.execute(args)).output == ["rain", "10", "web", "Bern", "a"]


@in_loop
async def test_a_value_that_passes_the_schema_and_not_the_type_is_refused() -> None:
    def wait(seconds: int) -> None:
        """Wait."""

    with pytest.raises(InvalidToolArguments, match=r"args\.seconds"):
        await FunctionTool(wait).execute({"seconds": "soon"})


def refusal(schema: dict[str, Any], args: Any) -> InvalidToolArguments:
    with pytest.raises(InvalidToolArguments) as caught:
        ArgumentCheck("t", schema)(args)
    return caught.value


NESTED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "minLength": 1},
        "edits": {"type": "array", "items": {"type": "object", "properties": {"line": {"type": "integer"}}}},
        "mode": {
            "anyOf": [
                {"type": "object", "properties": {"append": {"type": "boolean"}}, "additionalProperties": False},
            ]
        },
    },
    "required": ["path"],
    "additionalProperties": False,
}


def test_a_refusal_names_field_problem_and_schema() -> None:
    error = refusal(NESTED, {"path": "x", "edits": [{"line": 1}, {"line": "two"}]})
    assert 'args.edits[1].line: it is not of type "integer" (given: "two")' in error.message
    assert error.param == "args.edits[1].line"
    assert '"required":["path"]' in error.message


def test_what_is_missing_is_named_where_it_should_stand() -> None:
    assert refusal(NESTED, {}).message.startswith("tool 't': args.path: is required and missing. ")


def test_an_unknown_argument_is_answered_with_the_nearest() -> None:
    assert "args.pth: unknown argument. Did you mean path?" in refusal(NESTED, {"path": "x", "pth": 1}).message
    error = refusal(
        {
            "type": "object",
            "$ref": "#/$defs/o",
            "$defs": {"o": {"properties": {"a": {}}, "additionalProperties": False}},
        },
        {"z": 1},
    )
    assert "args.z: unknown argument" in error.message


def test_every_problem_is_told_up_to_five() -> None:
    schema = {"type": "object", "properties": {f"p{i}": {"type": "integer"} for i in range(9)}}
    error = refusal(schema, {f"p{i}": "x" for i in range(9)})
    assert error.message.count('is not of type "integer"') == 5
    assert "and 4 more" in error.message


def test_long_values_and_schemas_are_cut() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "description": "d" * 9000}}}
    error = refusal(schema, {"n": "v" * 9000})
    assert len(error.message) < 5000


@pytest.mark.parametrize("args", [None, [], "x", 3])
def test_arguments_are_an_object(args: Any) -> None:
    assert "args: must be an object" in refusal(NESTED, args).message


def test_a_reference_out_of_the_schema_is_never_fetched(tmp_path: Path) -> None:
    """H1: a schema of somebody else's cannot make us call an address, nor read a file."""
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.setblocking(False)
        (tmp_path / "schema.json").write_text("{}")
        port = canary.getsockname()[1]
        for reference in (f"http://127.0.0.1:{port}/schema.json", f"file://{tmp_path}/schema.json"):
            check = ArgumentCheck("t", {"type": "object", "properties": {"a": {"$ref": reference}}})
            with pytest.raises(ConfigError, match="its schema cannot be used"):
                check({"a": 1})
        with pytest.raises(BlockingIOError):
            canary.accept()


def test_a_pattern_takes_linear_time_or_is_refused() -> None:
    evil = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    assert "does not match" in refusal(evil, {"a": "a" * 5000 + "!"}).message
    with pytest.raises(ConfigError, match="its schema cannot be used"):
        ArgumentCheck("t", {"type": "object", "properties": {"a": {"pattern": "(?=a)b"}}})({"a": "b"})


def test_a_schema_that_is_none_is_refused_when_it_is_used() -> None:
    with pytest.raises(ConfigError, match=r"tool 't': its schema cannot be used") as caught:
        ArgumentCheck("t", {"type": "object", "properties": {"a": {"type": "text"}}})({"a": 1})
    assert caught.value.code == "invalid_schema"
