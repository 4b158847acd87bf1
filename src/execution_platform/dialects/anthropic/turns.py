"""Messages → turns.

A caller of this dialect gets its own turns back, word for word. For all others the turns are put into the
order the API demands: system text of the beginning goes to the top and the rest stays where it was; the
results of a turn stand first in the very next user turn; every call has exactly one result, and call ids
occur once. Placement rules of `role: "system"`: after a user turn (or server tool use), before an assistant
turn or at the end, never two in a row, text only (platform.claude.com/docs/en/build-with-claude/
mid-conversation-system-messages, read 2026-11).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from execution_platform.dialects.anthropic.blocks import Target, encode_call, encode_part, encode_parts, encode_result
from execution_platform.dialects.anthropic.wire import NAME
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.take import Object, merged
from execution_platform.dialects.toolnames import legal_call_id
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import MediaPart, Part, ToolCallPart, ToolResultPart

_SYSTEM = ("system", "developer")


@dataclass(slots=True)
class Turns:
    """The members `system` and `messages`."""

    system: str | list[Object] | None
    messages: list[Object]


@dataclass(slots=True)
class _Turn:
    """One entry of `messages` on its way."""

    role: str
    content: str | list[Object]
    source: int
    path: str

    def wire(self) -> Object:
        return {"role": self.role, "content": self.content}


def encode_turns(target: Target) -> Turns:
    """The turns of the request. What cannot be carried is recorded on `target`."""
    messages = target.request.messages
    top = 0
    while top < len(messages) and _goes_to_top(messages[top], target):
        top += 1
    late = [index for index in range(top, len(messages)) if messages[index].placement == "top"]
    system = _system([*range(top), *late], target)
    rest = [(index, messages[index]) for index in range(top, len(messages)) if messages[index].placement != "top"]
    if target.same:
        return Turns(system, _same(rest, target))
    turns = _Arranger(target, rest).run()
    turns = _placed(turns, target)
    if not turns and system is not None:
        return _system_only(system, target)
    _check_prefill(turns, target)
    return Turns(system, [turn.wire() for turn in turns])


def _goes_to_top(message: Message, target: Target) -> bool:
    if message.role not in _SYSTEM:
        return False
    return message.placement == "top" or not target.same or target.profile.mid_system != "native"


def _system(indices: Sequence[int], target: Target) -> str | list[Object] | None:
    messages = target.request.messages
    if not indices:
        return None
    if len(indices) == 1:
        only = messages[indices[0]].content
        if isinstance(only, str):
            return only if only or target.same else None
    blocks: list[Object] = []
    for index in indices:
        blocks.extend(_system_blocks(messages[index], target.paths[index], target))
    if not blocks and not target.same:
        return None
    return blocks


def _system_blocks(message: Message, path: str, target: Target) -> list[Object]:
    if isinstance(message.content, str):
        return [{"type": "text", "text": message.content}] if message.content else []
    parts: list[Part] = []
    for number, part in enumerate(message.parts):
        if isinstance(part, MediaPart) and not target.same:
            target.lose(f"{path}.content[{number}]", "media in system text", "content")
        else:
            parts.append(part)
    return encode_parts(parts, f"{path}.content", target)


def _same(rest: Sequence[tuple[int, Message]], target: Target) -> list[Object]:
    out: list[Object] = []
    grouped: list[Object] | None = None
    for index, message in rest:
        path = target.paths[index]
        if message.role == "tool":
            blocks = encode_parts(message.parts, f"{path}.content", target)
            if grouped is None:
                grouped = blocks
                out.append({"role": "user", "content": grouped})
            else:
                grouped.extend(blocks)
            continue
        grouped = None
        if message.role in _SYSTEM and target.profile.mid_system != "native":
            out.append({"role": "user", "content": _reminder(message, path, target)})
            continue
        turn: Object = {"role": "system" if message.role == "developer" else message.role}
        if isinstance(message.content, str):
            turn["content"] = message.content
        elif message.content:
            turn["content"] = encode_parts(message.parts, f"{path}.content", target)
        out.append(merged(turn, message.extra))
    return out


def _reminder(message: Message, path: str, target: Target) -> str | list[Object]:
    """System text as part of a user turn, marked so that the model can tell."""
    if isinstance(message.content, str):
        return f"<system-reminder>\n{message.content}\n</system-reminder>"
    return _marked(_system_blocks(message, path, target))


def _marked(blocks: Sequence[Object]) -> list[Object]:
    return [
        {**block, "text": f"<system-reminder>\n{block['text']}\n</system-reminder>"} if "text" in block else block
        for block in blocks
    ]


class _Arranger:
    """Writes turns in the order the API demands."""

    def __init__(self, target: Target, rest: Sequence[tuple[int, Message]]) -> None:
        self._target = target
        self._rest = rest
        self._turns: list[_Turn] = []
        self._used: set[str] = set()
        """Call ids already given out."""
        self._done: set[tuple[int, int]] = set()
        """Results that stand in their turn already, by message and part."""

    def run(self) -> list[_Turn]:
        for place, (index, message) in enumerate(self._rest):
            path = self._target.paths[index]
            if message.extra or message.name is not None:
                self._leftovers(message, path)
            if message.role in _SYSTEM:
                self._add("system", self._plain(message, path), index, path)
            elif message.role == "assistant":
                self._assistant(place, index, message, path)
            else:
                self._user(index, message, path)
        return self._turns

    def _leftovers(self, message: Message, path: str) -> None:
        target = self._target
        if message.name is not None and message.role != "tool":
            target.lose(f"{path}.name", "messages have no author name")
        target.losses.extend(foreign_extra(message.extra, target.request.dialect, NAME, path=path))

    def _add(self, role: str, content: str | list[Object], index: int, path: str) -> None:
        if not content:
            return
        last = self._turns[-1] if self._turns else None
        if last is not None and last.source == index and last.role == role and isinstance(last.content, list):
            last.content.extend(_as_blocks(content))
        else:
            self._turns.append(_Turn(role, content, index, path))

    def _plain(self, message: Message, path: str) -> str | list[Object]:
        if isinstance(message.content, str):
            return message.content
        return _system_blocks(message, path, self._target)

    def _user(self, index: int, message: Message, path: str) -> None:
        if isinstance(message.content, str) and message.role == "user":
            self._add("user", message.content, index, path)
            return
        blocks: list[Object] = []
        for number, part in enumerate(message.parts):
            if isinstance(part, ToolResultPart):
                if (index, number) in self._done:
                    continue
                if part.kind in ("function", "custom"):
                    blocks.extend(self._orphan(part, f"{path}.content[{number}]"))
                    continue
            block = encode_part(part, f"{path}.content[{number}]", self._target)
            if block is not None:
                blocks.append(block)
        self._add("user", blocks, index, path)

    def _orphan(self, part: ToolResultPart, path: str) -> list[Object]:
        """A result without its call, which the API refuses, as text that the model can still read."""
        self._target.lose(path, f"the result of call {part.call_id!r}, which is not there, became text")
        named = f" of {part.name}" if part.name else ""
        content = encode_result(part, part.call_id, path, self._target)
        inner = content.get("content") if content is not None else None
        head: Object = {"type": "text", "text": f"Result{named} (call {part.call_id}):"}
        return [head, *_as_blocks(cast("str | list[Object]", inner))] if inner else [head]

    def _assistant(self, place: int, index: int, message: Message, path: str) -> None:
        target = self._target
        if isinstance(message.content, str):
            self._add("assistant", message.content, index, path)
            return
        blocks: list[Object] = []
        ids: dict[str, str] = {}
        for number, part in enumerate(message.parts):
            here = f"{path}.content[{number}]"
            if isinstance(part, ToolCallPart) and part.kind in ("function", "custom"):
                ids[part.call_id] = wire = self._unique(part.call_id)
                block = encode_call(part, wire, here, target)
            elif isinstance(part, MediaPart):
                target.lose(here, f"{part.kind} in an assistant turn", "content")
                block = None
            else:
                block = encode_part(part, here, target)
            if block is not None:
                blocks.append(block)
        self._add("assistant", blocks, index, path)
        if ids:
            self._results(place, ids, index, path)

    def _unique(self, call_id: str) -> str:
        wire = legal_call_id(call_id)
        number = 2
        while wire in self._used:
            wire = legal_call_id(f"{call_id}_{number}")
            number += 1
        self._used.add(wire)
        return wire

    def _results(self, place: int, ids: dict[str, str], index: int, path: str) -> None:
        """The turn after a turn with calls: one result for each, and only then the rest."""
        target = self._target
        missing = dict(ids)
        results: list[Object] = []
        moved: list[Object] = []
        source = index
        for at in range(place + 1, len(self._rest)):
            if not missing:
                break
            later, message = self._rest[at]
            if message.role == "assistant":
                # The id is used anew: what follows answers the later call.
                for call in message.tool_calls:
                    if call.call_id in missing:
                        self._stand_in(missing.pop(call.call_id), results, path)
                continue
            here = target.paths[later]
            for number, part in enumerate(message.parts):
                if not isinstance(part, ToolResultPart) or part.call_id not in missing or (later, number) in self._done:
                    continue
                self._done.add((later, number))
                source = later
                where = f"{here}.content[{number}]"
                block = encode_result(part, missing.pop(part.call_id), where, target)
                if block is not None:
                    moved += self._media(block, where)
                    results.append(block)
        for wire in missing.values():
            self._stand_in(wire, results, path)
        self._turns.append(_Turn("user", [*results, *moved], source, path))

    def _stand_in(self, wire: str, results: list[Object], path: str) -> None:
        self._target.lose(path, f"call {wire!r} has no result; a note that there is none stands in")
        note = "No result was recorded for this call."
        results.append({"type": "tool_result", "tool_use_id": wire, "content": note, "is_error": True})

    def _media(self, block: Object, path: str) -> list[Object]:
        """Media of a result that the target takes only outside of it."""
        content = block.get("content")
        if not isinstance(content, list) or self._target.profile.tool_result_media:
            return []
        inner = cast("list[Object]", content)
        media = [item for item in inner if item.get("type") in ("image", "document")]
        if media:
            self._target.lose(path, "media of a tool result moved behind the results")
            block["content"] = [item for item in inner if item not in media] or "See the media below."
        return media


def _as_blocks(content: str | list[Object]) -> list[Object]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _placed(turns: Sequence[_Turn], target: Target) -> list[_Turn]:
    """System turns joined, and made reminders where they may not stand."""
    joined: list[_Turn] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if turn.role == "system" and last is not None and last.role == "system":
            last.content = [*_as_blocks(last.content), *_as_blocks(turn.content)]
        else:
            joined.append(turn)
    for number, turn in enumerate(joined):
        if turn.role != "system":
            continue
        before = joined[number - 1].role if number else None
        after = joined[number + 1].role if number + 1 < len(joined) else "assistant"
        if target.profile.mid_system == "native" and before == "user" and after == "assistant":
            continue
        turn.role = "user"
        if isinstance(turn.content, str):
            turn.content = f"<system-reminder>\n{turn.content}\n</system-reminder>"
        else:
            turn.content = _marked(turn.content)
    return joined


def _system_only(system: str | list[Object], target: Target) -> Turns:
    """The API wants a user turn, so the last piece of system text becomes it."""
    target.lose("messages", "there is only system text; the last of it became the user turn")
    if isinstance(system, str):
        return Turns(None, [{"role": "user", "content": system}])
    return Turns(system[:-1] or None, [{"role": "user", "content": system[-1:]}])


def _check_prefill(turns: list[_Turn], target: Target) -> None:
    """A last turn of the assistant is continued, if the model does that at all."""
    if not turns or turns[-1].role != "assistant":
        return
    last = turns[-1]
    blocks = _as_blocks(last.content)
    if blocks[-1].get("type") != "text":
        return
    if not target.profile.prefill:
        target.lose(last.path, "the start of an answer, which the target does not continue", "content")
        turns.pop()
        return
    # The API refuses a last text that ends in white space.
    trimmed = str(blocks[-1]["text"]).rstrip()
    if isinstance(last.content, str):
        last.content = trimmed
    elif trimmed:
        last.content[-1] = {**blocks[-1], "text": trimmed}
    else:
        last.content.pop()
    if not last.content:
        turns.pop()
