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
from execution_platform.dialects.anthropic.plain import CALLS_ALONE, call_block, result_block, text_block
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
    arranger = _Arranger(target, rest)
    arranger.run()
    turns = _placed(arranger.turns, target) if arranger.has_system else arranger.turns
    if not turns and system is not None:
        return _system_only(system, target)
    if turns:
        _check_prefill(turns, arranger.sources[-1], target)
    return Turns(system, turns)


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
    """Writes turns in the order the API demands.

    An agent's request has thousands of parts of which nothing is lost, so where a part stood is put into words only for those
    that are not plain.
    """

    def __init__(self, target: Target, rest: Sequence[tuple[int, Message]]) -> None:
        self.turns: list[Object] = []
        self.sources: list[int] = []
        """The message that each turn was made of."""
        self.has_system = False
        self._target = target
        self._rest = rest
        self._used: set[str] = set()
        """Call ids already given out."""
        self._done: set[tuple[int, int]] = set()
        """Results that stand in their turn already, by message and part."""
        self._spent: set[int] = set()
        """Messages of one such result and nothing else."""

    def run(self) -> None:
        for place, (index, message) in enumerate(self._rest):
            extra, role = message.extra, message.role
            if (extra and extra != CALLS_ALONE) or message.name is not None:
                self._leftovers(message, self._target.paths[index])
            if role == "assistant":
                self._assistant(place, index, message)
            elif role in _SYSTEM:
                self.has_system = True
                self._add("system", self._plain(message, index), index)
            elif index not in self._spent:
                self._user(index, message)

    def _leftovers(self, message: Message, path: str) -> None:
        target = self._target
        if message.name is not None and message.role != "tool":
            target.lose(f"{path}.name", "messages have no author name")
        target.losses.extend(foreign_extra(message.extra, target.request.dialect, NAME, path=path))

    def _add(self, role: str, content: str | list[Object], index: int) -> None:
        if not content:
            return
        turns = self.turns
        if turns and self.sources[-1] == index and turns[-1]["role"] == role:
            before = turns[-1]["content"]
            if isinstance(before, list):
                cast("list[Object]", before).extend(_as_blocks(content))
                return
        turns.append({"role": role, "content": content})
        self.sources.append(index)

    def _plain(self, message: Message, index: int) -> str | list[Object]:
        if isinstance(message.content, str):
            return message.content
        return _system_blocks(message, self._target.paths[index], self._target)

    def _where(self, index: int, number: int) -> str:
        return f"{self._target.paths[index]}.content[{number}]"

    def _user(self, index: int, message: Message) -> None:
        if isinstance(message.content, str) and message.role == "user":
            self._add("user", message.content, index)
            return
        blocks: list[Object] = []
        for number, part in enumerate(message.parts):
            block = text_block(part)
            if block is None:
                if isinstance(part, ToolResultPart):
                    if (index, number) in self._done:
                        continue
                    if part.kind in ("function", "custom"):
                        blocks.extend(self._orphan(part, self._where(index, number)))
                        continue
                block = encode_part(part, self._where(index, number), self._target)
            if block is not None:
                blocks.append(block)
        self._add("user", blocks, index)

    def _orphan(self, part: ToolResultPart, path: str) -> list[Object]:
        """A result without its call, which the API refuses, as text that the model can still read."""
        self._target.lose(path, f"the result of call {part.call_id!r}, which is not there, became text")
        named = f" of {part.name}" if part.name else ""
        content = encode_result(part, part.call_id, path, self._target)
        inner = content.get("content") if content is not None else None
        head: Object = {"type": "text", "text": f"Result{named} (call {part.call_id}):"}
        return [head, *_as_blocks(cast("str | list[Object]", inner))] if inner else [head]

    def _assistant(self, place: int, index: int, message: Message) -> None:
        if isinstance(message.content, str):
            self._add("assistant", message.content, index)
            return
        blocks: list[Object] = []
        ids: dict[str, str] = {}
        for number, part in enumerate(message.parts):
            block = text_block(part)
            if block is None:
                block = self._said(part, index, number, ids)
            if block is not None:
                blocks.append(block)
        self._add("assistant", blocks, index)
        if ids:
            self._results(place, ids, index)

    def _said(self, part: Part, index: int, number: int, ids: dict[str, str]) -> Object | None:
        """A part of an assistant turn that is no plain text; `ids` are those of its calls so far."""
        target = self._target
        if isinstance(part, ToolCallPart) and part.kind in ("function", "custom"):
            ids[part.call_id] = wire = self._unique(part.call_id)
            return call_block(part, wire, target.names) or encode_call(part, wire, self._where(index, number), target)
        if isinstance(part, MediaPart):
            target.lose(self._where(index, number), f"{part.kind} in an assistant turn", "content")
            return None
        return encode_part(part, self._where(index, number), target)

    def _unique(self, call_id: str) -> str:
        wire = legal_call_id(call_id)
        number = 2
        while wire in self._used:
            wire = legal_call_id(f"{call_id}_{number}")
            number += 1
        self._used.add(wire)
        return wire

    def _results(self, place: int, missing: dict[str, str], index: int) -> None:
        """The turn after a turn with calls, of which all are missing yet: one result for each, and only then the rest."""
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
                        self._stand_in(missing.pop(call.call_id), results, index)
                continue
            if later not in self._spent and self._answers(later, message.parts, missing, results=results, moved=moved):
                source = later
        for wire in missing.values():
            self._stand_in(wire, results, index)
        self.turns.append({"role": "user", "content": [*results, *moved]})
        self.sources.append(source)

    def _answers(
        self, index: int, parts: Sequence[Part], missing: dict[str, str], *, results: list[Object], moved: list[Object]
    ) -> bool:
        """Take the results of missing calls out of a message; whether there was one."""
        found = False
        for number, part in enumerate(parts):
            if not isinstance(part, ToolResultPart) or part.call_id not in missing or (index, number) in self._done:
                continue
            if len(parts) == 1:
                self._spent.add(index)
            else:
                self._done.add((index, number))
            found = True
            wire = missing.pop(part.call_id)
            block = result_block(part, wire) or self._result(part, wire, (index, number), moved)
            if block is not None:
                results.append(block)
        return found

    def _result(self, part: ToolResultPart, call_id: str, at: tuple[int, int], moved: list[Object]) -> Object | None:
        """A result that is not plain; `moved` gets media that the target takes only outside of it."""
        path = self._where(*at)
        block = encode_result(part, call_id, path, self._target)
        if block is not None:
            moved += self._media(block, path)
        return block

    def _stand_in(self, wire: str, results: list[Object], index: int) -> None:
        what = f"call {wire!r} has no result; a note that there is none stands in"
        self._target.lose(self._target.paths[index], what)
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


def _content(turn: Object) -> str | list[Object]:
    return cast("str | list[Object]", turn["content"])


def _placed(turns: Sequence[Object], target: Target) -> list[Object]:
    """System turns joined, and made reminders where they may not stand."""
    joined: list[Object] = []
    for turn in turns:
        last = joined[-1] if joined else None
        if turn["role"] == "system" and last is not None and last["role"] == "system":
            last["content"] = [*_as_blocks(_content(last)), *_as_blocks(_content(turn))]
        else:
            joined.append(turn)
    for number, turn in enumerate(joined):
        if turn["role"] != "system":
            continue
        before = joined[number - 1]["role"] if number else None
        after = joined[number + 1]["role"] if number + 1 < len(joined) else "assistant"
        if target.profile.mid_system == "native" and before == "user" and after == "assistant":
            continue
        content = _content(turn)
        turn["role"] = "user"
        if isinstance(content, str):
            turn["content"] = f"<system-reminder>\n{content}\n</system-reminder>"
        else:
            turn["content"] = _marked(content)
    return joined


def _system_only(system: str | list[Object], target: Target) -> Turns:
    """The API wants a user turn, so the last piece of system text becomes it."""
    target.lose("messages", "there is only system text; the last of it became the user turn")
    if isinstance(system, str):
        return Turns(None, [{"role": "user", "content": system}])
    return Turns(system[:-1] or None, [{"role": "user", "content": system[-1:]}])


def _check_prefill(turns: list[Object], source: int, target: Target) -> None:
    """A last turn of the assistant, which message `source` made, is continued, if the model does that at all."""
    last = turns[-1]
    if last["role"] != "assistant":
        return
    content = _content(last)
    text = content if isinstance(content, str) else content[-1].get("text", "")
    if not isinstance(content, str) and content[-1].get("type") != "text":
        return
    if not target.profile.prefill:
        path = target.paths[source]
        target.lose(path, "the start of an answer, which the target does not continue", "content")
        turns.pop()
        return
    # The API refuses a last text that ends in white space.
    trimmed = str(text).rstrip()
    if isinstance(content, str):
        last["content"] = trimmed
    elif trimmed:
        content[-1] = {**content[-1], "text": trimmed}
    else:
        content.pop()
    if not last["content"]:
        turns.pop()
