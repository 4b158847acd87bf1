"""Take the known, keep the rest: typed reading of wire objects with errors that name the path.

A `Taker` wraps a copy of a wire object. Each `take` removes a member and checks its type; what is
left at the end is `rest`, the leftovers that survive in `extra`. JSON null counts as absent, but a
null member stays in `rest` so that the same dialect can say it again.
"""

from collections.abc import Mapping
from typing import cast

from execution_platform import _json
from execution_platform.exceptions import InvalidRequest

Object = dict[str, object]

_WORDS: dict[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def kind_of(value: object) -> str:
    """How JSON would call `value`, for messages."""
    if value is None:
        return "null"
    return _WORDS.get(type(value), type(value).__name__)


def wrong(path: str, expected: str, value: object) -> InvalidRequest:
    """The error for a value of the wrong type or form at `path`."""
    return InvalidRequest(f"{path}: expected {expected}, got {kind_of(value)}", param=path)


def as_object(value: object, path: str) -> Object:
    """`value` as an object, or `InvalidRequest`."""
    if not isinstance(value, dict):
        raise wrong(path or "body", "an object", value)
    return cast("Object", value)


def body_object(body: bytes) -> Object:
    """A request body as an object, or `InvalidRequest`."""
    try:
        value = _json.loads(body)
    except _json.JsonError as error:
        raise InvalidRequest(error.message) from error
    return as_object(value, "")


def as_list(value: object, path: str) -> list[object]:
    """`value` as a list, or `InvalidRequest`."""
    if not isinstance(value, list):
        raise wrong(path, "a list", value)
    return cast("list[object]", value)


def as_str(value: object, path: str) -> str:
    """`value` as a string, or `InvalidRequest`."""
    if not isinstance(value, str):
        raise wrong(path, "a string", value)
    return value


class Taker:
    """Reads members of one wire object and remembers what nobody read."""

    __slots__ = ("path", "rest")

    def __init__(self, value: object, path: str = "") -> None:
        self.path = path
        self.rest: Object = dict(as_object(value, path))

    def at(self, name: str) -> str:
        """The path of member `name`."""
        return f"{self.path}.{name}" if self.path else name

    def any(self, name: str) -> object:
        """The member as it is, or None."""
        rest = self.rest
        if name not in rest:
            return None
        value = rest[name]
        if value is not None:
            del rest[name]
        return value

    def str(self, name: str) -> "str | None":
        """A string member."""
        rest = self.rest
        if name not in rest:
            return None
        value = rest[name]
        if isinstance(value, str):
            del rest[name]
            return value
        if value is not None:
            raise wrong(self.at(name), "a string", value)
        return None

    def need(self, name: "str") -> "str":
        """A string member that must be there."""
        value = self.str(name)
        if value is None:
            raise InvalidRequest(f"{self.at(name)}: required member is missing", param=self.at(name))
        return value

    def int(self, name: "str") -> "int | None":
        """An integer member (2.0 counts, true does not)."""
        value = self.any(name)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise wrong(self.at(name), "an integer", value)
        return value

    def float(self, name: "str") -> "float | None":
        """A number member; the JSON form (1 or 1.0) is kept."""
        value = self.any(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise wrong(self.at(name), "a number", value)
        return value

    def bool(self, name: "str") -> "bool | None":
        """A boolean member."""
        value = self.any(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.at(name), "true or false", value)
        return value

    def object(self, name: "str") -> "Object | None":
        """An object member."""
        if name not in self.rest:
            return None
        value = self.any(name)
        return None if value is None else as_object(value, self.at(name))

    def list(self, name: "str") -> "list[object] | None":
        """A list member."""
        if name not in self.rest:
            return None
        value = self.any(name)
        return None if value is None else as_list(value, self.at(name))

    def child(self, name: "str") -> "Taker | None":
        """An object member as a Taker of its own; the caller puts leftovers back with `keep`."""
        value = self.object(name)
        return None if value is None else Taker(value, self.at(name))

    def keep(self, name: "str", child: "Taker") -> None:
        """Put what `child` left unread back under `name`."""
        if child.rest:
            self.rest[name] = child.rest


def put(target: Object, **members: object) -> None:
    """Set the members that are not None."""
    for name, value in members.items():
        if value is not None:
            target[name] = value


def merged(known: Object, extra: Mapping[str, object]) -> Object:
    """`known` with leftovers of the same dialect put back; what is known wins, objects merge."""
    for name, value in extra.items():
        have = known.get(name)
        if name not in known:
            known[name] = value
        elif isinstance(have, dict) and isinstance(value, Mapping):
            known[name] = merged(dict(cast("Object", have)), cast("Mapping[str, object]", value))
    return known
