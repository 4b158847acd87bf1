"""`ChatRequest` → Gemini requests.

A request that came in this dialect goes out as it came (`same`). Any other is fitted to the target's
profile: leading system text becomes `systemInstruction`, turns of one role become one content, results
stand in the order of their calls, and each thing left behind is a loss.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from execution_platform import _json
from execution_platform.dialects.base import Encoded
from execution_platform.dialects.gemini.request_parts import RequestParts, name_map
from execution_platform.dialects.gemini.settings_encode import SettingsWriter
from execution_platform.dialects.gemini.tools import ToolWriter
from execution_platform.dialects.gemini.wire import NAME, resource
from execution_platform.dialects.losses import dropped, foreign_extra
from execution_platform.dialects.take import Object, merged
from execution_platform.spi.loss import Loss
from execution_platform.spi.messages import Message
from execution_platform.spi.parts import ToolResultPart
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest

_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE: Final = re.compile(r"[a-z0-9_-]{0,63}")
_TIERS: Final[Mapping[str, str]] = {
    "auto": "standard",
    "default": "standard",
    "standard": "standard",
    "standard_only": "standard",
    "flex": "flex",
    "priority": "priority",
}


def encode_request(request: ChatRequest, profile: ModelProfile) -> Encoded:
    """A request body for the target `profile` describes."""
    same = request.dialect == NAME
    declared = [tool.name for tool in request.tools or () if tool.kind in ("function", "custom")]
    names = name_map(declared, profile.tool_name_max)
    parts = RequestParts(profile, names, same=same)
    contents = Contents(parts, profile, request.dialect)
    contents.add(request.messages)
    tools = ToolWriter(profile, names, same=same)
    settings = SettingsWriter(request, profile)
    wire = contents.wire()
    if request.tools or (same and request.tools is not None):
        written = tools.tools(request.tools)
        if written or same:
            wire["tools"] = written
    if request.tool_choice is not None and (same or "tools" in wire):
        calling = tools.choice(request.tool_choice)
        if calling is not None:
            wire["toolConfig"] = {"functionCallingConfig": calling}
    config = settings.config()
    if config:
        wire["generationConfig"] = config
    losses = [*parts.losses, *tools.losses, *settings.losses, *_around(request, wire)]
    if same:
        wire = merged(wire, request.extra)
        if "model" in request.extra:
            wire["model"] = resource(request.model or "")
    for target in (NAME, parts.provider):
        if target is not None and target in request.provider_options:
            wire = _overlaid(wire, request.provider_options[target])
    return Encoded(_json.dumps(wire), tuple(losses), tool_names=names.declared)


def _overlaid(wire: Object, options: Mapping[str, object]) -> Object:
    """The body with the caller's own words for this target, which win."""
    out = dict(wire)
    for name, value in options.items():
        have = out.get(name)
        if isinstance(have, dict) and isinstance(value, Mapping):
            out[name] = _overlaid(cast("Object", have), cast("Mapping[str, object]", value))
        else:
            out[name] = value
    return out


def _around(request: ChatRequest, wire: Object) -> list[Loss]:
    """The settings beside `generationConfig`."""
    same = request.dialect == NAME
    losses = dropped(request, ("logit_bias", "speed", "region"))
    losses += _service(request, wire, same=same)
    cache = request.cache
    if cache is not None:
        if cache.cached_content is not None and same:
            wire["cachedContent"] = cache.cached_content
        names = ("key", "retention", "mode", "mark") if same else ("key", "retention", "mode", "mark", "cached_content")
        losses += _unsaid(cache, "cache", names)
    safety = request.safety
    if safety is not None:
        if safety.settings is not None and same:
            wire["safetySettings"] = safety.settings
        names = ("identifier", "user", "moderation") if same else ("settings", "identifier", "user", "moderation")
        losses += _unsaid(safety, "safety", names)
    losses += _continued(request, wire, same=same)
    return losses + foreign_extra(request.extra, request.dialect, NAME)


def _unsaid(value: object, path: str, names: tuple[str, ...]) -> list[Loss]:
    return [
        Loss(f"{path}.{name}", "the target has no such setting", "knob")
        for name in names
        if getattr(value, name) is not None
    ]


def _service(request: ChatRequest, wire: Object, *, same: bool) -> list[Loss]:
    losses: list[Loss] = []
    tier = request.service_tier
    if tier is not None:
        known = tier if same else _TIERS.get(tier)
        if known is None:
            losses.append(Loss("service_tier", f"the target has no tier {tier!r}", "knob"))
        elif same or known != "standard":
            wire["serviceTier"] = known
    labels = request.metadata
    if labels is not None and (same or all(_is_label(name, value) for name, value in labels.items())):
        if labels or same:
            wire["labels"] = dict(labels)
    elif labels is not None:
        losses.append(Loss("metadata", "the target takes short lower-case labels only", "knob"))
    return losses


def _is_label(name: str, value: object) -> bool:
    return isinstance(value, str) and bool(_LABEL.fullmatch(name)) and bool(_LABEL_VALUE.fullmatch(value))


def _continued(request: ChatRequest, wire: Object, *, same: bool) -> list[Loss]:
    """State at the provider: there is none here but `store`."""
    state = request.continuation
    if state is None:
        return []
    losses = [
        Loss(f"continuation.{name}", "the target keeps no such state", "content")
        for name in ("previous_id", "conversation", "container")
        if getattr(state, name) is not None
    ]
    if state.background:
        losses.append(Loss("continuation.background", "the target answers at once only", "content"))
    losses += _unsaid(state, "continuation", ("truncation", "context_management"))
    if state.store is not None and same:
        wire["store"] = state.store
    elif state.store:
        losses.append(Loss("continuation.store", "the target stores nothing", "knob"))
    return losses


class Contents:
    """Turns: `systemInstruction` and `contents`."""

    def __init__(self, parts: RequestParts, profile: ModelProfile, dialect: str | None) -> None:
        self.parts, self.profile, self.dialect = parts, profile, dialect
        self.same = parts.same
        self.system: Object | None = None
        self.turns: list[Object] = []
        self._results_open = False
        """The last turn holds results of a tool run that may go on."""

    def add(self, messages: Sequence[Message]) -> None:
        """Write the messages in order."""
        leading = True
        for index, message in enumerate(messages):
            path = f"messages[{index}]"
            if message.role in ("system", "developer"):
                self._system(message, path, leading=leading)
            else:
                leading = False
                self._turn(message, path)
        if not self.turns and self.system is not None and not self.same:
            # The target refuses a request without a turn; the only text there is stands in it.
            self.parts.lose("messages", "system text alone is sent as a user turn")
            self.turns, self.system = [{"role": "user", "parts": self.system["parts"]}], None
        last = self.turns[-1] if self.turns else {}
        if last.get("role") == "model" and not self.profile.prefill and not self.same:
            self.parts.lose(f"messages[{len(messages) - 1}]", "this model does not continue an answer", "content")

    def wire(self) -> Object:
        """The body so far."""
        if self.system is None:
            return {"contents": self.turns}
        return {"systemInstruction": self.system, "contents": self.turns}

    def _written(self, message: Message, path: str) -> list[Object]:
        if message.name is not None and message.role != "tool":
            self.parts.lose(f"{path}.name", "the target has no names of speakers")
        if not self.same:
            self.parts.losses += foreign_extra(message.extra, self.dialect, NAME, path=path)
        return [
            wire
            for index, part in enumerate(message.parts)
            for wire in self.parts.write(part, f"{path}.content[{index}]")
        ]

    def _system(self, message: Message, path: str, *, leading: bool) -> None:
        written = self._written(message, path)
        if self.same and message.placement == "inline" and message.wire_role:
            self.turns.append(self._content(message, written, message.wire_role))
            return
        if not (leading or message.placement == "top") or not self.profile.system_prompts:
            self._reminder(written)
            return
        if self.system is None:
            self.system = self._content(message, written, "")
        else:
            self.system = {**self.system, "parts": [*cast("list[Object]", self.system["parts"]), *written]}
        if not self.system.get("parts") and not self.same:
            self.system = None

    def _reminder(self, written: list[Object]) -> None:
        """System text where only turns may stand."""
        for wire in written:
            if isinstance(wire.get("text"), str):
                wire["text"] = f"<system-reminder>\n{wire['text']}\n</system-reminder>"
        if written:
            self._join("user", written)

    def _turn(self, message: Message, path: str) -> None:
        written = self._written(message, path)
        role = "model" if message.role == "assistant" else "user"
        if self.same and not (message.role == "tool" and message.wire_role is None):
            self.turns.append(self._content(message, written, role))
            self._results_open = False
            return
        if role == "user":
            written = self._in_order(written, message)
        else:
            self._sign_first_call(written)
        if written:
            self._join(role, written, results=message.role == "tool")

    def _sign_first_call(self, written: list[Object]) -> None:
        """Models that demand a signature on a turn's first call take a placeholder for calls of other models.

        Source: ai.google.dev/gemini-api/docs/thought-signatures (2026-11).
        """
        placeholder = self.profile.extra.get("signature_placeholder")
        calls = [wire for wire in written if "functionCall" in wire]
        if isinstance(placeholder, str) and calls and not any("thoughtSignature" in wire for wire in calls):
            calls[0]["thoughtSignature"] = placeholder

    def _content(self, message: Message, written: list[Object], role: str) -> Object:
        word = role if message.wire_role is None or not self.same else message.wire_role
        content: Object = {} if self.same and "parts" in message.extra and not written else {"parts": written}
        if word:
            content["role"] = word
        if not self.same:
            return content
        return merged(content, {name: value for name, value in message.extra.items() if name != "parts" or value})

    def _in_order(self, written: list[Object], message: Message) -> list[Object]:
        """Results first; what media they had stands behind them."""
        moved, self.parts.moved = self.parts.moved, []
        if not any(isinstance(part, ToolResultPart) for part in message.parts):
            return written
        results = [wire for wire in written if "functionResponse" in wire]
        return [*results, *moved, *(wire for wire in written if "functionResponse" not in wire)]

    def _join(self, role: str, written: list[Object], *, results: bool = False) -> None:
        """Add to the last turn if it is the same speaker's, else begin one."""
        last = self.turns[-1] if self.turns else None
        may_join = last is not None and last.get("role") == role and (not self.same or (results and self._results_open))
        if may_join and last is not None:
            last["parts"] = self._arranged([*cast("list[Object]", last["parts"]), *written])
        else:
            self.turns.append({"role": role, "parts": self._arranged(written) if role == "user" else written})
        self._results_open = results

    def _arranged(self, parts: list[Object]) -> list[Object]:
        """Results in the order of their calls, before everything else: the target pairs them by order."""
        results = [part for part in parts if "functionResponse" in part]
        if not results:
            return parts
        others = [part for part in parts if "functionResponse" not in part]
        return [*self._sorted(results), *others]

    def _sorted(self, results: list[Object]) -> list[Object]:
        order = self._call_order()
        known: dict[int, int] = {}
        for result in results:
            key = _key(result, "functionResponse")
            places = [place for place, call in enumerate(order) if call == key and place not in known.values()]
            known[id(result)] = places[0] if places else len(order)
        return sorted(results, key=lambda result: known[id(result)])

    def _call_order(self) -> list[tuple[object, object]]:
        for turn in reversed(self.turns):
            if turn.get("role") == "model":
                parts = cast("list[Object]", turn["parts"])
                return [_key(part, "functionCall") for part in parts if "functionCall" in part]
        return []


def _key(part: Object, name: str) -> tuple[object, object]:
    inner = cast("Object", part[name])
    return inner.get("id"), inner.get("name")
