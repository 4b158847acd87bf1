"""Tool calls in assistant messages, both ways: `tool_calls` (function and custom) and the older `function_call`.

Arguments stay the text the model wrote. A signature on a call travels in `extra_content.google.thought_signature`, the convention of
Gemini's compatible endpoint (ai.google.dev/gemini-api/docs/openai, read 2026-11); envelopes use the same slot.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import cast

from execution_platform import _json
from execution_platform.dialects import envelope
from execution_platform.dialects.openai_chat.reasoning import read_token
from execution_platform.dialects.openai_chat.wire import LEGACY, NAME, THOUGHT, thought, thought_of
from execution_platform.dialects.take import Object, Taker, merged
from execution_platform.dialects.target import Target
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.parts import OpaquePart, Origin, Signature, ToolCallPart

Called = ToolCallPart | OpaquePart
MakeId = Callable[[int, str], str]


def synthetic_id(*seed: object) -> str:
    """An id for a call that came without one: the same for the same answer, different between answers."""
    return f"call_{hashlib.sha256(repr(seed).encode()).hexdigest()[:24]}"


def take_thought(taker: Taker, origin: Origin) -> Signature | None:
    """The signature in a Taker's `extra_content`; what else is in there stays."""
    value = taker.rest.get("extra_content")
    token = thought_of(value)
    if token is None:
        return None
    whole = dict(cast("Object", value))
    google = {name: each for name, each in cast("Object", whole.pop("google")).items() if name != "thought_signature"}
    if google:
        whole["google"] = google
    del taker.rest["extra_content"]
    if whole:
        taker.rest["extra_content"] = whole
    return read_token(token, origin, THOUGHT)[0]


def decode_calls(taker: Taker, origin: Origin, make_id: MakeId, names: Mapping[str, str] | None = None) -> list[Called]:
    """`tool_calls` and `function_call` of an assistant message as parts; `names` maps wire names to declared ones."""
    items = taker.list("tool_calls")
    calls: list[Called] = []
    if items is not None and not items:
        taker.rest["tool_calls"] = items
    seen: set[str] = set()
    for index, item in enumerate(items or []):
        call = _decode_call(Taker(item, f"{taker.at('tool_calls')}[{index}]"), origin, names or {})
        if isinstance(call, ToolCallPart):
            if not call.call_id or (call.call_id in seen and names is not None):
                call = _renamed(call, make_id(index, call.name))
            seen.add(call.call_id)
        calls.append(call)
    legacy = taker.child(LEGACY)
    if legacy is not None:
        name = legacy.need("name")
        arguments = legacy.str("arguments") or ""
        extra: Object = {LEGACY: legacy.rest} if legacy.rest else {}
        declared = (names or {}).get(name, name)
        calls.append(
            ToolCallPart(
                make_id(len(calls), declared), declared, arguments, group=LEGACY, synthetic_id=True, extra=extra
            )
        )
    return calls


def _renamed(call: ToolCallPart, call_id: str) -> ToolCallPart:
    return ToolCallPart(
        call_id,
        call.name,
        call.arguments,
        kind=call.kind,
        synthetic_id=True,
        signature=call.signature,
        extra=call.extra,
    )


def _decode_call(taker: Taker, origin: Origin, names: Mapping[str, str]) -> Called:
    word = taker.str("type")
    if word not in (None, "function", "custom"):
        taker.rest["type"] = word
        return OpaquePart(NAME, taker.rest, group="tool_calls")
    call_id, inner_name = taker.str("id"), "custom" if word == "custom" else "function"
    inner = taker.child(inner_name)
    if inner is None:
        raise InvalidRequest(f"{taker.at(inner_name)}: required member is missing", param=taker.at(inner_name))
    name = inner.need("name")
    text = inner.any("input" if word == "custom" else "arguments")
    taker.keep(inner_name, inner)
    signature = take_thought(taker, origin)
    return ToolCallPart(
        call_id or "",
        names.get(name, name),
        _arguments(text, inner),
        kind="custom" if word == "custom" else "function",
        signature=signature,
        extra=taker.rest,
    )


def _arguments(value: object, inner: Taker) -> str:
    """The text; some servers answer with an object, whose text is then written for them."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _json.dumps(cast("Object", value)).decode()
    raise InvalidRequest(f"{inner.at('arguments')}: expected a string", param=inner.at("arguments"))


def call_object(call: ToolCallPart, name: str, call_id: str | None, arguments: str) -> Object:
    """The wire object of a call, without leftovers and signature."""
    wire: Object = {} if call_id is None else {"id": call_id}
    if call.kind == "custom":
        return {**wire, "type": "custom", "custom": {"name": name, "input": arguments}}
    return {**wire, "type": "function", "function": {"name": name, "arguments": arguments}}


def encode_call(call: ToolCallPart, path: str, target: Target) -> Object | None:
    """One call of the history for `tool_calls`; None when a provider ran it itself."""
    if call.kind in ("server", "mcp"):
        target.lose(path, "a call that another provider ran itself", "content")
        return None
    arguments = call.arguments if target.same or call.kind == "custom" else call.arguments or "{}"
    call_id = None if call.synthetic_id and target.same else target.call_id(call.call_id)
    wire = call_object(call, target.tool_name(call.name), call_id, arguments)
    target.lose_extra(call.extra, path)
    if call.signature is not None:
        if target.is_home(call.signature):
            wire["extra_content"] = thought(call.signature.value)
        else:
            target.lose(f"{path}.signature", "a token only its issuer can use", "opaque")
    return merged(wire, call.extra) if target.same else wire


def encode_legacy(call: ToolCallPart) -> Object:
    """A `function_call` object."""
    return merged({"name": call.name, "arguments": call.arguments}, cast("Object", call.extra.get(LEGACY, {})))


def answer_token(signature: Signature, item_id: str | None = None) -> str:
    """A signature for a client: its own token if it comes from this dialect, else sealed."""
    return signature.value if signature.origin.dialect == NAME else envelope.seal(signature, item_id)
