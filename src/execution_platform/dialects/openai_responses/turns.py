"""Canonical messages → `instructions` and the list `input`.

Leading system text that had a slot of its own goes back to one. A message may become several items: each text, thought, call and
result of a tool is an item; parts that came from one message item go back into one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from execution_platform import _json
from execution_platform.dialects.openai_responses.content import encode_parts
from execution_platform.dialects.openai_responses.items import known_extra
from execution_platform.dialects.openai_responses.wire import NAME, parted
from execution_platform.dialects.take import Object, merged, put
from execution_platform.dialects.target import Target
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import (
    CompactionPart,
    MediaPart,
    OpaquePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)


def encode_messages(messages: Sequence[Message], body: Object, target: Target) -> None:
    """Set `instructions` and `input`; what they cannot carry is recorded in `target`."""
    turns = _Turns(target)
    lead: list[str] = []
    for index, message in enumerate(messages):
        if message.placement == "top" and message.role == "system" and index == len(lead):
            lead.append(message.text)
            continue
        path = f"messages[{index}]"
        target.lose_extra(message.extra, path)
        if message.role == "assistant":
            turns.assistant(message, path)
        else:
            turns.other(message, path)
    if messages and messages[-1].role == "assistant" and not target.profile.prefill:
        target.lose(f"messages[{len(messages) - 1}]", "the target does not continue an assistant message", "content")
    put(body, instructions="\n\n".join(lead) if lead else None)
    body["input"] = turns.out


@dataclass(slots=True)
class _Turns:
    """The items so far."""

    target: Target
    out: list[Object] = field(default_factory=list[Object])

    def other(self, message: Message, path: str) -> None:
        """A message of the caller: results first, each an item, then the rest."""
        rest: list[Part] = []
        for index, part in enumerate(message.parts):
            at = f"{path}.content[{index}]"
            if isinstance(part, ToolResultPart):
                self._result(part, at)
            elif isinstance(part, OpaquePart) and part.dialect == NAME and part.raw.get("type") not in _CONTENT:
                self.out.append(dict(part.raw))
            else:
                rest.append(part)
        if not rest and message.parts:
            return
        role = "user" if message.role == "tool" else message.role
        if role == "developer" and not self.target.profile.developer_role and not self.target.same:
            role = "system"
        content: object = message.content
        if not isinstance(content, str):
            content = encode_parts(rest, f"{path}.content", self.target)
            if not content:
                return
        wire: Object = {"type": "message", "role": role, "content": content}
        self.out.append(merged(wire, message.extra) if self.target.same else wire)

    def _result(self, part: ToolResultPart, path: str) -> None:
        target = self.target
        if part.kind in ("server", "mcp"):
            target.lose(path, "a result of a tool another provider ran itself", "content")
            return
        if part.is_error and not target.same:
            target.lose(f"{path}.is_error", "no slot that marks a result as an error")
        target.lose_extra(part.extra, path)
        wire: Object = {
            "type": "custom_tool_call_output" if part.kind == "custom" else "function_call_output",
            "call_id": target.call_id(part.call_id),
            "output": self._output(part, path),
        }
        if target.same:
            namespace, name = (None, None) if part.name is None else parted(part.name)
            put(wire, id=part.id, name=name, namespace=namespace)
            merged(wire, part.extra)
        self.out.append(wire)

    def _output(self, part: ToolResultPart, path: str) -> str | list[Object]:
        if part.raw is not None and not part.parts:
            return part.raw if isinstance(part.raw, str) else _json.dumps(part.raw).decode()
        texts = [each.text for each in part.parts if isinstance(each, TextPart)]
        if len(texts) == len(part.parts) and (part.form == "string" or not self.target.same):
            return "".join(texts)
        return encode_parts(part.parts, f"{path}.parts", self.target)

    def assistant(self, message: Message, path: str) -> None:
        """What the model said, item by item."""
        if isinstance(message.content, str):
            self.out.append(_easy([{"type": "output_text", "text": message.content, "annotations": []}]))
            return
        run: list[TextPart] = []
        for index, part in enumerate(message.parts):
            if isinstance(part, TextPart):
                if run and not (self.target.same and run[-1].group is not None and run[-1].group == part.group):
                    self._text(run, path)
                run.append(part)
                continue
            self._text(run, path)
            self._part(part, f"{path}.content[{index}]")
        self._text(run, path)

    def _text(self, run: list[TextPart], path: str) -> None:
        """One message item."""
        if not run:
            return
        parts, first, same = list(run), run[0], self.target.same
        run.clear()
        plain = [_without_item(part) for part in parts]
        if any(part.signature is not None and not self.target.is_home(part.signature) for part in parts):
            self.target.lose(f"{path}.signature", "a token only its issuer can use", "opaque")
        wire = _easy(encode_parts(plain, f"{path}.content", self.target, text="output_text"))
        if same:
            put(wire, id=first.id, phase=first.phase, status=None if first.id is None else "completed")
            merged(wire, cast("Object", first.extra.get("item") or {}))
        self.out.append(wire)

    def _part(self, part: Part, path: str) -> None:
        target = self.target
        match part:
            case ThinkingPart():
                self._thinking(part, path)
            case ToolCallPart() if part.kind in ("function", "custom"):
                self.out.append(self._call(part, path))
            case CompactionPart() if part.signature is not None and target.is_home(part.signature):
                self.out.append(
                    _with_id({"type": "compaction", "encrypted_content": part.signature.value}, part, target)
                )
            case CompactionPart():
                target.lose(path, "a provider's own summary of earlier turns", "opaque")
                if part.text:
                    self.out.append(_easy([{"type": "output_text", "text": part.text, "annotations": []}]))
            case OpaquePart() if part.dialect == NAME:
                self.out.append(dict(part.raw))
            case OpaquePart():
                target.lose(path, f"a part that only {part.dialect} knows", "content")
            case MediaPart():
                target.lose(path, f"the target takes no {part.kind} in an assistant message", "content")
            case _:
                target.lose(path, "a call or result of a tool another provider ran itself", "content")

    def _thinking(self, part: ThinkingPart, path: str) -> None:
        target = self.target
        home = part.signature is not None and target.is_home(part.signature)
        if part.signature is not None and not home:
            target.lose(f"{path}.signature", "a token only its issuer can use", "opaque")
        if not home and not (target.same and part.signature is None):
            if part.text or part.summary:
                target.lose(path, "the target is not sent earlier thinking", "opaque")
            return
        wire: Object = {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text} for text in part.summary],
        }
        if part.text:
            wire["content"] = [{"type": "reasoning_text", "text": part.text}]
        if part.signature is not None:
            wire["encrypted_content"] = part.signature.value
        put(wire, id=part.id)
        target.lose_extra(part.extra, path)
        self.out.append(merged(wire, part.extra) if target.same else wire)

    def _call(self, part: ToolCallPart, path: str) -> Object:
        target = self.target
        custom = part.kind == "custom"
        namespace, name = parted(part.name) if target.same else (None, target.tool_name(part.name))
        wire: Object = {
            "type": "custom_tool_call" if custom else "function_call",
            "call_id": target.call_id(part.call_id),
            "name": name,
            "input" if custom else "arguments": part.arguments if part.arguments or custom else "{}",
        }
        if part.signature is not None and not target.is_home(part.signature):
            target.lose(f"{path}.signature", "a token only its issuer can use", "opaque")
        target.lose_extra(part.extra, path)
        if not target.same:
            return wire
        put(wire, namespace=namespace, caller=part.caller)
        return _with_id(wire, part, target)


_CONTENT = ("input_text", "output_text", "input_image", "input_file", "input_audio", "refusal")


def _without_item(part: TextPart) -> TextPart:
    extra = known_extra(part)
    return (
        part
        if len(extra) == len(part.extra)
        else TextPart(
            part.text,
            citations=part.citations,
            logprobs=part.logprobs,
            refusal=part.refusal,
            cache=part.cache,
            extra=extra,
        )
    )


def _with_id(wire: Object, part: Part, target: Target) -> Object:
    if not target.same:
        return wire
    put(wire, id=part.id)
    return merged(wire, part.extra)


def _easy(content: list[Object]) -> Object:
    return {"type": "message", "role": "assistant", "content": content}
