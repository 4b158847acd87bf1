"""Wire parts → canonical parts, for requests and answers alike.

A wire part holds one of several data members (`text`, `functionCall`, `inlineData` …) and, beside it,
members that say something about it (`thought`, `thoughtSignature`, `videoMetadata` …). Members nobody
here understands stay in the part's `extra`; a part without any known data stays whole as `OpaquePart`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, cast

from execution_platform import _json
from execution_platform.dialects.envelope import Opened
from execution_platform.dialects.gemini.calls import Calls, kept_id
from execution_platform.dialects.gemini.media import decode_file, decode_inline
from execution_platform.dialects.gemini.wire import NAME, arguments_text, camel, is_native, items_of, read_signature
from execution_platform.dialects.take import Object, Taker, as_list, as_object
from execution_platform.spi.parts import (
    MediaPart,
    OpaquePart,
    Part,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

CODE: Final = "code_execution"
"""Name under which the provider's code runner appears."""


def decode_parts(value: object, path: str, calls: Calls) -> tuple[Part, ...]:
    """A list of parts (one alone may stand without the list)."""
    items = [cast("object", value)] if isinstance(value, dict) else as_list(value, path)
    return join_thoughts([decode_part(item, f"{path}[{index}]", calls) for index, item in enumerate(items)])


def join_thoughts(parts: list[Part]) -> tuple[Part, ...]:
    """Thoughts of another provider whole again.

    A streamed thought reaches a client in pieces with its sealed signature on the last one; the provider
    that signed it signed the whole.
    """
    out: list[Part] = []
    for part in parts:
        joined = part
        if isinstance(part, ThinkingPart) and part.signature is not None and not is_native(part.signature):
            while out and isinstance(before := out[-1], ThinkingPart) and before.signature is None:
                out.pop()
                joined = _joined(before, cast("ThinkingPart", joined))
        out.append(joined)
    return tuple(out)


def _joined(before: ThinkingPart, part: ThinkingPart) -> ThinkingPart:
    if part.summary or (part.signature is not None and part.signature.kind == "encrypted"):
        return replace(part, summary=(before.text + "".join(part.summary),))
    return replace(part, text=before.text + part.text)


def decode_part(value: object, path: str, calls: Calls) -> Part:
    """One part. Raises `InvalidRequest` where a known member has the wrong type."""
    wire = camel(as_object(value, path))
    take = Taker(wire, path)
    token, thought = take.str("thoughtSignature"), take.bool("thought")
    opened = read_signature(token) if token else None
    if thought is False or token == "":
        take.rest |= {name: wire[name] for name in ("thought", "thoughtSignature") if wire.get(name) in (False, "")}
    signature = opened.signature if opened is not None else None
    if take.rest.get("text") is not None:
        text = take.str("text") or ""
        return thinking(text, opened, take.rest) if thought else TextPart(text, signature=signature, extra=take.rest)
    if not thought:
        for name, decode in _DATA.items():
            if take.rest.get(name) is not None:
                return decode(_Found(take, name, calls, signature))
    if opened is not None and not any(data is not None for data in take.rest.values()):
        shown = {"thought": True} if thought else {}
        return replace(thinking("", opened, {**take.rest, **shown}), redacted=True)
    return OpaquePart(NAME, wire)


def thinking(text: str, opened: Opened | None, extra: Object) -> ThinkingPart:
    """A thought, in the form its issuer gave it where the signature is a sealed one."""
    if opened is None:
        return ThinkingPart(text, extra=extra)
    signature, item_id = opened
    if is_native(signature):
        return ThinkingPart(text, signature=signature, extra=extra)
    if signature.kind == "encrypted":
        return ThinkingPart(summary=(text,) if text else (), signature=signature, id=item_id, extra=extra)
    return ThinkingPart(text, signature=signature, id=item_id, redacted=signature.kind == "redacted", extra=extra)


class _Found:
    """A data member that is being read, and what stands around it."""

    __slots__ = ("calls", "name", "path", "signature", "take")

    def __init__(self, take: Taker, name: str, calls: Calls, signature: Signature | None) -> None:
        self.take, self.name, self.calls, self.signature = take, name, calls, signature
        self.path = take.at(name)

    def inner(self) -> Taker:
        """The data member as a Taker of its own."""
        return Taker(camel(as_object(self.take.any(self.name), self.path)), self.path)

    def rest(self, inner: Taker, given_id: str | None) -> Object:
        """All that nobody read, the data member's leftovers under its name; an empty id is one of them."""
        if given_id == "":
            inner.rest["id"] = ""
        self.take.keep(self.name, inner)
        return self.take.rest


def _inline(found: _Found) -> MediaPart:
    value = found.take.any(found.name)
    return _signed(decode_inline(value, found.path, found.take.rest), found.signature)


def _file(found: _Found) -> MediaPart:
    value = found.take.any(found.name)
    return _signed(decode_file(value, found.path, found.take.rest), found.signature)


def _signed(part: MediaPart, signature: Signature | None) -> MediaPart:
    return part if signature is None else replace(part, signature=signature)


def _call(found: _Found) -> ToolCallPart:
    inner = found.inner()
    wire_id, name, args = inner.str("id"), inner.need("name"), inner.object("args")
    call = found.calls.call(wire_id, name)
    return ToolCallPart(
        call.id,
        name,
        arguments_text(args),
        synthetic_id=call.synthetic,
        id=kept_id(wire_id, call.id),
        signature=found.signature,
        extra=found.rest(inner, wire_id),
    )


def _result(found: _Found) -> ToolResultPart:
    inner = found.inner()
    wire_id, name, response = inner.str("id"), inner.str("name"), inner.object("response")
    given = inner.list("parts")
    media = tuple(
        decode_part(item, f"{inner.at('parts')}[{index}]", found.calls) for index, item in enumerate(given or ())
    )
    if given == []:
        inner.rest["parts"] = []
    return ToolResultPart(
        found.calls.result(wire_id, name),
        (*_output(response), *media),
        name=name,
        is_error=True if response is not None and set(response) == {"error"} else None,
        raw=response,
        id=wire_id or "",
        signature=found.signature,
        extra=found.rest(inner, wire_id),
    )


def _output(response: Mapping[str, object] | None) -> tuple[Part, ...]:
    """What a `response` object says, as text: the usual wrapping (`output`, `result`, `error`) is taken off."""
    if not response:
        return ()
    value: object = response
    if len(response) == 1:
        name, inner = next(iter(response.items()))
        value = inner if name in ("output", "result", "error") else response
    if isinstance(value, str):
        return (TextPart(value),) if value else ()
    texts = [text for text in items_of(value) if isinstance(text, str)]
    if texts and len(texts) == len(items_of(value)):
        return tuple(TextPart(text) for text in texts)
    return (TextPart(_json.dumps(cast("object", value)).decode()),)


def _server_call(found: _Found) -> ToolCallPart:
    inner = found.inner()
    wire_id = inner.str("id")
    if found.name == "executableCode":
        name, arguments = CODE, _json.dumps(inner.rest).decode()
        inner.rest = {}
    else:
        name, arguments = inner.str("toolType") or "", arguments_text(inner.object("args"))
    call = found.calls.call(wire_id, f"server {name}")
    return ToolCallPart(
        call.id,
        name,
        arguments,
        kind="server",
        synthetic_id=call.synthetic,
        id=kept_id(wire_id, call.id),
        signature=found.signature,
        extra=found.rest(inner, wire_id),
    )


def _server_result(found: _Found) -> ToolResultPart:
    value = as_object(found.take.any(found.name), found.path)
    inner = Taker(camel(value), found.path)
    wire_id = inner.str("id")
    if found.name == "codeExecutionResult":
        name, outcome, output = CODE, inner.str("outcome"), inner.str("output")
        parts = (TextPart(output),) if output else ()
        is_error = None if outcome is None else outcome != "OUTCOME_OK"
    else:
        name, is_error = inner.str("toolType") or "", None
        parts = _output(inner.object("response"))
    return ToolResultPart(
        found.calls.result(wire_id, f"server {name}"),
        parts,
        name=name,
        is_error=is_error,
        kind="server",
        raw=value,
        id=wire_id or "",
        signature=found.signature,
        extra=found.take.rest,
    )


_DATA: Final[Mapping[str, Callable[[_Found], Part]]] = {
    "functionCall": _call,
    "functionResponse": _result,
    "inlineData": _inline,
    "fileData": _file,
    "executableCode": _server_call,
    "codeExecutionResult": _server_result,
    "toolCall": _server_call,
    "toolResponse": _server_result,
}
