"""Values: frozen data classes whose instances are made by C code.

A frozen data class sets each of its fields by a call; a part with a dozen of them takes a microsecond, and an agent's request
has thousands. `@value()` reads a class body as `dataclasses.dataclass(frozen=True)` does and makes a `msgspec.Struct` of it:
a tenth of that time, and a third of the memory. It remains a data class for all who look (`fields`, `replace`, `is_dataclass`,
positional and keyword-only arguments, equality by type and fields, hashing, patterns).

What a class gives up for it: `InitVar`, `field(repr=False)`, `field(init=False)`, and being a base of
`isinstance` checks; bases lend their fields only.
"""

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from types import GenericAlias
from typing import Any, TypeVar, cast, dataclass_transform

import msgspec

__all__ = ["overwrite", "value"]

T = TypeVar("T")
_KEPT = frozenset({"__doc__", "__post_init__"})


def overwrite(made: object, name: str, to: object) -> None:
    """Set a field of a value that is still being made, in its `__post_init__`."""
    msgspec.structs.force_setattr(cast("msgspec.Struct", made), name, to)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def value(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """Make a class body a value; `kw_only` as in `dataclasses.dataclass`."""

    def make(body: type[T]) -> type[T]:
        # Only its reading of the body is wanted, so it shall write no methods.
        read = dataclasses.dataclass(frozen=True, kw_only=kw_only, init=False, repr=False, eq=False)(body)
        fields = dataclasses.fields(cast("Any", read))
        for field in fields:
            if not (field.init and field.repr):
                raise TypeError(f"{body.__qualname__}.{field.name}: a value cannot do this; use a data class")
        namespace = {name: each for name, each in vars(body).items() if _is_own(name, fields)}
        if not all(field.compare for field in fields):
            namespace.update(_comparison(tuple(field.name for field in fields if field.compare)))
        settings: dict[str, Any] = {"frozen": True, "module": body.__module__}
        positional = msgspec.defstruct(
            body.__name__, [_field(field) for field in fields if not field.kw_only], **settings
        )
        made = msgspec.defstruct(
            body.__name__,
            [_field(field) for field in fields if field.kw_only],
            bases=(positional,),
            namespace=namespace,
            kw_only=True,
            **settings,
        )
        made.__qualname__ = body.__qualname__
        cast("Any", made).__dataclass_fields__ = cast("Any", body).__dataclass_fields__
        return cast("type[T]", made)

    return make


def _comparison(names: tuple[str, ...]) -> dict[str, Any]:
    """Equality and hash by some of the fields only."""
    key = attrgetter(*names)

    def equal(self: object, other: object) -> object:
        return key(self) == key(other) if type(other) is type(self) else NotImplemented

    def hashed(self: object) -> int:
        return hash(key(self))

    return {"__eq__": equal, "__hash__": hashed}


def _is_own(name: str, fields: tuple["dataclasses.Field[Any]", ...]) -> bool:
    """Whether a member of the class body is a method or the like, and no field or what `dataclass` has made."""
    if name in _KEPT:
        return True
    return not name.startswith("__") and all(field.name != name for field in fields)


def _field(field: "dataclasses.Field[Any]") -> Any:
    if field.default is not dataclasses.MISSING:
        return (field.name, Any, field.default)
    if field.default_factory is not dataclasses.MISSING:
        made = field.default_factory
        factory = cast("Any", made.__origin__ if isinstance(made, GenericAlias) else made)
        return (field.name, Any, msgspec.field(default_factory=factory))
    return (field.name, Any)
