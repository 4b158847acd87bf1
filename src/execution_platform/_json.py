r"""The only JSON import of the house.

Theory of operation
-------------------
``loads``/``dumps`` are msgspec's untyped codec. A request body is looked at in three further ways:

* ``read`` refuses what two parsers could read differently or what a parser could choke on, and gives a ``Document``: the same
  bytes with the value they were decoded to, so that nobody decodes a large body a second time;
* ``members`` splits an object into its top-level members without decoding their values;
* ``patch`` replaces, adds or removes top-level members and leaves every other byte of the text as it is.

Parsers keep the last of two equal keys without a word, so a policy and a provider could disagree about a body (RFC 8259
section 4 leaves the outcome open). A duplicate is found by what it loses. ``again``, the decoded value encoded once more,
never contains one, so a body equal to ``again`` has none. Others are compared by their colons: each member has one outside
strings, and decoding and encoding keeps every colon of the strings that survive. A dropped member therefore lowers the count,
and nothing raises it but the escape ``\u003a``. Where that is present, or the counts differ, a body whose whitespace-free form
equals ``again`` still has no duplicate; what is left goes to the exact walk over all pairs.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

__all__ = [
    "MAX_DEPTH",
    "UNSET",
    "Document",
    "JsonError",
    "JsonReason",
    "Raw",
    "UnsetType",
    "convert",
    "dumps",
    "items",
    "loads",
    "members",
    "patch",
    "pretty",
    "read",
    "schemas",
]

MAX_DEPTH: Final = 64
"""Nesting of arrays and objects a request may have."""

JsonReason = Literal[
    "not_utf8", "not_json", "not_an_object", "too_deep", "duplicate_key", "number", "surrogate", "trailing"
]

_SHORT: Final = 8192
_decode = msgspec.json.Decoder().decode
_split = msgspec.json.Decoder(dict[str, Raw]).decode
_elements = msgspec.json.Decoder(list[Raw]).decode
_encode = msgspec.json.Encoder().encode
_compact = msgspec.json.format
_KEY: Final = rb'[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:[ \t\n\r]*'
_FIRST_KEY: Final = re.compile(rb"[ \t\n\r]*\{" + _KEY)
_NEXT_KEY: Final = re.compile(rb"[ \t\n\r]*," + _KEY)
_CLOSING: Final = re.compile(rb"[ \t\n\r]*\}")
_EMPTY: Final = re.compile(rb"[ \t\n\r]*\{[ \t\n\r]*\}")
_COLON: Final = re.compile(rb"[ \t\n\r]*:[ \t\n\r]*")
_SPACE: Final = b" \t\n\r"
_AFTER_VALUE: Final = b",}" + _SPACE
_ESCAPED_COLON: Final = re.compile(rb"\\u003[aA]")
_BYTE: Final = re.compile(r"\(byte (\d+)\)")


class JsonError(ValueError):
    """A text that is not the JSON a request may be.

    ``message`` is the whole sentence, ``path`` where in the document (``$`` the whole of it), ``reason`` the machine's word.
    """

    def __init__(self, message: str, *, reason: JsonReason, path: str = "$") -> None:
        super().__init__(message)
        self.message = message
        self.reason: JsonReason = reason
        self.path = path


class Document(bytes):
    """A body that ``read`` has accepted. Nobody changes ``value``: it is shared by all who look at the body."""

    value: object
    is_compact: bool
    """Whether the text is, byte for byte, what ``dumps`` makes of the value."""


def loads(data: bytes | str) -> object:
    """Decode a JSON text; of equal keys the last wins. The value of a ``Document`` is there already.

    Raises:
        JsonError: The text is not JSON.
    """
    if type(data) is Document:
        return data.value
    try:
        return _decode(data)
    except (ValueError, RecursionError) as error:
        raise _explain(error, data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data) from error


def dumps(obj: object) -> bytes:
    """Encode a value as compact JSON in the order of its keys; ``Raw`` members are copied as they are, NaN becomes null.

    Raises:
        TypeError: The value contains something JSON has no form for.
        ValueError: A string holds a lone surrogate.
    """
    return _encode(obj)


def pretty(obj: object) -> str:
    """A value as indented JSON for people."""
    return msgspec.json.format(_encode(obj), indent=2).decode()


def schemas(types: Sequence[object]) -> tuple[tuple[dict[str, object], ...], dict[str, object]]:
    """JSON Schemas of Python types, and the definitions they refer to as ``#/$defs/…``.

    Raises:
        TypeError: A type has no JSON form.
    """
    return msgspec.json.schema_components(types, ref_template="#/$defs/{name}")


def convert(value: object, type_: object) -> object:
    """A decoded JSON value as an instance of a Python type.

    Raises:
        ValueError: The value does not fit; the message says where.
    """
    return msgspec.convert(value, cast("type[object]", type_))


def members(body: bytes) -> dict[str, Raw]:
    """Split an object into its top-level members, in order; the values stay undecoded and unchecked.

    Raises:
        JsonError: The text is not JSON or not an object.
    """
    try:
        return _split(body)
    except msgspec.ValidationError as error:
        raise JsonError("the body is JSON but not an object; send one object", reason="not_an_object") from error
    except (ValueError, RecursionError) as error:
        raise _explain(error, body) from error


def items(array: Raw | bytes, *, most: int) -> list[bytes]:
    """The first `most` elements of an array, undecoded; none when it is something else."""
    try:
        return [bytes(item) for item in _elements(array)[:most]]
    except msgspec.DecodeError:
        return []


def patch(body: bytes, changes: Mapping[str, object], *, split: Mapping[str, Raw] | None = None) -> bytes:
    """Replace or append top-level members in place; every other byte, whitespace and order included, stays.

    A value may be ``Raw`` (copied as it is) or ``UNSET`` (the member is removed). ``split`` is the result of ``members`` for
    this very body, where the caller has it already.

    Raises:
        JsonError: The text is not JSON, not an object, or has a key twice at the top level.
    """
    quick = _patch_known(body, changes) if type(body) is Document else None
    if quick is not None:
        return quick
    parts = members(body) if split is None else split
    spans = _spans(body, parts)
    out: list[bytes] = []
    copied = kept = 0
    for index, key in enumerate(parts):
        if key not in changes:
            kept += 1
            continue
        start, value, end = spans[index]
        change = changes[key]
        if change is not UNSET:
            out += (body[copied:value], _encode(change))
            copied = end
            kept += 1
        elif kept:  # a member leaves with the comma before it
            out.append(body[copied : spans[index - 1][2]])
            copied = end
        else:  # and a first one with the comma behind it
            out.append(body[copied:start])
            copied = spans[index + 1][0] if index + 1 < len(spans) else end
    close = spans[-1][2] if spans else body.index(b"{") + 1
    out.append(body[copied:close])
    for key, change in changes.items():
        if key not in parts and change is not UNSET:
            out += (b"," if kept else b"", _encode(key), b":", _encode(change))
            kept += 1
    out.append(body[max(copied, close) :])
    return b"".join(out)


def _patch_known(body: Document, changes: Mapping[str, object]) -> bytes | None:
    """The same for a body whose value is known, without splitting its text.

    None where that does not help: a member is removed, or where it stands cannot be told.
    """
    value = body.value
    if not isinstance(value, dict) or not value:
        return None
    known = cast("dict[str, object]", value)
    places: list[tuple[int, int, object]] = []
    added: list[bytes] = []
    for key, change in changes.items():
        if change is UNSET:
            return None
        if key not in known:
            added += (b",", _encode(key), b":", _encode(change))
            continue
        text = _encode(known[key])
        start = _place(known, key, text, len(body)) if body.is_compact else _searched(body, key, text)
        if start is None:
            return None
        places.append((start, start + len(text), change))
    out: list[bytes] = []
    copied = 0
    for start, end, change in sorted(places, key=_start):
        out += (body[copied:start], _encode(change))
        copied = end
    close = body.rindex(b"}")
    while body[close - 1] in _SPACE:
        close -= 1
    return b"".join((*out, body[copied:close], *added, body[close:]))


def _start(place: tuple[int, int, object]) -> int:
    return place[0]


def _place(known: dict[str, object], key: str, text: bytes, size: int) -> int | None:
    """Where ``text``, the value of ``key``, stands in the compact text of ``known``, which is ``size`` bytes long.

    It follows from the lengths of the others. None where lists or objects are on both sides, which would have to be encoded.
    """
    names = list(known)
    index = names.index(key)
    before = {name: known[name] for name in names[:index]}
    if not any(isinstance(each, list | dict) for each in before.values()):
        # `{"a":1,` is as long as `{"a":1}`, and `{` stands before the first member.
        return (len(_encode(before)) if before else 1) + len(_encode(key)) + 1
    after = {name: known[name] for name in names[index + 1 :]}
    if any(isinstance(each, list | dict) for each in after.values()):
        return None
    return size - (len(_encode(after)) if after else 1) - len(text)


def _searched(body: bytes, key: str, text: bytes) -> int | None:
    """Where ``text``, the value of ``key``, stands in a short body, however that is spaced; None where a search cannot tell.

    A name that can only be spelled in one way and occurs once is the member. In a long text counting costs more than splitting.
    """
    name = _encode(key)
    if len(body) >= _SHORT or not key.isidentifier() or b"\\u" in body or body.count(name) != 1:
        return None
    colon = _COLON.match(body, body.index(name) + len(name))
    if colon is None:
        return None
    start = colon.end()
    is_there = body.startswith(text, start) and body[start + len(text)] in _AFTER_VALUE
    return start if is_there else None


_Span = tuple[int, int, int]
"""Where one member stands: its key, its value, and the byte after it."""


def _spans(body: bytes, parts: Mapping[str, Raw]) -> list[_Span]:
    """Find the members again in the text.

    The split says how long each value is but not where it begins. Reading on from the opening brace finds it, unless a key is
    there twice and the split has the later value in the earlier place: then the text does not fit and is refused.
    """
    spans: list[_Span] = []
    lead = _FIRST_KEY.match
    at = 0
    for raw in parts.values():
        found = lead(body, at)
        text = bytes(raw)
        if found is None or not body.startswith(text, value := found.end()):
            raise _first_duplicate(body)
        at = value + len(text)
        spans.append((found.start(1), value, at))
        lead = _NEXT_KEY.match
    if not (_CLOSING if spans else _EMPTY).match(body, at):
        raise _first_duplicate(body)
    return spans


def read(body: bytes, *, max_depth: int = MAX_DEPTH) -> Document:
    """Accept a request body that is UTF-8, one JSON value, not too deep, free of duplicate keys and odd numbers.

    Raises:
        JsonError: Not UTF-8, not JSON, text after the value, deeper than ``max_depth``, a key twice in one object (at any
            depth), NaN, Infinity, a number out of range, or half of a surrogate pair.
    """
    try:
        value = _decode(body)
    except (ValueError, RecursionError) as error:
        raise _explain(error, body) from error
    if not _is_shallow(body, value, max_depth):
        _check_depth(value, max_depth)
    again = _encode(value)
    document = Document(body)
    document.value = value
    document.is_compact = body == again
    if not document.is_compact and not _same_members(body, again):
        _check_pairs(body)
    return document


def _same_members(body: bytes, again: bytes) -> bool:
    """Whether ``again`` provably has as many members as ``body`` (see the head of this module)."""
    if body.count(b":") == again.count(b":") and not (b"\\u003" in body and _ESCAPED_COLON.search(body)):
        return True
    return _compact(body, indent=-1) == again


def _is_shallow(body: bytes, value: object, limit: int) -> bool:
    """Whether the nesting is provably within the limit; false says nothing.

    A short text is judged by its brackets, those in strings included. In a longer one counting them costs more than going
    down the decoded value level by level in C; the collector need not track a container that has none inside, hence the
    one level more.
    """
    if len(body) < _SHORT and body.count(b"{") + body.count(b"[") <= limit:
        return True
    level: list[object] = [value]
    depth = 1
    while level and depth <= limit:
        level = list(filter(gc.is_tracked, gc.get_referents(*level)))
        depth += 1
    return depth <= limit


def _check_depth(value: object, limit: int) -> None:
    level: list[tuple[str, object]] = [("$", value)]
    for _ in range(limit):
        level = [child for path, node in level for child in _children(path, node) if isinstance(child[1], (dict, list))]
    if level:
        message = f"{level[0][0]} is nested deeper than {limit} levels; flatten the document"
        raise JsonError(message, reason="too_deep", path=level[0][0])


def _children(path: str, node: object) -> list[tuple[str, object]]:
    if isinstance(node, _Pairs):
        return [(f"{path}.{key}", value) for key, value in node.pairs]
    if isinstance(node, dict):
        return [(f"{path}.{key}", value) for key, value in cast("dict[str, object]", node).items()]
    if isinstance(node, list):
        return [(f"{path}[{index}]", value) for index, value in enumerate(cast("list[object]", node))]
    return []


class _Pairs:
    """One object of the document with every pair it has, equal keys included."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        self.pairs = pairs


def _check_pairs(body: bytes) -> None:
    """The exact search, for bodies already known to be JSON of bounded depth."""
    level: list[tuple[str, object]] = [
        ("$", json.loads(body, object_pairs_hook=_Pairs, parse_int=str, parse_float=str))
    ]
    while level:
        for path, node in level:
            if isinstance(node, _Pairs):
                _refuse_equal_keys(path, node.pairs)
        level = [
            child for path, node in level for child in _children(path, node) if isinstance(child[1], (_Pairs, list))
        ]


def _refuse_equal_keys(path: str, pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _duplicate(key, path)
        seen.add(key)


def _duplicate(key: str, path: str) -> JsonError:
    shown = key if len(key) <= 80 else key[:77] + "..."
    message = f"{path} has the key {shown!r} twice; which one counts would differ between readers, send it once"
    return JsonError(message, reason="duplicate_key", path=f"{path}.{shown}")


def _first_duplicate(body: bytes) -> JsonError:
    try:
        _check_pairs(body)
    except JsonError as error:
        return error
    return JsonError("the members of the body could not be told apart", reason="not_json")


def _explain(error: Exception, body: bytes) -> JsonError:
    """What msgspec, or the UTF-8 decoder below it, objected to, as one of our reasons."""
    text = str(error)
    found = _BYTE.search(text)
    at = int(found.group(1)) if found else -1
    if isinstance(error, RecursionError):
        return JsonError(f"the body is nested deeper than {MAX_DEPTH} levels; flatten the document", reason="too_deep")
    if isinstance(error, UnicodeDecodeError):
        return JsonError("the body is not UTF-8; encode it as UTF-8", reason="not_utf8")
    if isinstance(error, msgspec.ValidationError) or _spells_no_number(body, at):
        return JsonError("the body has a number JSON cannot carry; send finite numbers within range", reason="number")
    if "surrogate" in text or ("truncated" in text and _ends_in_a_surrogate(body)):
        return JsonError("the body has half of a surrogate pair; send whole characters", reason="surrogate")
    if "trailing characters" in text:
        return JsonError(f"the body goes on after its JSON value (byte {at}); send one value", reason="trailing")
    return JsonError(f"the body is not JSON: {text.removeprefix('JSON is malformed: ')}", reason="not_json")


def _spells_no_number(body: bytes, at: int) -> bool:
    """Whether the text at the refused byte is one of the words some writers use for a number JSON has not."""
    return at >= 0 and body[max(at - 1, 0) : at + 9].lstrip(b" -:[,").startswith((b"NaN", b"Infinity", b"Inf"))


def _ends_in_a_surrogate(body: bytes) -> bool:
    """Whether half a pair alone is at fault.

    Looking for the second half, msgspec reads past the closing quote and calls the text cut; another parser does not.
    """
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
