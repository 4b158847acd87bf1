"""Canonical messages → the `messages` list of a request.

A message of this dialect becomes the object it came from. A message of another one may become several: every tool result is a
message of its own, right behind the calls, and media that the target refuses in results follow the run of results in a user
message. Leading system text keeps its place; system text in mid-conversation is inlined as a marked user reminder where the
profile says that the target has no such role there. It is never hoisted.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from execution_platform import _json
from execution_platform.dialects.openai_chat.calls import encode_call, encode_legacy
from execution_platform.dialects.openai_chat.content import encode_part, encode_parts
from execution_platform.dialects.openai_chat.plain import plain_wires
from execution_platform.dialects.openai_chat.reasoning import DETAILS, Thinking
from execution_platform.dialects.openai_chat.wire import CONTENT, LEGACY, thought
from execution_platform.dialects.take import Object, merged, put
from execution_platform.dialects.target import Target
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import (
    FileRef,
    MediaPart,
    OpaquePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)

_SYSTEM = ("system", "developer")


def encode_messages(messages: Sequence[Message], target: Target) -> list[Object]:
    """The wire's messages; what they cannot carry is recorded in `target`."""
    turns = _Turns(target)
    lead = next((index for index, each in enumerate(messages) if each.role not in _SYSTEM), len(messages))
    is_foreign = not target.same
    for index, message in enumerate(messages):
        if is_foreign and turns.plain(message):
            continue
        path = f"messages[{index}]"
        target.lose_extra(message.extra, path)
        if message.role in _SYSTEM:
            turns.system(message, path, is_leading=index < lead)
        elif message.role == "assistant":
            turns.assistant(message, path)
        else:
            turns.user(message, path)
    turns.flush()
    if not target.same:
        _join_leading(turns.out, target)
    if messages and messages[-1].role == "assistant":
        _mark_prefill(turns.out, len(messages) - 1, target)
    return turns.out


def _mark_prefill(out: list[Object], index: int, target: Target) -> None:
    """The start of an answer: a loss where the target does not continue it, and marked where it wants that."""
    if not target.profile.prefill:
        target.lose(f"messages[{index}]", "the target does not continue an assistant message", "content")
    elif target.profile.prefill_flag and out and out[-1]["role"] == "assistant":
        out[-1].setdefault("prefix", True)


def _join_leading(out: list[Object], target: Target) -> None:
    """One system message for targets whose chat templates know only one."""
    if target.profile.mid_system != "inline":
        return
    lead = [message for message in out if message["role"] in _SYSTEM and isinstance(message["content"], str)]
    if len(lead) > 1 and out[: len(lead)] == lead:
        text = "\n\n".join(cast("str", message["content"]) for message in lead)
        out[: len(lead)] = [{**lead[0], "content": text}]


class _Turns:
    """The list so far, and media of tool results that wait for the end of the results."""

    def __init__(self, target: Target) -> None:
        self.out: list[Object] = []
        self._target = target
        self._waiting: list[Object] = []

    def flush(self) -> None:
        """Tool media that waited follow as a user message."""
        if self._waiting:
            self.out.append({"role": "user", "content": self._waiting})
            self._waiting = []

    def plain(self, message: Message) -> bool:
        """Write a message of another dialect, if it has one of the plain forms; whether it was written."""
        wires = plain_wires(message, self._target)
        if wires is None:
            return False
        self.out += wires.results
        if wires.rest is not None:
            self.flush()
            self.out.append(wires.rest)
        return True

    def _add(self, role: str, message: Message, members: Object) -> None:
        wire: Object = {"role": role}
        put(wire, name=message.name)
        wire.update(members)
        self.out.append(merged(wire, message.extra) if self._target.same else wire)

    def system(self, message: Message, path: str, *, is_leading: bool) -> None:
        """System text, in its role or as a reminder."""
        self.flush()
        target = self._target
        content = self._content(message, path)
        native = target.profile.system_prompts if is_leading else target.profile.mid_system == "native"
        if not native:
            text = content if isinstance(content, str) else message.text
            self.out.append({"role": "user", "content": f"<system-reminder>\n{text}\n</system-reminder>"})
            return
        role = "developer" if message.role == "developer" and target.profile.developer_role else "system"
        if target.source is None and is_leading and target.profile.developer_role:
            role = "developer"
        self._add(role, message, {"content": content})

    def _content(self, message: Message, path: str) -> str | list[Object]:
        """The content of a message without calls: text stays a string, system text of other dialects becomes one."""
        target, content = self._target, message.content
        if isinstance(content, str):
            return content
        parts = message.parts
        plain = all(isinstance(part, TextPart) and part.cache is None and not part.refusal for part in parts)
        if target.same or not plain or (len(parts) > 1 and message.role == "user"):
            return encode_parts(parts, f"{path}.content", target)
        for index, part in enumerate(parts):
            encode_part(part, f"{path}.content[{index}]", target)
        return "\n\n".join(cast("TextPart", part).text for part in parts)

    def user(self, message: Message, path: str) -> None:
        """A user or tool message: results first, each on its own, then the rest."""
        results = [(index, part) for index, part in enumerate(message.parts) if isinstance(part, ToolResultPart)]
        for index, part in results:
            self._result(part, message, path if isinstance(message.content, str) else f"{path}.content[{index}]")
        if results and len(results) == len(message.parts):
            return
        self.flush()
        rest = message
        if results:
            others = [part for part in message.parts if not isinstance(part, ToolResultPart)]
            rest = Message("user", others, name=message.name)
        content = self._content(rest, path)
        if content == [] and message.parts:
            return
        self._add("user", rest, {"content": content})

    def _result(self, part: ToolResultPart, message: Message, path: str) -> None:
        target = self._target
        if part.kind in ("server", "mcp"):
            target.lose(path, "a result of a tool another provider ran itself", "content")
            return
        if part.is_error and not target.same:
            target.lose(f"{path}.is_error", "no slot that marks a result as an error")
        target.lose_extra(part.extra, path)
        source = message if message.role == "tool" else Message("tool")
        if target.same and part.group == LEGACY:
            self._add("function", source, {} if self._says(message) else {"content": self._result_text(part, path)})
            return
        wire: Object = {"tool_call_id": target.call_id(part.call_id)}
        if part.group == CONTENT and target.same and part.parts:
            wire["content"] = encode_parts(part.parts, f"{path}.parts", target)
        elif not self._says(message):
            wire["content"] = self._result_text(part, path)
        name = source.name if target.same else None
        self._add("tool", replace(source, name=name), wire)

    def _says(self, message: Message) -> bool:
        """Whether an empty content of the same dialect is written in `extra` (null or an empty list)."""
        return self._target.same and "content" in message.extra

    def _result_text(self, part: ToolResultPart, path: str) -> str | list[Object]:
        target = self._target
        if part.raw is not None and not part.parts:
            return part.raw if isinstance(part.raw, str) else _json.dumps(part.raw).decode()
        texts = [each for each in part.parts if isinstance(each, TextPart)]
        if len(texts) == len(part.parts):
            return "".join(each.text for each in texts)
        if target.profile.tool_result_media:
            return encode_parts(part.parts, f"{path}.parts", target)
        moved = [
            wire
            for index, each in enumerate(part.parts)
            if not isinstance(each, TextPart)
            for wire in encode_part(each, f"{path}.parts[{index}]", target)
        ]
        if moved:
            self._waiting.append({"type": "text", "text": f"Content of the tool result {part.call_id}:"})
            self._waiting += moved
        return "".join(each.text for each in texts) or ("See the next user message." if moved else "")

    def assistant(self, message: Message, path: str) -> None:
        """An assistant message: thinking, content, refusal, audio, images and calls in their members."""
        self.flush()
        if isinstance(message.content, str):
            self._add("assistant", message, {"content": message.content})
            return
        wire: Object = {}
        writer = _Assistant(self._target)
        for index, part in enumerate(message.parts):
            writer.add(part, f"{path}.content[{index}]")
        writer.write(wire, has_extra_content="content" in message.extra)
        self._add("assistant", message, wire)


class _Assistant:
    """The members of one assistant message."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._thinking = Thinking()
        self._texts: list[str] = []
        self._list: list[Object] = []
        self._refusals: list[str] = []
        self._members: Object = {}
        self._calls: list[Object] = []
        self._images: list[Object] = []

    def add(self, part: Part, path: str) -> None:
        target = self._target
        match part:
            case ThinkingPart():
                self._thinking.add(part, path, target)
            case OpaquePart() if (part.group or "").startswith(DETAILS) and target.same:
                self._thinking.add(part, path, target)
            case OpaquePart() if part.group == "tool_calls" and target.same:
                self._calls.append(dict(part.raw))
            case TextPart():
                self._text(part, path)
            case ToolCallPart():
                self._call(part, path)
            case MediaPart() if part.kind == "audio":
                self._audio(part, path)
            case MediaPart() if part.group == "images" and target.same:
                self._images += encode_part(part, path, target)
            case MediaPart():
                target.lose(path, f"the target takes no {part.kind} in an assistant message", "content")
            case ToolResultPart():
                target.lose(path, "a result of a tool another provider ran itself", "content")
            case _:
                self._list += encode_part(part, path, target)

    def _text(self, part: TextPart, path: str) -> None:
        target = self._target
        if part.signature is not None:
            if target.is_home(part.signature):
                self._members["extra_content"] = thought(part.signature.value)
            else:
                target.lose(f"{path}.signature", "a token only its issuer can use", "opaque")
        if part.group == CONTENT and target.same:
            self._list += encode_part(part, path, target)
        elif part.refusal:
            self._refusals.append(part.text)
        elif part.text:
            encode_part(part, path, target)
            self._texts.append(part.text)

    def _call(self, part: ToolCallPart, path: str) -> None:
        if part.group == LEGACY and self._target.same:
            self._members[LEGACY] = encode_legacy(part)
            return
        wire = encode_call(part, path, self._target)
        if wire is not None:
            self._calls.append(wire)

    def _audio(self, part: MediaPart, path: str) -> None:
        target, source = self._target, part.source
        if isinstance(source, FileRef) and target.is_home_file(source):
            audio: Object = {"id": source.id}
            put(audio, transcript=part.transcript)
            self._members["audio"] = merged(audio, part.extra) if target.same else {"id": source.id}
        elif part.transcript:
            target.lose(path, "earlier audio goes as its transcript")
            self._texts.append(part.transcript)
        else:
            target.lose(path, "audio another provider made, without a transcript", "content")

    def write(self, wire: Object, *, has_extra_content: bool) -> None:
        before = self._thinking.write(wire)
        text = before + "".join(self._texts)
        if self._list:
            wire["content"] = [{"type": "text", "text": text}, *self._list] if text else self._list
        elif text:
            wire["content"] = text
        elif not has_extra_content or not self._target.same:
            self._empty(wire)
        put(wire, refusal="".join(self._refusals) or None)
        wire.update(self._members)
        put(wire, images=self._images or None, tool_calls=self._calls or None)

    def _empty(self, wire: Object) -> None:
        """No text: null beside calls of another dialect; the same dialect said nothing and says nothing again."""
        has_others = bool(self._calls or self._refusals or self._members)
        if not has_others and not self._images and not self._target.same:
            wire["content"] = ""
        elif not self._target.same:
            wire["content"] = None
