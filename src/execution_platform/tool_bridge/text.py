"""Text as it is shown to a model: decoded, in lines, and never more than fits."""

from collections.abc import Mapping
from typing import Final

from execution_platform.exceptions import InvalidToolArguments

LONGEST: Final = 64 * 1024
"""Bytes of a tool's result that a model gets."""
_SHOWN: Final = 60 * 1024
"""Bytes of text within a result that has other members too."""
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
        size = len(line.encode())
        if size > left:
            break
        shown.append(line)
        left -= size
    answer: dict[str, object] = {"content": "".join(shown), "lines": len(lines)}
    if wanted and not shown:
        answer["content"] = wanted[0].encode()[:_SHOWN].decode("utf-8", "ignore")
        answer["note"] = f"Line {offset} is too long and was cut after {_SHOWN} bytes."
        shown = wanted[:1]
    following = offset + len(shown)
    cut = following <= len(lines)
    answer["truncated"] = cut or "note" in answer
    if cut:
        answer["next_offset"] = following
        answer.setdefault("note", f"Lines {offset} to {following - 1} of {len(lines)}; go on with offset {following}.")
    return answer
