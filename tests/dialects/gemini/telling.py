"""Canonical values as short lines, and the corpus."""

import json
from pathlib import Path

from execution_platform.dialects.base import Downstream, Upstream
from execution_platform.dialects.gemini import DIALECT
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.spi import (
    ChatRequest,
    ChatResponse,
    CompactionPart,
    FileRef,
    Inline,
    MediaPart,
    OpaquePart,
    Origin,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
    Usage,
    accumulate,
)
from execution_platform.spi.events import Event

CORPUS = Path(__file__).parent / "corpus"
UPSTREAM = Upstream(Origin(dialect="gemini", provider="gemini", model="m"))
DOWNSTREAM = Downstream("asked-model", "req_1")


def cases(name: str) -> list[str]:
    return sorted(folder.parent.name for folder in CORPUS.glob(f"*/{name}"))


def content(case: str, name: str) -> bytes:
    return (CORPUS / case / name).read_bytes()


def wire(case: str, name: str) -> dict:
    return json.loads(content(case, name))


def decode_stream(data: bytes, size: int | None = None) -> list[Event]:
    decoder = DIALECT.stream_decoder(UPSTREAM)
    step = size or max(1, len(data))
    events: list[Event] = []
    for at in range(0, len(data), step):
        events += decoder.feed(data[at : at + step])
    return events + decoder.close()


def encode_stream(events: list[Event], downstream: Downstream = DOWNSTREAM) -> bytes:
    encoder = DIALECT.stream_encoder(downstream)
    return b"".join(encoder.send([event]) for event in events) + encoder.close()


def told_stream(data: bytes, size: int | None = None) -> list[str]:
    try:
        return tell_response(accumulate(decode_stream(data, size)))
    except ExecutionPlatformError as error:
        return [f"{type(error).__name__} {error.kind}: {error.message}"]


def told_response(data: bytes) -> list[str]:
    try:
        return tell_response(DIALECT.decode_response(data, UPSTREAM))
    except ExecutionPlatformError as error:
        return [f"{type(error).__name__} {error.kind}: {error.message}"]


class _Names:
    """Synthetic ids by the order in which they appear."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def __call__(self, call_id: str) -> str:
        if call_id.startswith("epc_"):
            return self.seen.setdefault(call_id, f"~{len(self.seen) + 1}")
        return call_id


def tell_part(part: Part, names: _Names) -> str:
    words = [_tell(part, names)]
    if part.signature is not None:
        origin = part.signature.origin
        owner = origin.dialect if origin.provider in (None, origin.dialect) else f"{origin.dialect}/{origin.provider}"
        words.append(f"signed by {owner} ({part.signature.kind} {part.signature.value})")
    if part.id:
        words.append(f"id {part.id}")
    if part.extra:
        words.append(f"extra {json.dumps(part.extra)}")
    return " ".join(words)


def _tell(part: Part, names: _Names) -> str:
    match part:
        case TextPart():
            cited = [f" [{c.kind} {c.start}-{c.end} {c.cited_text!r} {c.url} {c.title}]" for c in part.citations]
            heard = [f" <{entry['token']}:{entry['logprob']}>" for entry in part.logprobs or ()]
            return f"text {part.text!r}" + "".join(cited) + "".join(heard)
        case ThinkingPart():
            shown = "redacted" if part.redacted else repr(part.text)
            return f"thinking {shown}" + (f" summary {part.summary}" if part.summary else "")
        case MediaPart():
            match part.source:
                case Inline(mime, data):
                    source = f"inline {mime} {data}"
                case Url(url, mime):
                    source = f"url {url} {mime}"
                case FileRef(id, _, mime):
                    source = f"file {id} {mime}"
                case other:
                    source = repr(other)
            told = "".join(f" {name}={value}" for name in ("title", "detail") if (value := getattr(part, name)))
            return f"{part.kind} {source}{told}"
        case ToolCallPart():
            made = " (no id)" if part.synthetic_id else ""
            return f"{part.kind} call {names(part.call_id)}{made} {part.name}({part.arguments})"
        case ToolResultPart():
            inner = ", ".join(tell_part(p, names) for p in part.parts)
            error = " error" if part.is_error else ""
            return f"{part.kind} result{error} of {names(part.call_id)} {part.name}: {inner}"
        case CompactionPart():
            return f"compaction {part.text!r}"
        case OpaquePart():
            return f"opaque {part.dialect} {json.dumps(part.raw)}"


def tell_request(request: ChatRequest) -> list[str]:
    names = _Names()
    lines: list[str] = []
    for message in request.messages:
        head = message.role + (" top" if message.placement == "top" else "")
        head += f" as {message.wire_role!r}" if message.wire_role is not None else ""
        rest = {name: value for name, value in message.extra.items() if value is not None}
        lines.append(f"{head}:" + (f" extra {json.dumps(rest)}" if rest else ""))
        lines += [f"  {tell_part(part, names)}" for part in message.parts]
    for tool in request.tools or ():
        schema = "" if tool.input_schema is None else f" {json.dumps(tool.input_schema)}"
        extra = f" extra {json.dumps(tool.extra)}" if tool.extra else ""
        lines.append(f"tool {tool.kind} {tool.name} {tool.description!r}{schema}{extra}")
    skip = {"messages", "tools", "dialect", "stream", "spelling", "provider_options", "extra"}
    for name in request.__dataclass_fields__:
        value = getattr(request, name)
        if name not in skip and value is not None:
            lines.append(f"{name}: {_brief(value)}")
    if request.extra:
        lines.append(f"extra: {json.dumps(request.extra)}")
    return lines


def _brief(value: object) -> str:
    if hasattr(value, "__dataclass_fields__"):
        told = {name: getattr(value, name) for name in value.__dataclass_fields__ if name not in ("raw", "forced")}
        told["forced"] = getattr(value, "forced", False) or None
        return " ".join(f"{name}={_brief(inner)}" for name, inner in told.items() if inner not in (None, (), {}))
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def tell_response(response: ChatResponse) -> list[str]:
    names = _Names()
    lines = [f"{response.id} {response.model} {response.created}"]
    for output in response.outputs:
        lines += [f"  {tell_part(part, names)}" for part in output.message.parts]
        finish = output.finish
        details = f" {json.dumps(finish.details)}" if finish.details else ""
        extra = {name: value for name, value in output.extra.items() if name != "index"}
        lines.append(f"{finish.reason} ({finish.raw}){details}" + (f" extra {sorted(extra)}" if extra else ""))
    lines.append(tell_usage(response.usage))
    if response.extra:
        lines.append(f"extra: {json.dumps(response.extra)}")
    return lines


def tell_usage(usage: Usage | None) -> str:
    if usage is None:
        return "no usage"
    parts = {
        "cached": usage.cache_read_tokens,
        "audio in": usage.input_audio_tokens,
        "image in": usage.input_image_tokens,
        "tools": usage.tool_prompt_tokens,
        "reasoning": usage.reasoning_tokens,
        "audio out": usage.output_audio_tokens,
        "units": usage.units or None,
        "tier": usage.tier,
    }
    told = "".join(f", {name} {value}" for name, value in parts.items() if value is not None)
    return f"usage {usage.input_tokens} in, {usage.output_tokens} out{told}"
