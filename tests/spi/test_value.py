"""Values are data classes to all who look, made by other means."""

import copy
import pickle
from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass, replace

import pytest

from execution_platform.spi import Message, TextPart, ToolCallPart, Usage
from execution_platform.spi.value import overwrite, value


@value()
class Point:
    """A place."""

    x: int
    y: int = 0
    name: str | None = field(default=None, kw_only=True)
    notes: Mapping[str, object] = field(default_factory=dict[str, object], kw_only=True)
    seen: int = field(default=0, kw_only=True, compare=False)

    def __post_init__(self) -> None:
        if self.name is not None:
            overwrite(self, "name", self.name.upper())

    @property
    def sum(self) -> int:
        """Both together."""
        return self.x + self.y


@value(kw_only=True)
class Named:
    """Every field by its name."""

    a: int
    b: tuple[int, ...] = ()


def test_a_value_is_a_data_class() -> None:
    assert is_dataclass(Point)
    assert [each.name for each in fields(Point)] == ["x", "y", "name", "notes", "seen"]
    assert Point.__doc__ == "A place."
    assert (Point.__module__, Point.__qualname__) == (__name__, "Point")
    assert repr(Named(a=1)) == "Named(a=1, b=())"


def test_arguments_are_those_of_a_data_class() -> None:
    assert Point(1, 2).sum == 3
    assert Point(1, name="a").name == "A"
    for call in (Point, lambda: Point(1, 2, "a"), lambda: Point(1, z=1), lambda: Named(1)):  # type: ignore[call-arg,misc]
        with pytest.raises(TypeError):
            call()


def test_a_default_is_made_anew_for_each() -> None:
    assert Point(1).notes == {}
    assert Point(1).notes is not Point(1).notes


def test_nothing_changes_a_value() -> None:
    point = Point(1)
    with pytest.raises(AttributeError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        point.other = 2  # type: ignore[attr-defined]
    changed = replace(point, x=3, name="b")
    assert (point.x, changed.x, changed.name) == (1, 3, "B")


def test_values_are_equal_by_class_and_fields() -> None:
    assert Point(1, 2) == Point(1, 2) != Point(1, 3)
    assert Point(1, seen=1) == Point(1, seen=2)
    assert Named(a=1) != Point(1)
    assert hash(Named(a=1)) == hash(Named(a=1))
    assert Usage(1, 2, raw={"a": 1}) == Usage(1, 2)
    with pytest.raises(TypeError):
        hash(Point(1))  # a dict in it, as with any data class


def test_patterns_read_a_value() -> None:
    match ToolCallPart("c1", "f"):
        case ToolCallPart(call_id, name, arguments=text):
            assert (call_id, name, text) == ("c1", "f", "{}")


def test_values_are_copied_and_pickled() -> None:
    message = Message("user", [TextPart("x", extra={"a": 1})])
    assert copy.deepcopy(message) == message == pickle.loads(pickle.dumps(message))


def test_what_a_value_cannot_do_is_refused() -> None:
    with pytest.raises(TypeError, match="use a data class"):

        @value()
        class Hidden:
            secret: str = field(default="", repr=False)
