"""Which names and texts a server may give its tools (M8, M9).

A tool is always `server.tool`, and the server's name is the operator's, so no server can take another's place. Within that, two
names that a person reads as one are one too many: letters that look alike are folded together before names are compared.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final, cast

from execution_platform.tool_bridge.visible import visible

LONGEST_NAME: Final = 64
"""What providers take; `server.tool` as a whole."""
LONGEST_DESCRIPTION: Final = 8 * 1024
_TOOL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_ALIKE: Final = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "8": "b", "2": "z", "-": "_"})
_DEEPEST: Final = 64


def full_name(server: str, tool: str) -> str:
    """What a tool of a server is called here."""
    return f"{server}.{tool}"


def skeleton(name: str) -> str:
    """What a name looks like to somebody who reads quickly: names with the same skeleton are not told apart."""
    folded = unicodedata.normalize("NFKC", name).casefold().translate(_ALIKE)
    return folded.replace("rn", "m").replace("vv", "w").replace("_", "")


def refusal(server: str, definition: Mapping[str, object]) -> str | None:
    """Why a tool of a server cannot be offered, whatever others are called; None when it can."""
    name = definition.get("name")
    if not isinstance(name, str) or not _TOOL.match(name):
        return "its name is not made of plain letters, digits, _ and -"
    if len(full_name(server, name)) > LONGEST_NAME:
        return f"its name {full_name(server, name)} is longer than {LONGEST_NAME} characters"
    description = definition.get("description")
    if isinstance(description, str) and len(description) > LONGEST_DESCRIPTION:
        return f"its description is longer than {LONGEST_DESCRIPTION} characters"
    if any(visible(text, len(text)).hidden for text in texts(definition)):
        return "its definition has invisible characters, which can carry orders that nobody sees"
    schema = definition.get("inputSchema")
    if not isinstance(schema, Mapping) or cast("Mapping[str, object]", schema).get("type") != "object":
        return "its arguments are no JSON Schema with type: object"
    return None


def texts(value: object, depth: int = 0) -> Iterator[str]:
    """Every text within a JSON value, names of members included. What is too deep counts as one invisible text."""
    if depth > _DEEPEST:
        yield "\u200b"
    elif isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, object]", value).items():
            yield key
            yield from texts(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in cast("list[object]", value):
            yield from texts(inner, depth + 1)
