"""`<think>` tags at the head of the content, for servers that do not separate thinking (off unless the target says so).

Setting `think_tags`: `"tags"` (or true) parses a leading `<think>…</think>`; `"open"` is for chat templates that write the
opening tag into the prompt, so that the answer begins inside it. Only the head is looked at: a later tag is text.
"""

from execution_platform.spi.parts import Part, TextPart, ThinkingPart

OPEN, CLOSE = "<think>", "</think>"


class ThinkSplitter:
    """Text in any pieces → thinking and text; a tag split between pieces is put together first."""

    __slots__ = ("_held", "_state")

    def __init__(self, setting: object) -> None:
        self._state = "opened" if setting == "open" else "before"
        self._held = ""

    def feed(self, text: str) -> list[tuple[bool, str]]:
        """The pieces that are certain now, as (is thinking, text)."""
        out: list[tuple[bool, str]] = []
        text = self._held + text
        self._held = ""
        if self._state == "before":
            text = self._before(text)
        if self._state == "opened" and text:
            text = text.lstrip("\n")
            if text:
                self._state = "inside"
        if self._state == "inside" and text:
            text = self._inside(text, out)
        if self._state == "behind" and text:
            text = text.lstrip("\n")
            if text:
                self._state = "text"
        if self._state == "text" and text:
            out.append((False, text))
        return out

    def close(self) -> list[tuple[bool, str]]:
        """What was held back because a tag might have begun."""
        held, self._held = self._held, ""
        return [(self._state == "inside", held)] if held else []

    def _before(self, text: str) -> str:
        bare = text.lstrip()
        if bare.startswith(OPEN):
            self._state = "opened"
            return bare[len(OPEN) :]
        if OPEN.startswith(bare):
            self._held = text
            return ""
        self._state = "text"
        return text

    def _inside(self, text: str, out: list[tuple[bool, str]]) -> str:
        thinking, tag, rest = text.partition(CLOSE)
        if tag:
            if thinking:
                out.append((True, thinking))
            self._state = "behind"
            return rest
        keep = next((size for size in range(len(CLOSE) - 1, 0, -1) if text.endswith(CLOSE[:size])), 0)
        self._held = text[len(text) - keep :]
        if len(text) > keep:
            out.append((True, text[: len(text) - keep]))
        return ""


def split_think(text: str, setting: object) -> list[Part]:
    """A whole content as thinking and text parts."""
    if not text:
        return []
    if not setting:
        return [TextPart(text)]
    splitter = ThinkSplitter(setting)
    pieces = [*splitter.feed(text), *splitter.close()]
    thinking = "".join(piece for is_thinking, piece in pieces if is_thinking)
    said = "".join(piece for is_thinking, piece in pieces if not is_thinking)
    parts: list[Part] = [ThinkingPart(thinking)] if thinking else []
    return [*parts, TextPart(said)] if said else parts
