"""Texts of which another provider signed one piece, in one block.

Gemini signs a piece of a stream's text, and that piece must come back as a part of its own. A caller of this API takes
every block for a text of its own (the last one for the result), so the pieces share a block and the `redacted_thinking`
block behind it says which end of the text the token belongs to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from execution_platform.dialects.anthropic.wire import PREVIOUS
from execution_platform.spi.parts import Part, Signature, TextPart

DROPPED = "a token behind the last text: callers take the last block for the answer"


def joins(signed: Sequence[bool], *, is_signed: bool) -> bool:
    """Whether a further text shares the block of texts of which `signed` says which are signed.

    Only the two ends of a block can be marked.
    """
    if not signed:
        return False
    return len(signed) == 1 if signed[-1] else is_signed


def runs(parts: Sequence[Part]) -> Iterator[Sequence[Part]]:
    """`parts`, those together that share a block."""
    run: list[Part] = []
    for before, part in pairwise((None, *parts)):
        together = _is_text(before) and _is_text(part)
        is_signed = part is not None and part.signature is not None
        if not (together and joins([each.signature is not None for each in run], is_signed=is_signed)):
            if run:
                yield run
            run = []
        if part is not None:
            run.append(part)
    if run:
        yield run


def _is_text(part: Part | None) -> bool:
    return isinstance(part, TextPart) and bool(part.text)


def mark(length: int, *, is_first: bool, is_last: bool) -> str:
    """The item id of the token of a piece of `length` characters at one end of a block's text."""
    if is_first and is_last:
        return PREVIOUS
    return f"{PREVIOUS}:{length if is_first else -length}"


def is_mark(item_id: str | None) -> bool:
    """Whether an item id says that the token belongs to the block before it."""
    return item_id is not None and (item_id == PREVIOUS or item_id.startswith(f"{PREVIOUS}:"))


def signed(part: Part, item_id: str, signature: Signature | None) -> list[Part]:
    """`part` with its token; a text of which only an end is signed comes in two."""
    length = item_id.removeprefix(PREVIOUS).removeprefix(":")
    if not isinstance(part, TextPart) or not length.removeprefix("-").isdecimal():
        return [replace(part, signature=signature)]
    at = int(length)
    first, second = replace(part, text=part.text[:at]), replace(part, text=part.text[at:], citations=())
    if at > 0:
        first = replace(first, signature=signature)
    else:
        second = replace(second, signature=signature)
    return [each for each in (first, second) if each.text]
