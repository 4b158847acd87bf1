"""Canonical values told in short lines, for expectations that people can read."""

from dataclasses import fields as fields_of
from pathlib import Path

from execution_platform.spi import (
    ChatRequest,
    ChatResponse,
    Inline,
    MediaPart,
    OpaquePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
)

CORPUS = Path(__file__).parent / "corpus"


def cases(file: str) -> list[str]:
    return sorted(folder.name for folder in CORPUS.iterdir() if (folder / file).exists())


def content(case: str, file: str) -> bytes:
    return (CORPUS / case / file).read_bytes()


def _part(part) -> list[str]:
    match part:
        case TextPart():
            words = ["refusal" if part.refusal else "text", repr(part.text)]
            words += [f"<{each.kind} {each.start}-{each.end} {each.url}>" for each in part.citations]
            words += [f"logprobs={[each['token'] for each in part.logprobs]}"] if part.logprobs else []
        case ThinkingPart():
            words = ["redacted" if part.redacted else "thinking", repr(part.text)]
            words += [f"summary={part.summary}"] if part.summary else []
        case MediaPart():
            source = part.source
            shown = (
                f"{source.mime} {source.data}"
                if isinstance(source, Inline)
                else source.url
                if isinstance(source, Url)
                else f"file {source.id}"
            )
            words = [part.kind, shown]
            words += [
                f"{name}={getattr(part, name)}" for name in ("detail", "title", "transcript") if getattr(part, name)
            ]
            words += [str(dict(part.options))] if part.options else []
        case ToolCallPart():
            words = [f"{part.kind} call", part.call_id, part.name, repr(part.arguments)]
            words += ["synthetic"] if part.synthetic_id else []
        case ToolResultPart():
            words = ["result", part.call_id, *([part.name] if part.name else [])]
        case OpaquePart():
            words = ["opaque", str(part.raw.get("type"))]
        case _:
            words = [repr(part)]
    words += [f"id={part.id}"] if part.id else []
    if part.signature is not None:
        origin = part.signature.origin
        words.append(f"[{part.signature.kind} {part.signature.value} of {origin.provider or origin.dialect}]")
    words += [f"[cache {part.cache.ttl}]"] if part.cache else []
    words += [str(dict(part.extra))] if part.extra else []
    lines = ["  " + " ".join(words)]
    if isinstance(part, ToolResultPart):
        lines += ["  " + line for inner in part.parts for line in _part(inner)]
    return lines


def _said(value, names) -> list[str]:
    return [f"{name}={getattr(value, name)!r}" for name in names if getattr(value, name) not in (None, (), {}, "")]


def tell_request(request: ChatRequest) -> list[str]:
    lines: list[str] = []
    for message in request.messages:
        head = message.role + (f" {message.name}" if message.name else "")
        extra = f" {dict(message.extra)}" if message.extra else ""
        if isinstance(message.content, str):
            lines.append(f"{head}: {message.content!r}{extra}")
        else:
            lines.append(f"{head}:{extra}")
            lines += [line for part in message.content for line in _part(part)]
    for tool in request.tools or ():
        words = [f"{tool.kind} tool {tool.name}", *_said(tool, ("description", "json_schema", "strict"))]
        lines.append(" ".join([*words, *([str(dict(tool.extra))] if tool.extra else [])]))
    if request.tools == ():
        lines.append("no tools")
    names = "max_tokens temperature top_p top_k stop seed n presence_penalty frequency_penalty logit_bias logprobs top_logprobs"
    lines += _said(request, names.split())
    for name in ("tool_choice", "reasoning", "output", "cache", "safety", "continuation"):
        value = getattr(request, name)
        if value is not None:
            fields = [field.name for field in fields_of(value) if field.name != "kind" or name == "output"]
            lines.append(f"{name}: " + " ".join(_said(value, fields)))
    lines += _said(request, ("service_tier", "metadata", "stream_options", "extra", "spelling"))
    return lines


def tell_response(response: ChatResponse) -> list[str]:
    lines: list[str] = []
    for output in response.outputs:
        finish = output.finish
        details = f" at {finish.stop_sequence!r}" if finish.stop_sequence else ""
        extra = f" {dict(output.extra)}" if output.extra else ""
        lines.append(f"{finish.reason} ({finish.raw}){details}{extra}")
        lines += [line for part in output.message.parts for line in _part(part)]
    usage = response.usage
    if usage is not None:
        fields = [field.name for field in fields_of(usage) if field.name != "raw"]
        shown = [
            f"{name}={getattr(usage, name)}"
            for name in fields
            if getattr(usage, name) not in (None, {}) and getattr(usage, name) is not False
        ]
        lines.append("usage " + " ".join(shown) if shown else "usage says nothing")
    lines.append(" ".join(_said(response, ("id", "model", "created", "service_tier", "system_fingerprint", "extra"))))
    return lines
