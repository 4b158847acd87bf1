"""Canonical parts → wire parts: what requests and answers have in common.

`PartWriter` knows the forms; its two heirs know where signatures may go and what the reader of a
request or of an answer can take (`request_parts`, `response`).
"""

from abc import ABC, abstractmethod
from typing import cast

from execution_platform import _json
from execution_platform.dialects.gemini.calls import wire_id
from execution_platform.dialects.gemini.media import as_received, file, inline, mime_of, resolution, split_data_url
from execution_platform.dialects.gemini.parts_decode import CODE
from execution_platform.dialects.gemini.wire import NAME, arguments_object, mapping
from execution_platform.dialects.take import Object, merged
from execution_platform.spi.loss import Loss, Severity
from execution_platform.spi.parts import (
    CompactionPart,
    FileRef,
    Inline,
    MediaPart,
    OpaquePart,
    Part,
    PartsSource,
    Signature,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
)


class PartWriter(ABC):
    """Writes parts and remembers what could not be written. `same`: the parts came from this dialect."""

    def __init__(self, *, same: bool) -> None:
        self.same = same
        self.losses: list[Loss] = []

    def lose(self, path: str, what: str, severity: Severity = "knob") -> None:
        """Record a loss."""
        self.losses.append(Loss(path, what, severity))

    # What the heirs decide

    @abstractmethod
    def token(self, signature: Signature, path: str, item_id: str | None) -> str | None:
        """The signature as the reader may have it; None when it may not."""

    def tool_name(self, name: str) -> str:
        """A tool's name as the reader knows it."""
        return name

    def takes_url(self, part: MediaPart) -> bool:
        """Whether the reader can do something with a URL."""
        del part
        return True

    def thinking(self, part: ThinkingPart, path: str) -> list[Object]:
        """A thought."""
        text = part.text or "\n\n".join(part.summary)
        if part.redacted and not text and "text" not in part.extra:
            return self._if_signed(self.dressed({}, part, path))
        return [self.dressed({"text": text, "thought": True}, part, path)]

    # The forms

    def write(self, part: Part, path: str) -> list[Object]:
        """The wire parts that say `part`; none when it cannot be said (with a loss)."""
        match part:
            case TextPart():
                return self.text(part, path)
            case ThinkingPart():
                return self.thinking(part, path)
            case MediaPart():
                return self.media(part, path)
            case ToolCallPart():
                return self.call(part, path)
            case ToolResultPart():
                return self.result(part, path)
            case CompactionPart():
                if part.signature is not None:
                    self.lose(path, "a summary only its provider can read", "opaque")
                return [{"text": part.text}] if part.text else []
            case OpaquePart():
                if part.dialect == NAME:
                    return [dict(part.raw)]
                self.lose(path, f"a part only {part.dialect} knows", "content")
                return []

    def dressed(self, wire: Object, part: Part, path: str) -> Object:
        """The wire part with its signature and the leftovers of the same dialect."""
        if part.signature is not None:
            token = self.token(part.signature, path, part.id)
            if token is not None:
                wire["thoughtSignature"] = token
        if part.cache is not None:
            self.lose(f"{path}.cache", "the target has no cache marks")
        if not part.extra:
            return wire
        if self.same:
            return merged(wire, part.extra)
        for name, value in part.extra.items():
            if value is not None:
                self.lose(f"{path}.{name}", "not known to the target")
        return wire

    def _if_signed(self, wire: Object) -> list[Object]:
        if "thoughtSignature" not in wire:
            return []
        # A signature alone is a part of its own wire; from elsewhere it needs a part to stand on.
        return [wire] if self.same else [{"text": "", "thought": True, **wire}]

    def text(self, part: TextPart, path: str) -> list[Object]:
        """Visible text; empty text is said only where it was said here or carries a signature."""
        wire = self.dressed({"text": part.text}, part, path)
        return [wire] if part.text or self.same or "thoughtSignature" in wire else []

    def media(self, part: MediaPart, path: str) -> list[Object]:
        """Image, audio, video, document."""
        title = part.title if self.same else None
        source = part.source
        wire: Object
        match source:
            case Inline():
                given = as_received(part, source) if self.same else split_data_url(source.mime, source.data)
                wire = inline(given.mime, given.data, title)
            case Url() if source.url.startswith("data:"):
                given = split_data_url(source.mime or "", source.url)
                wire = inline(given.mime, given.data, title)
            case Url():
                if not self.same and not self.takes_url(part):
                    self.lose(path, f"the target does not fetch {part.kind}s from a URL", "content")
                    return []
                mime = source.mime if self.same else mime_of(part.kind, source.url, source.mime)
                wire = file(source.url, mime, title)
            case FileRef():
                if source.origin.dialect != NAME:
                    self.lose(path, "a file stored at another provider", "content")
                    return []
                wire = file(source.id, source.mime, title)
            case TextSource():
                wire = {"text": source.text}
            case PartsSource():
                return [
                    wire
                    for index, inner in enumerate(source.parts)
                    for wire in self.write(inner, f"{path}.source[{index}]")
                ]
        return [self.dressed(self._described(wire, part, path), part, path)]

    def _described(self, wire: Object, part: MediaPart, path: str) -> Object:
        if self.same:
            level = resolution(part.detail)
            return wire if level is None else {**wire, "mediaResolution": level}
        if part.detail not in (None, "auto"):
            self.lose(f"{path}.detail", "the target decides the resolution itself")
        for name in ("title", "context"):
            if getattr(part, name) is not None:
                self.lose(f"{path}.{name}", "the target has no such member")
        if part.citations_enabled:
            self.lose(f"{path}.citations_enabled", "the target has no citations of documents")
        return wire

    def call(self, part: ToolCallPart, path: str) -> list[Object]:
        """A call, whole."""
        if part.kind in ("server", "mcp"):
            return self.server_call(part, path)
        text = part.arguments
        args, is_wrapped = arguments_object(text if part.kind == "function" else _json.dumps({"input": text}).decode())
        if is_wrapped:
            self.lose(f"{path}.arguments", "not a JSON object; sent wrapped in one")
        wire: Object = {"name": self.tool_name(part.name)}
        if text or not self.same:
            wire["args"] = args
        identity = part.id if self.same and part.id else wire_id(part.call_id, synthetic=part.synthetic_id)
        if identity is not None:
            wire["id"] = identity
        return [self.dressed({"functionCall": wire}, part, path)]

    def server_call(self, part: ToolCallPart, path: str) -> list[Object]:
        """A call that the provider itself answers."""
        if not self.same or part.kind == "mcp":
            self.lose(path, "a call of a tool that the provider itself runs", "content")
            return []
        args, _ = arguments_object(part.arguments)
        identity = part.id or wire_id(part.call_id, synthetic=part.synthetic_id)
        if part.name == CODE:
            wire: Object = dict(cast("Object", args))
        else:
            wire = {}
            if part.name:
                wire["toolType"] = part.name
            if part.arguments:
                wire["args"] = args
        if identity is not None:
            wire["id"] = identity
        return [self.dressed({"executableCode" if part.name == CODE else "toolCall": wire}, part, path)]

    def result(self, part: ToolResultPart, path: str) -> list[Object]:
        """A tool's answer."""
        if part.kind in ("server", "mcp"):
            raw = mapping(part.raw) if self.same else None
            if raw is None:
                self.lose(path, "a result of a tool that the provider itself runs", "content")
                return []
            name = "codeExecutionResult" if part.name == CODE else "toolResponse"
            return [self.dressed({name: raw}, part, path)]
        return self.function_result(part, path)

    def function_result(self, part: ToolResultPart, path: str) -> list[Object]:
        """A result of a function; only requests have them."""
        del part
        self.lose(path, "a tool result inside an answer", "content")
        return []
