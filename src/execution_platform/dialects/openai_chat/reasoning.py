"""Thinking in assistant messages: `reasoning_content`, `reasoning`, `reasoning_details` and `<think>` tags.

Chat completions has no official slot. DeepSeek, vLLM, llama.cpp and others write `reasoning_content`; Groq, Ollama and OpenRouter
`reasoning`; OpenRouter also `reasoning_details` (openrouter.ai/docs/use-cases/reasoning-tokens, read 2026-11), a list of
`reasoning.text` (with `signature`), `reasoning.summary` and `reasoning.encrypted` (`data`) objects. The last is also where our
envelopes travel. The part's `group` says which member it came from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from execution_platform.dialects import envelope
from execution_platform.dialects.openai_chat.wire import NAME
from execution_platform.dialects.take import Object, Taker, as_list, as_object, put
from execution_platform.dialects.target import Target
from execution_platform.spi.parts import OpaquePart, Origin, Signature, ThinkingPart

FIELDS = ("reasoning_content", "reasoning")
DETAILS = "reasoning_details"
_KNOWN = frozenset({"type", "text", "summary", "data", "signature", "id", "index"})

Reasoned = ThinkingPart | OpaquePart


def decode_reasoning(taker: Taker, origin: Origin, *, keeps_raw: bool = False) -> list[Reasoned]:
    """The thinking of an assistant message. `keeps_raw` keeps the details as they are for the same dialect."""
    details, text, name = taker.list(DETAILS), "", ""
    for each in FIELDS:
        value = taker.str(each)
        if value and not text:
            text, name = value, each
        elif value is not None:
            taker.rest[each] = value
    if not details:
        if details is not None:
            taker.rest[DETAILS] = details
        return [ThinkingPart(text, group=name)] if text else []
    parts = decode_details(details, taker.at(DETAILS), origin)
    if text:
        parts = _with_text(parts, text, name, taker)
    if keeps_raw and not _has_envelope(details):
        at = next((index for index, part in enumerate(parts) if _is_detail(part)), None)
        if at is not None:
            parts[at] = replace(parts[at], extra={DETAILS: details})
    return parts


def _with_text(parts: list[Reasoned], text: str, name: str, taker: Taker) -> list[Reasoned]:
    """The details' parts with the string beside them, which mostly says the same."""
    if text == said(parts):
        return [replace(part, group=f"{DETAILS}+{name}") for part in parts]
    if any(isinstance(part, ThinkingPart) and (part.text or part.summary) for part in parts):
        taker.rest[name] = text
        return parts
    if isinstance(parts[0], ThinkingPart):
        return [replace(parts[0], text=text, redacted=False, group=f"{DETAILS}+{name}"), *parts[1:]]
    return [ThinkingPart(text, group=name), *parts]


def _has_envelope(details: list[object]) -> bool:
    objects = [cast("Object", item) for item in details if isinstance(item, dict)]
    tokens = [item.get(name) for item in objects for name in ("data", "signature")]
    return any(isinstance(token, str) and token.startswith(envelope.PREFIX) for token in tokens)


def _is_detail(part: Reasoned) -> bool:
    return part.group is not None and part.group.startswith(DETAILS)


def said(parts: list[Reasoned]) -> str:
    """What the thinking says when it is written into one string."""
    return "".join(part.text or "\n\n".join(part.summary) for part in parts if isinstance(part, ThinkingPart))


def decode_details(details: list[object], path: str, origin: Origin) -> list[Reasoned]:
    """`reasoning_details` as parts; an encrypted entry completes the unsigned one of the same index before it."""
    parts: list[Reasoned] = []
    last: object = None
    for number, item in enumerate(as_list(details, path)):
        wire = as_object(item, f"{path}[{number}]")
        part = decode_detail(wire, origin)
        before = parts[-1] if parts else None
        if (
            isinstance(part, ThinkingPart)
            and part.redacted
            and isinstance(before, ThinkingPart)
            and before.signature is None
            and wire.get("index") is not None
            and wire.get("index") == last
        ):
            parts[-1] = replace(before, signature=part.signature, id=part.id or before.id)
        else:
            parts.append(part)
        last = wire.get("index")
    return parts


def decode_detail(wire: Object, origin: Origin) -> Reasoned:
    """One entry of `reasoning_details`."""
    word = wire.get("type")
    slot = {"reasoning.text": "text", "reasoning.summary": "summary", "reasoning.encrypted": "data"}.get(str(word))
    value = wire.get(slot) if slot is not None else None
    if slot is None or not isinstance(value, str | None):
        return OpaquePart(NAME, wire, group=DETAILS)
    item_id, extra = wire.get("id"), {name: each for name, each in wire.items() if name not in _KNOWN}
    part = ThinkingPart(group=DETAILS, id=item_id if isinstance(item_id, str) else None, extra=extra)
    if slot == "summary":
        return replace(part, summary=(value,) if value else ())
    token = value if slot == "data" else wire.get("signature")
    signature, sealed_id = read_token(token, origin, "encrypted" if slot == "data" else "signature")
    part = replace(part, signature=signature, id=sealed_id or part.id)
    return replace(part, redacted=True) if slot == "data" else replace(part, text=value or "")


def read_token(token: object, origin: Origin, kind: str) -> tuple[Signature | None, str | None]:
    """A token with the item id an envelope holds beside it; a native token is the answering provider's."""
    if not isinstance(token, str) or not token:
        return None, None
    opened = envelope.unseal(token)
    return (Signature(token, origin, kind), None) if opened is None else (opened.signature, opened.item_id)


@dataclass(slots=True)
class Thinking:
    """Thinking parts on their way into the members of one assistant message."""

    fields: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    details: list[Object] = field(default_factory=list[Object])
    tags: list[str] = field(default_factory=list[str])
    is_raw: bool = False

    def add(self, part: Reasoned, path: str, target: Target) -> None:
        """Place one part of the request's history, or record its loss."""
        raw = part.extra.get(DETAILS)
        if isinstance(raw, list) and target.same:
            self.details.extend(cast("list[Object]", raw))
            self.is_raw = True
        if isinstance(part, OpaquePart):
            if not self.is_raw:
                self.details.append(dict(part.raw))
            return
        is_home = part.signature is None or target.is_home(part.signature)
        if target.same and is_home and part.group is not None:
            self._native(part)
        else:
            self._replay(part, path, target)

    def _native(self, part: ThinkingPart) -> None:
        group, _, name = (part.group or "").partition("+")
        if group in FIELDS:
            self.fields.setdefault(group, []).append(part.text)
            return
        if name:
            self.fields.setdefault(name, []).append(part.text or "\n\n".join(part.summary))
        if not self.is_raw:
            self.details.extend(details_of(part, len(self.details)))

    def _replay(self, part: ThinkingPart, path: str, target: Target) -> None:
        text = part.text or "\n\n".join(part.summary)
        how = target.profile.thinking_replay
        if part.signature is not None:
            target.lose(f"{path}.signature", "a token only its issuer can use", "opaque")
        if not text:
            return
        if how == "drop":
            target.lose(path, "the target is not sent earlier thinking", "opaque")
        elif how == "tags":
            self.tags.append(text)
        else:
            name = target.profile.extra.get("reasoning_field")
            self.fields.setdefault(name if isinstance(name, str) else FIELDS[0], []).append(text)

    def write(self, wire: Object) -> str:
        """Set the members; returns what belongs before the content."""
        for name, texts in self.fields.items():
            wire[name] = "".join(texts)
        if self.details:
            wire[DETAILS] = self.details
        return "".join(f"<think>\n{text}\n</think>\n\n" for text in self.tags)


def details_of(part: ThinkingPart, index: int, *, seals: bool = False) -> list[Object]:
    """A part as entries of `reasoning_details`. With `seals`, foreign tokens travel in an envelope."""
    entries: list[Object] = []
    signature = part.signature
    extra: Mapping[str, object] = {}
    if (part.group or "").startswith(DETAILS):
        extra = {name: value for name, value in part.extra.items() if name != DETAILS}
    token = None if signature is None else signature.value
    if signature is not None and seals and signature.origin.dialect != NAME:
        token = envelope.seal(signature, part.id)
    is_data = (
        part.redacted
        or bool(part.summary and not part.text)
        or (signature is not None and signature.kind == "encrypted")
    )
    if part.text or (token is not None and not is_data):
        entry: Object = {"type": "reasoning.text", "text": part.text}
        put(entry, signature=None if is_data else token)
        entries.append(entry)
    if part.summary:
        entries.append({"type": "reasoning.summary", "summary": "\n\n".join(part.summary)})
    if is_data and token is not None:
        entries.append({"type": "reasoning.encrypted", "data": token})
    for entry in entries:
        put(entry, id=part.id)
        entry.update({**extra, "index": index})
    return entries
