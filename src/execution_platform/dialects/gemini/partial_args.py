"""Calls whose arguments are streamed: pieces at JSON paths become one object.

Source: `google.genai.types.PartialArg` and `FunctionCall.will_continue` 3.4 (2026-11); Vertex sends them when
`streamFunctionCallArguments` is set. A call begins with its name and `willContinue`, goes on in parts
without a name, and ends with the first part that does not continue.
"""

import itertools
import re
from collections.abc import Mapping
from typing import Final, cast

from execution_platform.dialects.gemini.wire import bad_answer, member, objects
from execution_platform.dialects.take import Object

_STEP: Final = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,6})\]|\['([^']*)'\]|\["([^"]*)"\]""")
MAX_STEPS: Final = 64
MAX_GAP: Final = 1000
"""Elements of a list that may be skipped."""


def is_partial(call: Mapping[str, object]) -> bool:
    """Whether a `functionCall` is one piece of several."""
    return call.get("willContinue") is True or bool(call.get("partialArgs"))


class PartialCall:
    """One call that is being written."""

    __slots__ = ("_args", "_part", "is_done")

    def __init__(self, part: Object) -> None:
        self._part = part
        self._args: Object = dict(member(member(part, "functionCall"), "args"))
        self.is_done = False
        self.add(part)

    def add(self, part: Object) -> None:
        """The next piece. Raises `ProtocolError` for a path that leads nowhere."""
        call = member(part, "functionCall")
        for piece in objects(call.get("partialArgs")):
            self._set(piece)
        if "thoughtSignature" in part:
            self._part = {**self._part, "thoughtSignature": part["thoughtSignature"]}
        self.is_done = call.get("willContinue") is not True

    def whole(self) -> Object:
        """The part as if it had come in one piece."""
        call = member(self._part, "functionCall")
        named = {name: value for name, value in call.items() if name not in ("partialArgs", "willContinue", "args")}
        return {**self._part, "functionCall": {**named, "args": self._args}}

    def _set(self, piece: Object) -> None:
        path = piece.get("jsonPath")
        steps = _steps(path) if isinstance(path, str) else []
        if not steps or isinstance(steps[0], int):
            raise bad_answer(f"a partial argument has the path {path!r}")
        node: object = self._args
        for step, following in itertools.pairwise(steps):
            node = _inner(node, step, in_list=isinstance(following, int))
        _put(node, steps[-1], _value(piece, _get(node, steps[-1])))


def _steps(path: str) -> list[str | int]:
    """`$.foo.bar[0]['x y']` as its steps; none when it is not such a path."""
    steps: list[str | int] = []
    at = 1 if path.startswith("$") else 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) >= MAX_STEPS:
            return []
        name, number, single, double = found.groups()
        steps.append(int(number) if number is not None else name or single or double or "")
        at = found.end()
    return steps


def _inner(node: object, step: str | int, *, in_list: bool) -> object:
    """What stands at a step, made where nothing does."""
    have = _get(node, step)
    if isinstance(have, dict | list):
        return cast("object", have)
    made: object = list[object]() if in_list else dict[str, object]()
    _put(node, step, made)
    return made


def _get(node: object, step: str | int) -> object:
    if isinstance(node, dict) and isinstance(step, str):
        return cast("Object", node).get(step)
    if isinstance(node, list) and isinstance(step, int):
        items = cast("list[object]", node)
        return items[step] if step < len(items) else None
    raise bad_answer(f"a partial argument's path takes {step!r} of something else")


def _put(node: object, step: str | int, value: object) -> None:
    if isinstance(node, dict) and isinstance(step, str):
        cast("Object", node)[step] = value
        return
    items, place = cast("list[object]", node), cast("int", step)
    if place > len(items) + MAX_GAP:
        raise bad_answer(f"a partial argument skips to element {place}")
    items.extend([None] * (place + 1 - len(items)))
    items[place] = value


def _value(piece: Object, have: object) -> object:
    """The piece's value; text goes on where text already stands."""
    text = piece.get("stringValue")
    if isinstance(text, str):
        return have + text if isinstance(have, str) else text
    for name in ("numberValue", "boolValue"):
        if piece.get(name) is not None:
            return piece[name]
    return have if "nullValue" not in piece else None
