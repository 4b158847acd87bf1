"""Parts of a request to a Gemini provider."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from execution_platform.dialects.envelope import is_home
from execution_platform.dialects.gemini.calls import wire_id
from execution_platform.dialects.gemini.parts_encode import PartWriter
from execution_platform.dialects.gemini.wire import NAME, mapping
from execution_platform.dialects.take import Object
from execution_platform.dialects.toolnames import NameMap
from execution_platform.spi.parts import (
    MediaPart,
    Signature,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    Url,
)
from execution_platform.spi.profile import ModelProfile

_FETCHED: Final = re.compile(r"gs://|https?://(www\.|m\.)?(youtube\.com|youtu\.be)/")
"""What every model fetches itself, whatever its profile says of other URLs."""


class RequestParts(PartWriter):
    """Signatures go home or nowhere; what the model cannot take is a loss."""

    def __init__(self, profile: ModelProfile, names: NameMap, *, same: bool) -> None:
        super().__init__(same=same)
        self.profile = profile
        self.names = names
        provider = profile.extra.get("provider")
        self.provider = provider if isinstance(provider, str) else None
        self.called: dict[str, str] = {}
        """Ids of the calls so far, in order, with their names."""
        self.moved: list[Object] = []
        """Media of tool results, which this model takes only outside of them."""

    def tool_name(self, name: str) -> str:
        """The name as sent."""
        return name if self.same else wire_name(name, self.names)

    def token(self, signature: Signature, path: str, item_id: str | None) -> str | None:
        """The token where its issuer is the target, else a loss."""
        del item_id
        if is_home(signature, NAME, self.provider):
            return signature.value
        self.lose(f"{path}.signature", "a token only its issuer can read", "opaque")
        return None

    def takes_url(self, part: MediaPart) -> bool:
        """Whether the provider fetches this URL."""
        source = part.source
        return part.kind in self.profile.url_media or (isinstance(source, Url) and bool(_FETCHED.match(source.url)))

    def text(self, part: TextPart, path: str) -> list[Object]:
        """Text; the model gets no citations."""
        if part.citations:
            self.lose(f"{path}.citations", "the target takes no citations back", "opaque")
        return super().text(part, path)

    def thinking(self, part: ThinkingPart, path: str) -> list[Object]:
        """A thought goes back as it was; one of another provider as the profile says."""
        signature = part.signature
        if signature is None:
            at_home = self.same
        else:
            at_home = is_home(signature, NAME, self.provider)
        if at_home:
            return super().thinking(part, path)
        if signature is not None:
            self.lose(f"{path}.signature", "a token only its issuer can read", "opaque")
        text = part.text or "\n\n".join(part.summary)
        match self.profile.thinking_replay:
            case _ if not text:
                return []
            case "native":
                return [{"text": text, "thought": True}]
            case "tags":
                return [{"text": f"<thinking>\n{text}\n</thinking>"}]
            case _:
                self.lose(path, "earlier thinking is not sent to this model", "opaque")
                return []

    def call(self, part: ToolCallPart, path: str) -> list[Object]:
        """A call, remembered for its result."""
        self.called[part.call_id] = part.name
        return super().call(part, path)

    def function_result(self, part: ToolResultPart, path: str) -> list[Object]:
        """A function's result, under the name of its function."""
        wire: Object = {}
        if not (self.same and part.name is None and part.id is not None):
            wire["name"] = self._called_name(part, path)
        response = self._response(part)
        if response is not None:
            wire["response"] = response
        identity = (part.id or None) if self.same and part.id is not None else wire_id(part.call_id)
        if identity is not None:
            wire["id"] = identity
        media = self._media(part, path)
        if media:
            wire["parts"] = media
        return [self.dressed({"functionResponse": wire}, replace(part, id=None), path)]

    def _called_name(self, part: ToolResultPart, path: str) -> str:
        name = part.name or self.called.get(part.call_id)
        if name is None:
            self.lose(f"{path}.name", "the call that this result answers is not in the conversation")
            name = part.call_id or "unknown"
        return self.tool_name(name)

    def _response(self, part: ToolResultPart) -> object:
        raw = mapping(part.raw) if self.same else None
        if raw is not None:
            return raw
        texts = [inner.text for inner in part.parts if isinstance(inner, TextPart)]
        if self.same and part.raw is None and not texts and part.id is not None:
            return None
        said: object = texts[0] if len(texts) == 1 else texts or ""
        return {"error" if part.is_error else "output": said}

    def _media(self, part: ToolResultPart, path: str) -> list[Object]:
        """What of a result is not text: inside it where the model takes it there, else moved behind it."""
        inside = self.same or self.profile.tool_result_media
        found: list[Object] = []
        for index, inner in enumerate(part.parts):
            if isinstance(inner, TextPart):
                continue
            wires = self.write(inner, f"{path}.parts[{index}]")
            fits = [wire for wire in wires if inside and (self.same or "inlineData" in wire or "fileData" in wire)]
            found.extend(fits)
            self.moved.extend(wire for wire in wires if wire not in fits)
        return found


_LEGAL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")


def wire_name(name: str, names: NameMap) -> str:
    """A tool's name as this API takes it: letters, digits and `_ . : -`, 64 at most."""
    return name if _LEGAL.fullmatch(name) else names(name)


def name_map(declared: Sequence[str], limit: int) -> NameMap:
    """The names to be changed, without those that are legal here."""
    names = NameMap(limit=min(limit, 64))
    names.sent.update({name: name for name in declared if _LEGAL.fullmatch(name)})
    return names.add(declared)
