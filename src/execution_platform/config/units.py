"""Quantities as the file writes them."""

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema


def _decimal(value: object) -> object:
    """Money as written: 0.1 is a tenth, not the nearest binary fraction."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


Money = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})]
Seconds = Annotated[float, Field(gt=0)]
