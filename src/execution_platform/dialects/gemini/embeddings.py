"""Embeddings: `embedContent` (one text) and `batchEmbedContents` (many).

Source: ai.google.dev API reference "Embeddings", google-genai 3.4 `_EmbedContentParametersPrivate_to_mldev` (2026-11).
The batch form serves any number of texts, so it is the one that is sent upstream.
"""

from collections.abc import Mapping
from typing import Final, cast

from execution_platform import _json
from execution_platform.dialects.base import Encoded
from execution_platform.dialects.gemini.errors import error_in_answer
from execution_platform.dialects.gemini.usage import decode_usage
from execution_platform.dialects.gemini.wire import (
    NAME,
    answer_object,
    bad_answer,
    bare,
    camel,
    items_of,
    mapping,
    objects,
    parse,
    resource,
)
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.take import Object, Taker, as_list, as_object
from execution_platform.exceptions import InvalidRequest
from execution_platform.spi.loss import Loss
from execution_platform.spi.request import EmbeddingsRequest
from execution_platform.spi.response import EmbeddingsResponse

_SINGLE: Final = "embedContent"
"""Marks a request of the single form in `extra`; its value is null, because nothing is lost without it."""
_EACH: Final = "requests"
"""In `extra`: the settings of each request of a batch, where they are not the same for all."""


class Embeddings:
    """`dialects.base.EmbeddingsCodec` for this dialect."""

    def path(self, model: str) -> str:
        """Path below the provider's base URL."""
        return f"/{resource(model)}:batchEmbedContents"

    def decode_request(self, body: bytes, *, model: str | None = None) -> EmbeddingsRequest:
        """Either form. Raises `InvalidRequest`."""
        take = Taker(parse(body))
        batch = take.list("requests")
        if batch is None:
            single = _Item(take)
            return _request([single], {**single.rest, _SINGLE: None}, model)
        items = [
            _Item(Taker(camel(as_object(item, f"requests[{place}]")), f"requests[{place}]"))
            for place, item in enumerate(batch)
        ]
        if not items:
            raise InvalidRequest("requests: give one request at least", param="requests")
        return _request(items, take.rest, model)

    def encode_request(self, request: EmbeddingsRequest) -> Encoded:
        """The batch form."""
        name = resource(request.model or "")
        same = request.dialect == NAME
        each = items_of(request.extra.get(_EACH)) if same else []
        known = {"taskType": request.task, "title": request.title, "outputDimensionality": request.dimensions}
        shared = {member: value for member, value in known.items() if value is not None}
        requests: list[Object] = []
        for place, text in enumerate(request.inputs):
            if not isinstance(text, str):
                at = f"input[{place}]"
                raise InvalidRequest(f"{at}: this provider embeds text, not token ids; send the text", param=at)
            own = mapping(each[place]) if place < len(each) else None
            requests.append({"model": name, "content": {"parts": [{"text": text}]}, **shared, **(own or {})})
        losses = foreign_extra(request.extra, request.dialect, NAME)
        if request.user is not None:
            losses.append(Loss("user", "the target has no such setting", "knob"))
        return Encoded(_json.dumps({"requests": requests}), tuple(losses))

    def decode_response(self, body: bytes) -> EmbeddingsResponse:
        """Either form. Raises `ProtocolError` or, for an error in a 200, `ProviderError`."""
        wire = camel(answer_object(body))
        if "error" in wire:
            raise error_in_answer(wire)
        single = mapping(wire.get("embedding"))
        if single is None and not isinstance(wire.get("embeddings"), list):
            raise bad_answer("it has neither embedding nor embeddings")
        entries = [single] if single is not None else objects(wire["embeddings"])
        usage = mapping(wire.get("usageMetadata"))
        rest = {name: value for name, value in wire.items() if name not in _ANSWER}
        return EmbeddingsResponse(
            [_vector(entry) for entry in entries],
            usage=None if usage is None else decode_usage(usage),
            extra=rest,
        )

    def encode_response(self, response: EmbeddingsResponse, request: EmbeddingsRequest) -> bytes:
        """The form that `request` had."""
        vectors = [{"values": list(vector)} for vector in response.vectors]
        wire: Object = {"embeddings": vectors}
        if request.dialect == NAME and _SINGLE in request.extra and vectors:
            wire = {"embedding": vectors[0]}
        if response.usage is not None and response.usage.input_tokens is not None:
            wire["usageMetadata"] = {"promptTokenCount": response.usage.input_tokens}
        return _json.dumps(wire)


_ANSWER: Final = frozenset({"embedding", "embeddings", "usageMetadata"})


class _Item:
    """One text with its settings."""

    __slots__ = ("model", "rest", "settings", "text")

    def __init__(self, take: Taker) -> None:
        self.model = take.str("model")
        self.text = _text(take)
        config = take.object("embedContentConfig")
        source = take if config is None else Taker(camel(config), take.at("embedContentConfig"))
        known = {
            "taskType": source.str("taskType"),
            "title": source.str("title"),
            "outputDimensionality": source.int("outputDimensionality"),
        }
        self.settings: Object = {name: value for name, value in known.items() if value is not None}
        self.rest: Object = take.rest if config is None else {**source.rest, **take.rest}


def _text(take: Taker) -> str:
    """The text of a content; other media have no vector here."""
    content = take.any("content")
    path = take.at("content")
    if content is None:
        raise InvalidRequest(f"{path}: required member is missing", param=path)
    if isinstance(content, str):
        return content
    parts = camel(as_object(content, path)).get("parts")
    items = [cast("object", parts)] if isinstance(parts, Mapping) else as_list(parts, f"{path}.parts")
    texts: list[str] = []
    for place, item in enumerate(items):
        at = f"{path}.parts[{place}]"
        text = as_object(item, at).get("text")
        if not isinstance(text, str):
            raise InvalidRequest(f"{at}: only text can be embedded; leave other parts out", param=at)
        texts.append(text)
    return "\n".join(texts)


def _request(items: list[_Item], extra: Object, model: str | None) -> EmbeddingsRequest:
    first = items[0]
    alike = all(item.settings == first.settings and not item.rest for item in items)
    settings = first.settings if alike or len(items) == 1 else {}
    if not alike and len(items) > 1:
        extra = {**extra, _EACH: [{**item.settings, **item.rest} for item in items]}
    return EmbeddingsRequest(
        [item.text for item in items],
        bare(model or first.model or "") or None,
        dimensions=cast("int | None", settings.get("outputDimensionality")),
        task=cast("str | None", settings.get("taskType")),
        title=cast("str | None", settings.get("title")),
        dialect=NAME,
        extra=extra,
    )


def _vector(entry: Object) -> list[float]:
    values = entry.get("values")
    if not isinstance(values, list):
        raise bad_answer("an embedding has no values")
    numbers = cast("list[object]", values)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
        raise bad_answer("an embedding holds something that is no number")
    return cast("list[float]", numbers)
