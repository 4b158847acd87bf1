"""Parts → content blocks of a request, with a loss for whatever the target cannot take.

Two regimes: `same` (the request came in this dialect, so everything is written as it was read) and cross,
where tokens of other issuers, files of other providers and unknown parts stay behind, recorded.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from execution_platform import _json
from execution_platform.dialects import envelope
from execution_platform.dialects.anthropic.wire import NAME, RESULT, input_object
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.take import Object, merged, put
from execution_platform.dialects.toolnames import NameMap
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.parts import (
    CacheMark,
    Citation,
    CompactionPart,
    FileRef,
    Inline,
    MediaPart,
    OpaquePart,
    Part,
    PartsSource,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
)
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest

IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_SERVER_IDS = ("srvtoolu_", "mcptoolu_")
_BREAKPOINT_TTLS = ("5m", "1h")


@dataclass(slots=True)
class Target:
    """For whom a request is being encoded, and what did not fit so far."""

    request: ChatRequest
    profile: ModelProfile
    names: NameMap
    losses: list[Loss] = field(default_factory=list[Loss])
    marks: int = field(default=0, init=False)
    """Cache marks written so far."""
    same: bool = field(init=False)
    """The request came in this dialect."""
    _paths: list[str] = field(init=False, default_factory=list[str])

    def __post_init__(self) -> None:
        self.same = self.request.dialect == NAME

    @property
    def paths(self) -> list[str]:
        """Where each message stood in the caller's request: text with a slot of its own is not counted."""
        if not self._paths:
            inline = 0
            for message in self.request.messages:
                is_top = message.placement == "top"
                self._paths.append("system" if is_top else f"messages[{inline}]")
                inline += not is_top
        return self._paths

    @property
    def provider(self) -> str | None:
        """The provider the request goes to."""
        name = self.profile.extra.get("provider")
        return name if isinstance(name, str) else None

    def tool_name(self, name: str) -> str:
        """A function tool's name as the target shall see it; a caller of this dialect chose legal ones."""
        return self.names.sent.get(name, name) if self.same else self.names(name)

    def lose(self, path: str, what: str, severity: Severity = "knob") -> None:
        """Record a loss."""
        self.losses.append(Loss(path, what, severity))

    def finish(self, block: Object, part: Part, path: str) -> Object:
        """Add what every block may carry: the cache mark and the leftovers of this dialect."""
        if part.cache is not None:
            block["cache_control"] = self.cache(part.cache, path)
        if part.extra:
            if self.same:
                return merged(block, part.extra)
            self.losses.extend(foreign_extra(part.extra, self.request.dialect, NAME, path=path))
        return block

    def cache(self, mark: CacheMark, path: str) -> Object:
        """A cache mark; other dialects' lifetimes become the nearer of the two this API has."""
        self.marks += 1
        block: Object = {"type": "ephemeral"}
        ttl = mark.ttl
        if self.same:
            put(block, ttl=ttl, scope=mark.scope)
            block.update(mark.extra)
            return block
        if ttl is not None:
            near = ttl if ttl in _BREAKPOINT_TTLS else _nearest_ttl(ttl)
            if near != ttl:
                self.lose(f"{path}.cache.ttl", f"a lifetime of {ttl} became {near}")
            block["ttl"] = near
        return block


def _nearest_ttl(ttl: str) -> str:
    unit = {"s": 1 / 60, "m": 1.0, "h": 60.0, "d": 1440.0}.get(ttl[-1:], 0.0)
    number = ttl[:-1]
    minutes = int(number) * unit if number.isdecimal() else 0.0
    return "1h" if minutes > 10 else "5m"


def encode_parts(parts: Sequence[Part], path: str, target: Target) -> list[Object]:
    """The blocks of a content list; parts that the target cannot take are left out, recorded."""
    blocks: list[Object] = []
    for number, part in enumerate(parts):
        block = encode_part(part, f"{path}[{number}]", target)
        if block is not None:
            blocks.append(block)
    return blocks


def encode_part(part: Part, path: str, target: Target) -> Object | None:
    """One part as a block, or None with a recorded loss."""
    match part:
        case TextPart():
            block = _text(part, path, target)
        case ThinkingPart():
            return _thinking(part, path, target)
        case MediaPart():
            block = encode_media(part, path, target)
        case ToolCallPart():
            block = _call(part, part.call_id, path, target)
        case ToolResultPart():
            block = encode_result(part, part.call_id, path, target)
        case CompactionPart():
            return _compaction(part, path, target)
        case OpaquePart():
            return _opaque(part, path, target)
    if part.signature is not None:
        target.lose(path, "a token only its issuer can read", "opaque")
    return block


def _text(part: TextPart, path: str, target: Target) -> Object | None:
    if not part.text and not target.same:
        return None
    block: Object = {"type": "text", "text": part.text}
    if not part.citations:
        return target.finish(block, part, path)
    citations = [wire for citation in part.citations if (wire := _citation(citation, path, target)) is not None]
    if citations:
        block["citations"] = citations
    return target.finish(block, part, path)


def is_native_citation(citation: Citation) -> bool:
    """Whether the wire object of a citation is one of this API's."""
    return citation.raw is not None and str(citation.raw.get("type", "")).endswith("_location")


def _citation(citation: Citation, path: str, target: Target) -> Object | None:
    raw = citation.raw
    # An empty index stands where another provider's search was shown to the caller as one of this API.
    foreign = raw is None or raw.get("encrypted_index") == ""
    if raw is not None and not foreign and (target.same or is_native_citation(citation)):
        return dict(raw)
    target.lose(f"{path}.citations", "a citation that another provider made", "opaque")
    return None


def _thinking(part: ThinkingPart, path: str, target: Target) -> Object | None:
    signature = part.signature
    text = part.text or "\n\n".join(part.summary)
    if signature is None:
        if "signature" in part.extra:
            return merged({"type": "thinking", "thinking": text}, part.extra)
    elif envelope.is_home(signature, NAME, target.provider) and (
        target.same or target.profile.thinking_replay != "drop"
    ):
        if signature.kind == "redacted":
            return target.finish({"type": "redacted_thinking", "data": signature.value}, part, path)
        return target.finish({"type": "thinking", "thinking": text, "signature": signature.value}, part, path)
    target.lose(path, "thinking that only its own provider can read back", "opaque")
    if text and target.profile.thinking_replay == "tags":
        return {"type": "text", "text": f"<thinking>\n{text}\n</thinking>"}
    return None


def encode_call(part: ToolCallPart, call_id: str, path: str, target: Target) -> Object | None:
    """A call under the id the target shall see."""
    block = _call(part, call_id, path, target)
    if part.signature is not None:
        target.lose(path, "a token only its issuer can read", "opaque")
    return block


def _call(part: ToolCallPart, call_id: str, path: str, target: Target) -> Object | None:
    block: Object = {"type": "tool_use", "id": call_id, "name": part.name}
    if part.kind in ("server", "mcp"):
        if not is_provider_run(part, target):
            target.lose(path, f"the call of {part.name!r}, which another provider ran", "content")
            return None
        block["type"] = f"{part.kind}_tool_use"
        if part.kind == "mcp":
            block["server_name"] = part.namespace or ""
    else:
        block["name"] = target.tool_name(part.name)
    block["input"] = {"input": part.arguments} if part.kind == "custom" else input_object(part.arguments)
    if part.caller is not None and (target.same or part.kind == "server"):
        block["caller"] = part.caller
    return target.finish(block, part, path)


def is_provider_run(part: ToolCallPart | ToolResultPart, target: Target | None = None) -> bool:
    """Whether a server or MCP part is one of this API's own."""
    return (target is not None and target.same) or part.call_id.startswith(_SERVER_IDS)


def encode_result(part: ToolResultPart, call_id: str, path: str, target: Target) -> Object | None:
    """A result under the id of its call as the target sees it."""
    if part.kind in ("server", "mcp") and not is_provider_run(part, target):
        target.lose(path, "the result of a tool that another provider ran", "content")
        return None
    if part.kind == "server":
        server: Object = {"type": f"{part.name}{RESULT}", "tool_use_id": call_id}
        put(server, content=part.raw)
        return target.finish(server, part, path)
    block: Object = {"type": f"{'mcp_' if part.kind == 'mcp' else ''}tool_result", "tool_use_id": call_id}
    content = _result_content(part, path, target)
    if content is not None:
        block["content"] = content
    if part.is_error is not None and (target.same or part.is_error):
        block["is_error"] = part.is_error
    return target.finish(block, part, path)


def _result_content(part: ToolResultPart, path: str, target: Target) -> object:
    parts = part.parts
    if not parts:
        if part.raw is not None:
            return _raw_text(part.raw)
        return [] if part.form == "list" else None
    only = parts[0]
    if len(parts) == 1 and part.form != "list" and isinstance(only, TextPart) and not (only.cache or only.extra):
        return only.text
    blocks = encode_parts(parts, f"{path}.content", target)
    return blocks if blocks or target.same else None


def _raw_text(raw: object) -> str:
    if isinstance(raw, str):
        return raw
    return _json.dumps(raw).decode()


def _compaction(part: CompactionPart, path: str, target: Target) -> Object | None:
    signature = part.signature
    home = signature is not None and envelope.is_home(signature, NAME, target.provider)
    if not target.same and not home:
        target.lose(path, "a summary in the form of another provider", "opaque")
        return {"type": "text", "text": part.text} if part.text else None
    block: Object = {"type": "compaction"}
    if part.text or part.form == "string":
        block["content"] = part.text
    if signature is not None and home:
        block["encrypted_content" if signature.kind == "encrypted" else "signature"] = signature.value
    elif signature is not None:
        target.lose(path, "a token only its issuer can read", "opaque")
    return target.finish(block, part, path)


def _opaque(part: OpaquePart, path: str, target: Target) -> Object | None:
    if part.dialect == NAME:
        return dict(part.raw)
    target.lose(path, f"a {part.raw.get('type', 'part')!r} of the dialect {part.dialect}", "content")
    return None


def encode_media(part: MediaPart, path: str, target: Target) -> Object | None:
    """An image or document block, or None with a recorded loss."""
    where = part.options.get("search_result")
    if isinstance(where, str) and isinstance(part.source, PartsSource):
        return _search_result(part, part.source, where, path, target)
    if part.kind not in ("image", "document"):
        target.lose(path, f"{part.kind} input", "content")
        return None
    source = _source(part, path, target)
    if source is None:
        return None
    block: Object = {"type": part.kind, "source": source}
    if part.kind == "document":
        put(block, title=part.title, context=part.context)
        if part.citations_enabled is not None:
            block["citations"] = {"enabled": part.citations_enabled}
    elif part.detail not in (None, "auto"):
        target.lose(f"{path}.detail", "the target chooses the resolution itself")
    return target.finish(block, part, path)


def _search_result(part: MediaPart, source: PartsSource, where: str, path: str, target: Target) -> Object:
    block: Object = {"type": "search_result", "source": where, "title": part.title or ""}
    block["content"] = encode_parts(source.parts, f"{path}.content", target)
    if part.citations_enabled is not None:
        block["citations"] = {"enabled": part.citations_enabled}
    return target.finish(block, part, path)


def _source(part: MediaPart, path: str, target: Target) -> Object | None:
    source = part.source
    match source:
        case Inline():
            return _inline(source, part, path, target)
        case Url():
            return _url(source, part, path, target)
        case FileRef():
            return _file(source, path, target)
        case TextSource():
            return {"type": "text", "media_type": source.mime if target.same else "text/plain", "data": source.text}
        case PartsSource():
            only = source.parts[0] if source.parts else None
            if part.form == "string" and isinstance(only, TextPart):
                return {"type": "content", "content": only.text}
            return {"type": "content", "content": encode_parts(source.parts, f"{path}.source.content", target)}


def _inline(source: Inline, part: MediaPart, path: str, target: Target) -> Object | None:
    mime, data = source.mime, source.data
    if target.same:
        return {"type": "base64", "media_type": mime, "data": data}
    if data.startswith("data:") and "," in data:
        head, data = data.split(",", 1)
        mime = head[5:].split(";")[0] or mime
    mime = {"image/jpg": "image/jpeg"}.get(mime.lower(), mime.lower())
    if (part.kind == "image" and mime in IMAGE_TYPES) or (part.kind == "document" and mime == "application/pdf"):
        return {"type": "base64", "media_type": mime, "data": data}
    if part.kind == "document" and (mime.startswith("text/") or mime == "application/json"):
        try:
            return {"type": "text", "media_type": "text/plain", "data": base64.b64decode(data).decode()}
        except (binascii.Error, UnicodeDecodeError):
            target.lose(path, f"a document of type {mime} that is not UTF-8 text", "content")
            return None
    target.lose(path, f"a {part.kind} of type {mime}", "content")
    return None


def _url(source: Url, part: MediaPart, path: str, target: Target) -> Object | None:
    if target.same:
        return {"type": "url", "url": source.url}
    if source.url.startswith("data:"):
        return _inline(Inline(source.mime or "", source.url), part, path, target)
    if part.kind not in target.profile.url_media:
        target.lose(path, f"a {part.kind} by URL, which the target does not fetch", "content")
        return None
    return {"type": "url", "url": source.url}


def _file(source: FileRef, path: str, target: Target) -> Object | None:
    origin = source.origin
    known = origin.provider is None or target.provider is None or origin.provider == target.provider
    if origin.dialect != NAME or not known:
        target.lose(path, "a file stored at another provider", "content")
        return None
    return {"type": "file", "file_id": source.id}


def breakpoints(body: Mapping[str, object]) -> list[Object]:
    """Every object of a body that carries a cache mark, in the order of the prompt."""
    found: list[Object] = []
    for name in ("tools", "system", "messages"):
        members = body.get(name)
        if isinstance(members, list):
            _collect(cast("list[object]", members), found)
    return found


def _collect(values: list[object], found: list[Object]) -> None:
    for value in values:
        if isinstance(value, dict):
            block = cast("Object", value)
            if "cache_control" in block:
                found.append(block)
            inner = block.get("content")
            if isinstance(inner, list):
                _collect(cast("list[object]", inner), found)
