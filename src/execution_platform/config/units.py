"""Quantities as the file writes them."""

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema


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
