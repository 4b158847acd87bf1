"""JSON Schemas of tools: made from functions, and enforced on the arguments a model writes.

Theory of operation
-------------------
Schemas may come from other people's servers, so checking against one must be safe: references are resolved inside the schema
only and never fetched, and patterns are run by an engine whose time is linear in the text (a pattern that needs more, such as
one with look-around, is refused). The validator is compiled when the first arguments arrive: its library costs some megabytes
that a process without tool calls does not pay.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args, get_origin, get_type_hints

from execution_platform import _json
from execution_platform.config.problems import suggest
from execution_platform.exceptions import ConfigError, InvalidToolArguments

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

Schema = Mapping[str, object]
_MOST_PROBLEMS = 5
_IT = "it"
_LONGEST = 300
_LONGEST_VALUE = 60
_LONGEST_SCHEMA = 4000


def function_schema(function: Callable[..., object], *, without: Collection[str] = ()) -> dict[str, object]:
    """The JSON Schema of a function's arguments, from its annotations and defaults.

    `Annotated[T, "text"]` gives a parameter its description. Parameters `without` are left out: somebody else fills them.
    Raises `ConfigError` for a signature that a JSON object of arguments cannot fill.
    """
    types = {name: kind for name, kind in parameter_types(function).items() if name not in without}
    try:
        parts, definitions = _json.schemas(list(types.values()))
    except TypeError as error:
        raise ConfigError(f"{function.__qualname__}: {error}") from error
    properties: dict[str, object] = {}
    required: list[str] = []
    for (name, annotation), part in zip(types.items(), parts, strict=True):
        default = inspect.signature(function).parameters[name].default
        described = _description(annotation)
        properties[name] = {**part, **({"description": described} if described else {}), **_default(default)}
        if default is inspect.Parameter.empty:
            required.append(name)
    schema: dict[str, object] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    if definitions:
        schema["$defs"] = definitions
    return schema


def parameter_types(function: Callable[..., object]) -> dict[str, object]:
    """The annotation of each parameter, in order. Raises `ConfigError` for what a JSON object cannot fill."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    hints = get_type_hints(function, include_extras=True)
    found: dict[str, object] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in named:
            raise ConfigError(
                f"{function.__qualname__}: parameter {name!r} has no name a caller could use; give it one, or write a class"
            )
        if name not in hints:
            raise ConfigError(f"{function.__qualname__}: parameter {name!r} has no annotation, so it has no schema")
        found[name] = hints[name]
    return found


def _description(annotation: object) -> str | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((extra for extra in get_args(annotation)[1:] if isinstance(extra, str)), None)


def _default(default: object) -> dict[str, object]:
    plain = default is None or isinstance(default, str | int | float | bool)
    return {"default": default} if plain else {}


def compiled(schema: Schema, what: str) -> "Draft202012Validator":
    """`schema`, ready to check with. Raises `ConfigError` that calls it `what`."""
    from jsonschema_rs import Draft202012Validator, RegexOptions, ValidationError

    try:
        return Draft202012Validator(dict(schema), retriever=_nothing, mask=_IT, pattern_options=RegexOptions())
    except ValidationError as error:
        raise ConfigError(f"{what} cannot be used: {_short(error.message)}", code="invalid_schema") from error


class ArgumentCheck:
    """One tool's schema, ready to refuse arguments that do not fit it."""

    def __init__(self, tool: str, schema: Schema) -> None:
        self._tool = tool
        self._schema = schema

    def __call__(self, args: Mapping[str, object]) -> None:
        """Raises `InvalidToolArguments` that names each field at fault, its problem, and the schema."""
        given = cast("object", args)  # a model wrote it
        if not isinstance(given, Mapping):
            raise self._refusal([f"args: must be an object, not {type(given).__name__}"])
        errors = list(self._validator.iter_errors(dict(args)))
        if errors:
            raise self._refusal([_problem(error, self._schema) for error in errors[:_MOST_PROBLEMS]], len(errors))

    @cached_property
    def _validator(self) -> "Draft202012Validator":
        return compiled(self._schema, f"tool {self._tool!r}: its schema")

    def _refusal(self, problems: Sequence[str], found: int = 0) -> InvalidToolArguments:
        hidden = found - len(problems)
        listed = "; ".join(problems) + (f"; and {hidden} more" if hidden > 0 else "")
        shown = _short(_json.dumps(self._schema).decode(), _LONGEST_SCHEMA)
        first = problems[0].partition(":")[0]
        return InvalidToolArguments(f"tool {self._tool!r}: {listed}. The arguments' schema: {shown}", param=first)


def _nothing(uri: str) -> Any:
    """What a reference out of the schema finds."""
    raise LookupError(f"{uri} is outside the schema; references are resolved within it only")


def _problem(error: "ValidationError", schema: Schema) -> str:
    from jsonschema_rs import ValidationErrorKind

    path = "args"
    for step in error.instance_path:
        path += f"[{step}]" if isinstance(step, int) else f".{step}"
    kind = error.kind
    if isinstance(kind, ValidationErrorKind.AdditionalProperties):
        valid = _named_beside(error.schema_path, schema)
        return "; ".join(
            f"{path}.{name}: unknown argument. {suggest(name, valid)}".rstrip(". ") for name in kind.unexpected
        )
    if isinstance(kind, ValidationErrorKind.Required):
        return f"{path}.{kind.property}: is required and missing"
    return f"{path}: {_short(error.message)} (given: {_short(_json.dumps(error.instance).decode(), _LONGEST_VALUE)})"


def _named_beside(path: Sequence[str | int], schema: Schema) -> Sequence[str]:
    """The names that stand beside an `additionalProperties`, as far as the path does not lead through a reference."""
    node = cast("object", schema)
    for step in path[:-1]:
        if isinstance(node, Mapping):
            node = cast("Schema", node).get(str(step))
        elif isinstance(node, list) and isinstance(step, int):
            node = cast("list[object]", node)[step]
    names = cast("Schema", node).get("properties") if isinstance(node, Mapping) else None
    return tuple(cast("Schema", names)) if isinstance(names, Mapping) else ()


def _short(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
