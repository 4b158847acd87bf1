"""What a tool gave back, as a value JSON can carry and a model can read: never too long, and it says so when it was cut."""

import base64
import dataclasses
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, cast
from uuid import UUID

from execution_platform import _json
from execution_platform.tool_bridge.text import LONGEST

_DEEPEST: Final = 32
_FEWEST: Final = 256
"""Characters that are left of a text however many there are."""


def normalised(value: object, *, longest: int = LONGEST) -> object:
    """`value` as JSON of at most about `longest` bytes; texts that do not fit are cut, with a mark that says how to see the rest."""
    plain = _plain(value, 0)
    size = len(_json.dumps(plain))
    if size <= longest:
        return plain
    if isinstance(plain, str):
        return cut(plain, longest)
    share = longest
    while share >= _FEWEST:
        shorter = _shortened(plain, share)
        if len(_json.dumps(shorter)) <= longest:
            return shorter
        share //= 2
    return cut(_json.dumps(plain).decode(), longest)


def cut(text: str, longest: int) -> str:
    """The beginning of a text, and a mark, together of at most `longest` bytes; the text itself where it fits."""
    data = text.encode("utf-8", "replace")
    if len(data) <= longest:
        return text
    mark = f"\n[truncated: {len(data)} bytes in all, cut to {longest}; ask for less: a range, a limit, or a narrower query]"
    return data[: max(0, longest - len(mark))].decode("utf-8", "ignore") + mark


def _shortened(value: object, longest: int) -> object:
    if isinstance(value, str):
        return cut(value, longest)
    if isinstance(value, dict):
        return {key: _shortened(item, longest) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_shortened(item, longest) for item in cast("list[object]", value)]
    return value


def _plain(value: object, depth: int) -> object:
    if depth > _DEEPEST:
        return "[nested too deeply to be shown]"
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {str(_plain(key, depth + 1)): _plain(item, depth + 1) for key, item in pairs}
    if isinstance(value, list | tuple | AbstractSet):
        return [_plain(item, depth + 1) for item in cast("list[object]", value)]
    return _scalar(value, depth)


def _scalar(value: object, depth: int) -> object:
    if isinstance(value, bytes | bytearray):
        return _bytes(bytes(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1)
    if isinstance(value, Decimal | UUID | PurePath):
        return str(value)
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name), depth + 1) for name in names}
    dump: Any = getattr(value, "model_dump", None)
    if callable(dump):
        return _plain(dump(), depth + 1)
    return str(value)


def _bytes(data: bytes) -> object:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
