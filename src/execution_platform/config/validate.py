"""From parsed data to checked `Raw*` values, with findings that name path, problem, nearest key and remedy."""

import re
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from execution_platform.config.problems import ConfigProblems, Problem, suggest
from execution_platform.config.schema import RawConfig
from execution_platform.config.yaml import Document

M = TypeVar("M", bound=BaseModel)
_KINDS: Mapping[str, str] = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a map of keys and values",
    "model_type": "a map of keys and values",
    "model_attributes_type": "a map of keys and values",
    "decimal_type": "an amount of money",
    "decimal_parsing": "an amount of money",
    "is_instance_of": "an amount of money",
}
_YAML_NAMES: Mapping[type, str] = {
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a map",
    NoneType: "nothing",
}
_SECRET_PLACES = re.compile(r"key|secret|token|password|headers|options|sha256|system", re.IGNORECASE)
_LOOKS_SECRET = re.compile(r"\S{20,}|^(?:sk|pk|ghp|xox|AIza|AKIA|Bearer)\b", re.IGNORECASE)


def validate_config(document: Document) -> RawConfig:
    """The checked file. Raises `ConfigProblems` with every finding; no value that could be a secret is shown."""
    return validate(document, RawConfig)


def validate(document: Document, model: type[M], *, what: str = "configuration") -> M:
    """The checked file of the form `model`, which people call `what`. Raises `ConfigProblems` as `validate_config` does."""
    data: object = {} if document.data is None else document.data
    if not isinstance(data, dict):
        text = f"is {_YAML_NAMES.get(type(data), 'something else')}, not a map of sections."
        raise ConfigProblems([Problem(document.name, text, "Begin with version: 1.")], what=what)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = _problems(error.errors(include_url=False), document, model)
    # Raised outside the handler: pydantic's error would bring the inputs along as context.
    raise ConfigProblems(problems, what=what)


def _problems(errors: Sequence[ErrorDetails], document: Document, model: type[BaseModel]) -> list[Problem]:
    found: dict[str, Problem] = {}
    for error in errors:
        path = error["loc"]
        dotted = ".".join(str(step) for step in path)
        message, remedy = _explain(error, path, model)
        problem = Problem(dotted, message, remedy, line=document.line(path), file=document.name)
        found.setdefault(dotted, problem)
    return list(found.values())


def _explain(error: ErrorDetails, path: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, str]:
    kind = error["type"]
    if kind == "extra_forbidden":
        return "unknown key.", suggest(str(path[-1]), keys_at(model, path[:-1]))
    if kind == "missing":
        return "is missing.", "Add it."
    if kind == "literal_error":
        return _wrong_word(error, path)
    if kind == "value_error":
        return f"{_sentence(error)}.", ""
    if kind in _KINDS:
        shown = _show(error.get("input"), path)
        return f"is {shown}, not {_KINDS[kind]}.", _kind_remedy(kind, error.get("input"))
    return f"{error['msg'].removeprefix('Input ').rstrip('.')}{_beside(error, path)}.", ""


def _wrong_word(error: ErrorDetails, path: tuple[int | str, ...]) -> tuple[str, str]:
    expected = str(error.get("ctx", {}).get("expected", ""))
    words = [word.strip(" '") for word in re.split(r",| or ", expected)]
    value = error.get("input")
    remedy = suggest(value, words) if isinstance(value, str) else ""
    return f"is {_show(value, path)}, not one of {', '.join(words)}.", remedy if remedy.startswith("Did") else ""


def _sentence(error: ErrorDetails) -> str:
    cause = error.get("ctx", {}).get("error")
    return str(cause) if cause is not None else error["msg"]


def _beside(error: ErrorDetails, path: tuple[int | str, ...]) -> str:
    value = error.get("input")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return f", and is {_show(value, path)}"
    return ""


def _kind_remedy(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, int | float):
        return "Put it in quotes."
    if kind == "list_type" and isinstance(value, str):
        return "Write it as [item]."
    return ""


def _show(value: object, path: tuple[int | str, ...]) -> str:
    """The value where that cannot be a secret, else its type."""
    name = _YAML_NAMES.get(type(value), "something else")
    if value is None or isinstance(value, list | dict):
        return name
    text = str(value)
    if any(isinstance(step, str) and _SECRET_PLACES.search(step) for step in path) or _LOOKS_SECRET.search(text):
        return name
    return f"{name} ({text.lower() if isinstance(value, bool) else text})"


def keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that are valid at `path` below `model`."""
    current: object = model
    for step in path:
        current = _below(_plain(current), step)
    current = _plain(current)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _below(current: object, step: int | str) -> object:
    if isinstance(current, type) and issubclass(current, BaseModel):
        field = current.model_fields.get(str(step))
        return None if field is None else field.annotation
    arguments = get_args(current)
    return arguments[-1] if get_origin(current) in {dict, list} and arguments else None


def _plain(annotation: object) -> object:
    """`annotation` without `Annotated` and without `| None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        members = [member for member in cast("tuple[object, ...]", get_args(annotation)) if member is not NoneType]
        return _plain(members[0])
    return annotation
