"""Canonical values as short lines, for expectations that a reader can check at a glance."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from execution_platform.spi import (
    ChatRequest,
    ChatResponse,
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
    Usage,
)

CORPUS = Path(__file__).parent / "corpus"


def cases(name: str) -> list[str]:
    """The cases that have a file of this name."""
    return sorted(folder.name for folder in CORPUS.iterdir() if (folder / name).exists())


def content(case: str, name: str) -> bytes:
    return (CORPUS / case / name).read_bytes()


def tell(parts: Sequence[Part], indent: str = "") -> Iterator[str]:
    for part in parts:
        marks = ""
        if part.cache:
            marks += f" [cache {part.cache.ttl}]"
        if part.signature:
            marks += f" [{part.signature.kind} {part.signature.value}]"
        if part.extra:
            marks += f" {dict(part.extra)}"
        match part:
            case TextPart():
                cited = "".join(f" <{c.kind} {c.url or c.document_index}>" for c in part.citations)
                yield f"{indent}text {part.text!r}{cited}{marks}"
            case ThinkingPart():
                yield f"{indent}{'hidden' if part.redacted else 'thinking'} {part.text!r}{marks}"
            case ToolCallPart():
                made = " synthetic" if part.synthetic_id else ""
                where = f"{part.namespace}." if part.namespace else ""
                yield f"{indent}{part.kind} {where}{part.name}({part.arguments}) {part.call_id}{made}{marks}"
            case ToolResultPart():
                failed = "" if part.is_error is None else f" error={part.is_error}"
                raw = "" if part.raw is None else f" raw={type(part.raw).__name__}"
                yield f"{indent}result {part.kind} {part.name or ''}<{part.call_id}>{failed}{raw}{marks}"
                yield from tell(part.parts, indent + "  ")
            case MediaPart():
                told = {"title": part.title, "context": part.context, "citations": part.citations_enabled}
                more = "".join(f" {name}={value}" for name, value in told.items() if value is not None)
                yield f"{indent}{part.kind} {_source(part)}{more}{marks}"
                if isinstance(part.source, PartsSource):
                    yield from tell(part.source.parts, indent + "  ")
            case CompactionPart():
                yield f"{indent}compaction {part.text!r}{marks}"
            case OpaquePart():
                yield f"{indent}opaque {part.dialect} {part.raw['type']}{marks}"


def _source(part: MediaPart) -> str:
    match part.source:
        case Inline(mime, data):
            return f"{mime} {data}"
        case Url(url):
            return url
        case FileRef(name):
            return f"file {name}"
        case TextSource(text):
            return f"text {text!r}"
        case PartsSource():
            return f"parts {part.form or part.options}"


def tell_request(request: ChatRequest) -> list[str]:
    lines: list[str] = []
    for message in request.messages:
        extra = f" {dict(message.extra)}" if message.extra else ""
        top = " top" if message.placement == "top" else ""
        if isinstance(message.content, str):
            lines.append(f"{message.role}{top}: {message.content!r}{extra}")
        else:
            lines.append(f"{message.role}{top}:{extra}")
            lines.extend(tell(message.content, "  "))
    for tool in request.tools or ():
        raw = f" {tool.raw}" if tool.raw else ""
        lines.append(f"tool {tool.kind} {tool.name} {tool.strict or ''}{raw}".rstrip())
    skip = {"messages", "tools", "dialect", "model", "max_tokens", "system", "stream", "provider_options"}
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name not in skip and value not in (None, {}):
            lines.append(f"{field.name}={_plain(value)}")
    return lines


def _plain(value: object) -> object:
    names = getattr(value, "__dataclass_fields__", None)
    if names is None:
        return value
    return {name: _plain(inner) for name in names if (inner := getattr(value, name)) not in (None, {}, (), False)}


def tell_response(response: ChatResponse) -> list[str]:
    output = response.outputs[0]
    lines = list(tell(output.message.parts))
    finish = output.finish
    details = f" {finish.stop_sequence or ''}{finish.details or ''}".rstrip()
    lines.append(f"finish {finish.reason} ({finish.raw}){details}")
    if output.extra:
        lines.append(f"output extra {sorted(output.extra)}")
    if response.extra:
        lines.append(f"extra {dict(response.extra)}")
    lines.append(f"usage {tell_usage(response.usage)}")
    return lines


def tell_usage(usage: Usage | None) -> dict[str, object] | None:
    if usage is None:
        return None
    told = {field.name: getattr(usage, field.name) for field in fields(usage) if field.name != "raw"}
    return {name: value for name, value in told.items() if value not in (None, {}, False)}
