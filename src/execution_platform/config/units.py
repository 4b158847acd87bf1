"""Quantities as the file writes them."""

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

_BINARY_UNITS = {"kib": 1024, "mib": 1024**2, "gib": 1024**3, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "b": 1}


def _size(value: object) -> object:
    """`20 MiB` as bytes; numbers are bytes already."""
    if not isinstance(value, str):
        return value
    number, _, unit = value.strip().partition(" ")
    factor = _BINARY_UNITS.get(unit.strip().lower())
    if factor is None or not number.isdigit():
        raise ValueError("must be a number of bytes or a size such as 20 MiB")
    return int(number) * factor


def _decimal(value: object) -> object:
    """Money as written: 0.1 is a tenth, not the nearest binary fraction."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


MOST_MONEY = 1_000_000_000
"""US dollars; more than this does not fit the books' whole numbers of nano-dollars."""
Money = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    Field(ge=0, le=MOST_MONEY),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MOST_MONEY}),
]
Seconds = Annotated[float, Field(gt=0)]
Size = Annotated[
    int, BeforeValidator(_size), Field(ge=1), WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})
]
"""Bytes, or a text such as `20 MiB`."""
