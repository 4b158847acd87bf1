"""What the wire modules take and give: the request as they see it, and an answer cut into events.

One token is one word, in requests and answers alike: easy to count by hand in a test, the same in every dialect.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple, cast

from msgspec import structs

from execution_platform import _json
from execution_platform.testing.script import Call, Echo, Part, Refusal, Script, ScriptError, Text, Thinking

Dialect = Literal["openai_chat", "anthropic", "gemini"]
Operation = Literal["chat", "embeddings", "count_tokens", "models", "model"]
Variant = Literal["", "azure", "responses", "sse", "json_array", "batch"]

_WORD = re.compile(r"\s*\S+|\s+$")
_START = re.compile(r"\S+")
_PROMPT_KEYS = (
    "messages",
    "system",
    "contents",
    "systemInstruction",
    "system_instruction",
    "tools",
    "input",
    "content",
)


@dataclass(slots=True)
class WireRequest:
    """A request after routing: what it asks for, and its parts as they came."""

    index: int
    dialect: Dialect
    operation: Operation
    model: str
    stream: bool
    variant: Variant
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: dict[str, object]


@dataclass(slots=True)
class Told:
    """The usage an upstream has told so far, in canonical sums; None is "not said"."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None

    def merge(self, later: "Told") -> None:
        """Take over what a later event says; what it does not say stays."""
        for name in self.__slots__:
            value = getattr(later, name)
            if value is not None:
                setattr(self, name, value)


class Frame(NamedTuple):
    """One event on the wire, and what it is worth."""

    data: bytes
    tokens: int = 0
    told: Told | None = None
    terminator: bool = False
    """Whether the dialect's stream is not complete without it."""


@dataclass(slots=True)
class Answer:
    """A complete answer: status, headers, and the body as events (one, when it is not a stream)."""

    status: int
    content_type: str
    frames: list[Frame]
    chunked: bool = False
    headers: dict[str, str] = field(default_factory=dict[str, str])
    socket: bytes | None = None
    """Replaces the whole HTTP response."""


@dataclass(slots=True)
class Count:
    """The usage of one answer with every number known."""

    input: int
    output: int
    cached: int
    cache_write: int
    reasoning: int
    is_told: bool

    def told(self) -> Told | None:
        """The whole usage as an event tells it."""
        if not self.is_told:
            return None
        return Told(self.input, self.output, self.cached, self.cache_write, self.reasoning)


def words(text: str) -> int:
    """Count the tokens of a text: its words."""
    return len(text.split())


def pieces(text: str, chunks: int) -> list[str]:
    """Cut a text into `chunks` pieces, or into words when 0; the pieces joined are the text."""
    if chunks <= 0:
        return _WORD.findall(text) or ([text] if text else [])
    size, rest = divmod(len(text), chunks)
    bounds = [0]
    for index in range(min(chunks, len(text) or 1)):
        bounds.append(bounds[-1] + size + (1 if index < rest else 0))
    return [text[start:end] for start, end in pairwise(bounds)]


def weighted(text: str, chunks: int) -> list[tuple[str, int]]:
    """The pieces of a text and their tokens; a word counts where it starts, so that the sum is the text's."""
    starts = [found.start() for found in _START.finditer(text)]
    found: list[tuple[str, int]] = []
    end = counted = 0
    for piece in pieces(text, chunks):
        end += len(piece)
        until = bisect_left(starts, end)
        found.append((piece, until - counted))
        counted = until
    return found


def arguments_text(call: Call) -> str:
    """The call's arguments as the model would have written them."""
    return call.arguments if isinstance(call.arguments, str) else _json.dumps(call.arguments).decode()


def arguments_object(call: Call) -> dict[str, object]:
    """The call's arguments where the dialect has an object.

    Raises:
        ScriptError: the scripted text is no JSON object.
    """
    if not isinstance(call.arguments, str):
        return call.arguments
    if not call.arguments:
        return {}
    value = _json.loads(call.arguments.encode())
    if not isinstance(value, dict):
        raise ScriptError(f"arguments of {call.name!r} are {call.arguments!r}; this dialect needs a JSON object")
    return cast("dict[str, object]", value)


def part_tokens(part: Part) -> int:
    """What a part costs."""
    match part:
        case Text() | Thinking() | Refusal():
            return words(part.text)
        case Call():
            return 1 + words(arguments_text(part))
        case _:
            return 1


def strings(value: object) -> Iterable[str]:
    """All strings inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            if key not in {"role", "type"}:
                yield from strings(item)


def prompt_tokens(body: Mapping[str, object]) -> int:
    """What a request's prompt costs."""
    return sum(words(text) for key in _PROMPT_KEYS if key in body for text in strings(body[key]))


def count_usage(script: Script, parts: Sequence[Part], body: Mapping[str, object]) -> Count:
    """Fill in what the script leaves open."""
    given = script.usage
    thought = sum(part_tokens(part) for part in parts if isinstance(part, Thinking))
    reasoning = thought if given.reasoning is None else given.reasoning
    output = given.output
    if output is None:
        output = sum(part_tokens(part) for part in parts) + max(0, reasoning - thought)
    return Count(
        input=prompt_tokens(body) if given.input is None else given.input,
        output=output,
        cached=given.cached,
        cache_write=given.cache_write,
        reasoning=reasoning,
        is_told=given.told,
    )


def scale(frames: list[Frame], total: int) -> list[Frame]:
    """Spread `total` output tokens over the events in proportion to their weights."""
    weight = sum(frame.tokens for frame in frames)
    if weight in (0, total):
        return frames
    scaled: list[Frame] = []
    seen = spent = 0
    for frame in frames:
        seen += frame.tokens
        share = total * seen // weight - spent
        spent += share
        scaled.append(frame._replace(tokens=share))
    return scaled


def sse(payload: object, event: str = "", *, newline: bytes = b"\n") -> bytes:
    """One server-sent event with a JSON payload."""
    data = b"data: " + _json.dumps(payload) + newline * 2
    return b"event: " + event.encode() + newline + data if event else data


def last_text(body: Mapping[str, object]) -> str:
    """The last text of the conversation, whatever the dialect."""
    turns: object = body.get("messages") or body.get("contents")
    if not isinstance(turns, list):
        return ""
    found = list(strings(cast("list[object]", turns)[-1]))
    return found[-1] if found else ""


def token_limit(body: Mapping[str, object]) -> int | None:
    """The request's limit on output tokens, whatever the dialect."""
    config = body.get("generationConfig")
    nested = cast("dict[str, object]", config).get("maxOutputTokens") if isinstance(config, dict) else None
    for value in (body.get("max_completion_tokens"), body.get("max_tokens"), nested):
        if isinstance(value, int):
            return value
    return None


def resolve_echo(script: Script, body: Mapping[str, object]) -> Script:
    """Turn an echo into the text it stands for."""
    reply = script.reply
    if not isinstance(reply, Echo):
        return script
    found = pieces(reply.prefix + last_text(body), 0)
    limit = token_limit(body)
    finish = script.finish
    if limit is not None and len(found) > limit:
        found = found[:limit]
        finish = finish or "length"
    return structs.replace(script, reply=Text("".join(found), reply.chunks), finish=finish)
