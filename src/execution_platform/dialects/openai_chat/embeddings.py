"""Embeddings (POST /embeddings).

Source: openai SDK 3.52 `types/embedding_create_params.py`, `create_embedding_response.py` (read 2026-11). The SDK asks for `base64`, which is
little-endian float32; both forms are read, and written as the caller asked.
"""

import base64
import binascii
from array import array
from collections.abc import Sequence
from sys import byteorder
from typing import cast

from execution_platform import _json
from execution_platform.dialects import openai_errors
from execution_platform.dialects.base import Encoded
from execution_platform.dialects.losses import foreign_extra
from execution_platform.dialects.openai_chat import usage
from execution_platform.dialects.openai_chat.wire import NAME
from execution_platform.dialects.take import Object, Taker, as_list, merged, put, wrong
from execution_platform.exceptions import ErrorKind, InvalidRequest, ProtocolError
from execution_platform.spi.loss import Loss
from execution_platform.spi.request import EmbeddingsRequest
from execution_platform.spi.response import EmbeddingsResponse
from execution_platform.spi.usage import Usage


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _inputs(value: object) -> list[str | Sequence[int]]:
    """One text, one list of token ids, or a list of either."""
    if isinstance(value, str):
        return [value]
    items = as_list(value, "input")
    if not items:
        raise InvalidRequest("input: expected at least one text", param="input")
    if all(_is_token(item) for item in items):
        return [cast("list[int]", items)]
    out: list[str | Sequence[int]] = []
    for index, item in enumerate(items):
        if isinstance(item, list) and all(_is_token(token) for token in cast("list[object]", item)):
            out.append(cast("list[int]", item))
        elif isinstance(item, str):
            out.append(item)
        else:
            raise wrong(f"input[{index}]", "a text or a list of token ids", cast("object", item))
    return out


class Embeddings:
    """The codec."""

    def path(self, model: str) -> str:
        """Path below the provider's base URL, which ends in `/v1`."""
        del model
        return "/embeddings"

    def decode_request(self, body: bytes, *, model: str | None = None) -> EmbeddingsRequest:
        """Wire → canonical."""
        try:
            taker = Taker(_json.loads(body))
        except _json.JsonError as error:
            raise InvalidRequest(error.message) from error
        value, named = taker.any("input"), taker.str("model")
        if value is None:
            raise InvalidRequest("input: required member is missing", param="input")
        form = taker.str("encoding_format")
        if form not in (None, "float", "base64"):
            raise InvalidRequest(f"encoding_format: expected float or base64, got {form!r}", param="encoding_format")
        return EmbeddingsRequest(
            _inputs(value),
            model if model is not None else named,
            dimensions=taker.int("dimensions"),
            encoding_format=form,
            user=taker.str("user"),
            dialect=NAME,
            extra=taker.rest,
        )

    def encode_request(self, request: EmbeddingsRequest) -> Encoded:
        """Canonical → wire. A single text goes alone: every server takes that."""
        inputs = request.inputs
        body: Object = {"model": request.model or "", "input": inputs[0] if len(inputs) == 1 else list(inputs)}
        put(body, dimensions=request.dimensions, encoding_format=request.encoding_format, user=request.user)
        losses = foreign_extra(request.extra, request.dialect, NAME)
        losses += [
            Loss(name, "no slot in this API") for name in ("task", "title") if getattr(request, name) is not None
        ]
        if request.dialect == NAME:
            merged(body, request.extra)
        return Encoded(_json.dumps(body), tuple(losses))

    def decode_response(self, body: bytes) -> EmbeddingsResponse:
        """Wire → canonical. Raises `ProtocolError` on anything but a list of vectors."""
        try:
            value = _json.loads(body)
            if isinstance(value, dict) and cast("Object", value).get("error"):
                raise openai_errors.stream_error(cast("Object", value))
            taker = Taker(cast("object", value))
            items = [Taker(item, f"data[{n}]") for n, item in enumerate(taker.list("data") or [])]
            numbered = [(item.int("index"), position, _vector(item)) for position, item in enumerate(items)]
            model, told = taker.str("model"), taker.object("usage")
        except (_json.JsonError, InvalidRequest) as error:
            raise _broken(str(error), body) from error
        if not items:
            raise _broken("it has no list `data`", body)
        numbered.sort(key=lambda each: (each[1] if each[0] is None else each[0], each[1]))
        taker.any("object")
        counted = None if told is None else usage.read(told)
        return EmbeddingsResponse(
            tuple(vector for _, _, vector in numbered),
            model,
            counted,
            extra={name: each for name, each in taker.rest.items() if each is not None},
        )

    def encode_response(self, response: EmbeddingsResponse, request: EmbeddingsRequest) -> bytes:
        """Canonical → wire, in the form `request` asked for."""
        is_packed = request.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if is_packed else list(vector)}
            for index, vector in enumerate(response.vectors)
        ]
        told = response.usage or Usage()
        counts = {"prompt_tokens": told.prompt_tokens, "total_tokens": told.total_tokens}
        model = response.model or request.model or ""
        return _json.dumps({"object": "list", "data": data, "model": model, "usage": counts})


def _vector(item: Taker) -> tuple[float, ...]:
    value = item.any("embedding")
    if isinstance(value, str):
        return _unpacked(value, item.at("embedding"))
    numbers = as_list(value, item.at("embedding"))
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise InvalidRequest(f"{item.at('embedding')}: expected a list of numbers")
    return tuple(cast("list[float]", numbers))


def _unpacked(text: str, path: str) -> tuple[float, ...]:
    numbers = array("f")
    try:
        numbers.frombytes(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{path}: expected base64 of float32") from error
    if byteorder == "big":  # pragma: no cover - needs such a machine
        numbers.byteswap()
    return tuple(numbers)


def _packed(vector: Sequence[float]) -> str:
    numbers = array("f", vector)
    if byteorder == "big":  # pragma: no cover - needs such a machine
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode("ascii")


def _broken(why: str, body: bytes) -> ProtocolError:
    return ProtocolError(
        f"the provider's answer is not a list of embeddings: {why}",
        kind=ErrorKind.PROTOCOL,
        raw=body[: openai_errors.MAX_RAW],
    )
