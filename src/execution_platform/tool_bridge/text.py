"""Text as it is shown to a model: decoded, in lines, and never more than fits."""

from collections.abc import Mapping
from typing import Final

from execution_platform import _json
from execution_platform.exceptions import InvalidToolArguments

LONGEST: Final = 64 * 1024
"""Bytes of a tool's result that a model gets."""
_SHOWN: Final = 60 * 1024
"""Bytes of text, as JSON, within a result that has other members too."""
_BOM: Final = "\ufeff"


def decoded(data: bytes, path: str) -> str:
    """A file's bytes as text. Raises `InvalidToolArguments` for what is none."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidToolArguments(
            f"{path!r}: is binary ({len(data)} bytes), or not in UTF-8; look at it with a command that understands it",
            param="args.path",
        )
    return text


def shown_lines(text: str, offset: int, limit: int | None) -> Mapping[str, object]:
    """The lines from `offset` on, at most `limit` and as many as fit, and where to go on. Raises `InvalidToolArguments`."""
    lines = text.removeprefix(_BOM).splitlines(keepends=True)
    if offset < 1 or (limit is not None and limit < 1):
        raise InvalidToolArguments("args.offset and args.limit: lines are counted from 1", param="args.offset")
    if offset > max(1, len(lines)):
        raise InvalidToolArguments(f"args.offset: {offset}, and the file has {len(lines)} lines", param="args.offset")
    wanted = lines[offset - 1 : None if limit is None else offset - 1 + limit]
    shown: list[str] = []
    left = _SHOWN
    for line in wanted:
        size = _size(line)
        if size > left:
            break
        shown.append(line)
        left -= size
    answer: dict[str, object] = {"content": "".join(shown), "lines": len(lines)}
    if wanted and not shown:
        answer["content"] = _fitting(wanted[0])
        answer["note"] = f"Line {offset} is too long and was cut."
        shown = wanted[:1]
    following = offset + len(shown)
    cut = following <= len(lines)
    answer["truncated"] = cut or "note" in answer
    if cut:
        answer["next_offset"] = following
        answer.setdefault("note", f"Lines {offset} to {following - 1} of {len(lines)}; go on with offset {following}.")
    return answer


def shown_part(text: str, offset: int) -> Mapping[str, object]:
    """The text from a character on, as much as fits, and where to go on. Raises `InvalidToolArguments`."""
    if not 0 <= offset <= len(text):
        raise InvalidToolArguments(
            f"args.offset: {offset}, and the text has {len(text)} characters", param="args.offset"
        )
    shown = _fitting(text[offset : offset + _SHOWN])
    following = offset + len(shown)
    if following >= len(text):
        return {"text": shown, "truncated": False}
    return {
        "text": shown,
        "truncated": True,
        "next_offset": following,
        "note": f"Characters {offset} to {following} of {len(text)}; go on with offset {following}.",
    }


def _size(text: str) -> int:
    return len(_json.dumps(text)) - 2


def _fitting(text: str) -> str:
    """The beginning of a text, as much as fits."""
    text = text.encode("utf-8", "replace").decode()
    while (size := _size(text)) > _SHOWN:
        text = text[: len(text) * _SHOWN // size]
    return text
