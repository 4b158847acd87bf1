"""What the kernel asks of a provider, and the one implementation for every provider with a wire dialect.

A `Provider` answers canonical requests. A `WireProvider` does so by dialect + endpoint + transport, and
also passes bodies through unchanged (`send`) when the client speaks its dialect. Event batches are what
one read of the socket gave: they travel together so that they can leave in one write.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from execution_platform._failpoint import ARMED, reach
from execution_platform.dialects import dialect as dialect_named
from execution_platform.dialects.base import Dialect, Upstream
from execution_platform.exceptions import (
    ErrorKind,
    ProtocolError,
    ProviderError,
    RequirementError,
)
from execution_platform.providers.registry import ProviderSpec
from execution_platform.spi.assemble import explode
from execution_platform.spi.events import Event
from execution_platform.spi.loss import Loss, LossPolicy, enforce
from execution_platform.spi.parts import Origin
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest, EmbeddingsRequest
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse
from execution_platform.transport.call import FixedHeaders, HttpCall
from execution_platform.transport.timeouts import Timeouts

if TYPE_CHECKING:
    from execution_platform.transport.http import HttpTransport, Reply
    from execution_platform.transport.vigil import Vigil

_ERROR_BODY = 64 * 1024
_LISTING = 4 * 1024 * 1024
_UNARY_BODY = 64 * 1024 * 1024
_TOLD_HEADERS = ("x-request-id", "request-id", "openai-processing-ms")


class Entry(Protocol):
    """A try in the books."""

    def depart(self) -> Awaitable[None] | None:
        """Record that the try leaves now; to be awaited if anything is returned. Raises `StorageUnavailable`."""
        ...


@dataclass(slots=True)
class Exchange:
    """One try at one target: what the provider must know, and what it tells back besides the answer."""

    model: str
    profile: ModelProfile
    loss_policy: LossPolicy = "default"
    headers: Mapping[str, str] = field(default_factory=cast("type[dict[str, str]]", dict))
    """Headers to send: those forwarded from a client of the same dialect, and `traceparent`."""
    deadline: float | None = None
    """Event-loop time after which nobody waits any more."""
    losses: list[Loss] = field(default_factory=cast("type[list[Loss]]", list))
    told: dict[str, str] = field(default_factory=cast("type[dict[str, str]]", dict))
    """The provider's own request id and the like, for logs and `x-ep-upstream-*`."""
    entry: "Entry | None" = None
    """The try's entry in the books. A `WireProvider` has it depart; for other providers the kernel does."""


async def depart(exchange: Exchange) -> None:
    """Enter the try into the books, before its first byte leaves. Raises `StorageUnavailable`."""
    if exchange.entry is not None:
        durable = exchange.entry.depart()
        if durable is not None:
            await durable


class Provider(Protocol):
    """Anything that can answer. Every method raises `ProviderError` or another error of the house."""

    @property
    def name(self) -> str:
        """The provider's name in the configuration."""
        ...

    @property
    def kind(self) -> str:
        """Its row in the registry."""
        ...

    @property
    def dialect(self) -> Dialect | None:
        """The wire dialect, None for a provider that makes events itself."""
        ...

    @property
    def simulated(self) -> bool:
        """Whether the answers come from no model."""
        ...

    def stream(self, request: ChatRequest, exchange: Exchange) -> AsyncIterator[Sequence[Event]]:
        """Answer as a stream of event batches."""
        ...

    async def complete(self, request: ChatRequest, exchange: Exchange) -> ChatResponse:
        """Answer as a whole."""
        ...

    async def embed(self, request: EmbeddingsRequest, exchange: Exchange) -> EmbeddingsResponse:
        """Turn texts into vectors."""
        ...

    async def count(self, request: ChatRequest, exchange: Exchange) -> int | None:
        """Input tokens by the provider's own count; None when it cannot count."""
        ...

    async def aclose(self) -> None:
        """Let go of what the provider holds."""
        ...


class Located(msgspec.Struct, frozen=True, gc=False):
    """Where to send a call, and the headers that authenticate it there."""

    url: str
    headers: Mapping[str, str]


class Endpoint(Protocol):
    """Finds the URL and credential of a call; may have to start something first."""

    async def locate(self, path: str, model: str) -> Located:
        """The place for the dialect's `path`."""
        ...

    async def aclose(self) -> None:
        """Stop what was started."""
        ...


class WireProvider:
    """A provider behind a wire dialect."""

    simulated = False

    def __init__(
        self,
        name: str,
        spec: ProviderSpec,
        dialect: Dialect,
        endpoint: Endpoint,
        *,
        transport: "HttpTransport",
        timeouts: Timeouts,
        headers: Mapping[str, str],
    ) -> None:
        self.name = name
        self.kind = spec.kind
        self.spec = spec
        self.dialect: Dialect = dialect
        self._spoken = (dialect, *map(dialect_named, spec.also))
        self.timeouts = timeouts
        self._endpoint = endpoint
        self._transport = transport
        self._headers = {"content-type": "application/json", **spec.headers, **headers}
        self._usual: tuple[Mapping[str, str], FixedHeaders] | None = None
        """The headers of most calls, and the credential's among them that they were made of."""

    def speaks(self, dialect: Dialect) -> bool:
        """Whether a body in this dialect can go to the provider as it is."""
        return dialect in self._spoken

    async def send(
        self,
        path: str,
        body: bytes,
        exchange: Exchange,
        headers: Mapping[str, str] | None = None,
        *,
        stream: bool = False,
    ) -> "Reply":
        """Send a body as it is. Raises the provider's error when it answers with one."""
        located = await self._endpoint.locate(path, exchange.model)
        call = HttpCall("POST", located.url, self._all_headers(located, exchange.headers, headers), body, stream)
        durable = None if exchange.entry is None else exchange.entry.depart()
        if durable is not None:
            await durable
        try:
            reply = await self._transport.send(call, timeouts=self.timeouts, deadline=exchange.deadline)
        except ProviderError as error:
            raise self._named(error, exchange.model) from None
        if reply.status != 200:
            raise await self._refusal(reply, exchange.model)
        if ARMED:
            await _pass_head(reply)
        return reply

    def _all_headers(
        self, located: Located, of_call: Mapping[str, str], of_body: Mapping[str, str] | None
    ) -> Mapping[str, str]:
        """The headers of one call; where it has none of its own, the very same ones as the call before it."""
        if of_call or of_body:
            return {**self._headers, **located.headers, **of_call, **(of_body or {})}
        usual = self._usual
        if usual is None or usual[0] is not located.headers:
            usual = self._usual = (located.headers, FixedHeaders({**self._headers, **located.headers}))
        return usual[1]

    @property
    def vigil(self) -> "Vigil":
        """Who watches over what its calls wait for, in the running event loop."""
        return self._transport.vigil

    async def _refusal(self, reply: "Reply", model: str) -> ProviderError:
        try:
            body = await reply.read(_ERROR_BODY)
        except ProviderError:
            body = b""
        finally:
            reply.close()
        if reply.status < 400:
            message = f"{self.name} answered with status {reply.status}; redirects are not followed"
            return self._named(ProtocolError(message, kind=ErrorKind.PROTOCOL, status=reply.status), model)
        error = self.dialect.decode_error(reply.status, reply.headers, body)
        error.provider_dialect = self.dialect.name
        return self._named(error, model)

    def _named(self, error: ProviderError, model: str) -> ProviderError:
        error.provider = error.provider or self.name
        error.model = error.model or model
        return error

    def _origin(self, model: str) -> Origin:
        return Origin(dialect=self.dialect.name, provider=self.name, model=model)

    def _encode(
        self, request: ChatRequest, exchange: Exchange, *, stream: bool
    ) -> tuple[bytes, Mapping[str, str], Upstream]:
        encoded = self.dialect.encode_request(replace(request, model=exchange.model, stream=stream), exchange.profile)
        enforce(encoded.losses, exchange.loss_policy, target=f"{self.name}/{exchange.model}")
        exchange.losses.extend(encoded.losses)
        return (
            encoded.body,
            encoded.headers,
            Upstream(self._origin(exchange.model), encoded.tool_names, exchange.profile.extra),
        )

    async def stream(self, request: ChatRequest, exchange: Exchange) -> AsyncIterator[Sequence[Event]]:
        """Answer as a stream of event batches, one for each read."""
        body, headers, upstream = self._encode(request, exchange, stream=True)
        reply = await self.send(
            self.dialect.chat_path(exchange.model, stream=True), body, exchange, headers, stream=True
        )
        try:
            if reply.headers.get("content-type", "").startswith("application/json"):
                yield explode(self.dialect.decode_response(await reply.read(_UNARY_BODY), upstream))
                return
            decoder = self.dialect.stream_decoder(upstream)
            async for data in reply.chunks():
                # Not a name for the batch, which would keep it until the next read.
                yield decoder.feed(data)
            tail = decoder.close()
            if tail:
                yield tail
        except ProviderError as error:
            raise self._named(error, exchange.model) from error.__cause__
        finally:
            reply.close()

    async def complete(self, request: ChatRequest, exchange: Exchange) -> ChatResponse:
        """Answer as a whole."""
        body, headers, upstream = self._encode(request, exchange, stream=False)
        path = self.dialect.chat_path(exchange.model, stream=False)
        data = await self.read(await self.send(path, body, exchange, headers), exchange)
        try:
            return self.dialect.decode_response(data, upstream)
        except ProviderError as error:
            raise self._named(error, exchange.model) from error.__cause__

    async def read(self, reply: "Reply", exchange: Exchange) -> bytes:
        """The whole body of an answer, within bounds."""
        for name in _TOLD_HEADERS:
            value = reply.headers.get(name)
            if value is not None:
                exchange.told[name] = value
        try:
            return await reply.read(_UNARY_BODY)
        except ProviderError as error:
            raise self._named(error, exchange.model) from error.__cause__
        finally:
            reply.close()

    async def embed(self, request: EmbeddingsRequest, exchange: Exchange) -> EmbeddingsResponse:
        """Turn texts into vectors. Raises `RequirementError` when the dialect has no embeddings."""
        codec = self.dialect.embeddings
        if codec is None:
            raise RequirementError(f"{self.name} ({self.kind}) has no embeddings; choose a model of another provider")
        encoded = codec.encode_request(replace(request, model=exchange.model))
        enforce(encoded.losses, exchange.loss_policy, target=f"{self.name}/{exchange.model}")
        exchange.losses.extend(encoded.losses)
        reply = await self.send(codec.path(exchange.model), encoded.body, exchange)
        data = await self.read(reply, exchange)
        try:
            return codec.decode_response(data)
        except ProviderError as error:
            raise self._named(error, exchange.model) from error.__cause__

    async def count(self, request: ChatRequest, exchange: Exchange) -> int | None:
        """Input tokens by the provider's own count; None when it cannot count."""
        codec = self.dialect.count
        if codec is None or not exchange.profile.token_count:
            return None
        encoded = codec.encode_request(replace(request, model=exchange.model), exchange.profile)
        reply = await self.send(codec.path(exchange.model), encoded.body, exchange, encoded.headers)
        return codec.decode_response(await self.read(reply, exchange))

    async def list_models(self, timeouts: Timeouts, path: str | None = None) -> list[str]:
        """The provider's listing of its models. With a `path` only whether that answers, and no models.

        Raises the provider's error when it answers with one, or not in time.
        """
        located = await self._endpoint.locate(path or self.spec.models_path, "")
        call = HttpCall("GET", located.url, {**self._headers, **located.headers})
        reply = await self._transport.send(call, timeouts=timeouts)
        if not 200 <= reply.status < 300:
            raise await self._refusal(reply, "")
        try:
            data = await reply.read(_LISTING)
        finally:
            reply.close()
        return [] if path is not None else self.dialect.decode_models(data)

    async def aclose(self) -> None:
        """Stop what the endpoint started."""
        await self._endpoint.aclose()


async def _pass_head(reply: "Reply") -> None:
    """The place between a provider's head and its body, where a failure must not leave the connection behind."""
    try:
        await reach("kernel.after_head")
    except BaseException:
        reply.close()
        raise
