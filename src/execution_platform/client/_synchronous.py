"""The blocking client."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from execution_platform.client import _core, _http
from execution_platform.client._core import Core, HttpRequest, Prompt, StreamReader, Tools, Wishes
from execution_platform.spi.chunks import ChatChunk
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse
from execution_platform.spi.tools import ToolDefinition

if TYPE_CHECKING:
    import httpx2


class ExecutionPlatformClient:
    """A gateway, asked as one persona.

    >>> client = ExecutionPlatformClient("http://127.0.0.1:8000", persona="architect")
    >>> for chunk in client.stream("Design a REST API"):
    ...     print(chunk.delta_text or "", end="")

    Use it as a context manager or call `close`. Instances may be shared between threads. Every method raises
    `ExecutionPlatformError`: what the gateway answered, or `ProviderError` (kind `connection`, `timeout`, `protocol`) when it gave
    no complete answer.
    """

    def __init__(
        self,
        base_url: str,
        persona: str | None = None,
        provider_override: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._core = Core(base_url, persona, provider_override, api_key)
        self._pool: httpx2.Client | None = None

    def chat(
        self,
        messages: Prompt,
        *,
        model: str | None = None,
        system: str | None = None,
        tools: Tools | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> ChatResponse:
        """The whole answer to a text, to messages, or to a `ChatRequest`."""
        wishes = Wishes(model=model, system=system, tools=tools, max_tokens=max_tokens, temperature=temperature)
        request = self._core.chat(_core.as_request(messages, wishes), stream=False)
        return _core.read_chat(self._send(request))

    def stream(
        self,
        messages: Prompt,
        *,
        model: str | None = None,
        system: str | None = None,
        tools: Tools | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Iterator[ChatChunk]:
        """The answer in chunks as it is written. Leaving the iteration early ends the request."""
        wishes = Wishes(model=model, system=system, tools=tools, max_tokens=max_tokens, temperature=temperature)
        return self._stream(self._core.chat(_core.as_request(messages, wishes), stream=True))

    def embed(
        self, inputs: str | Sequence[str], model_hint: str | None = None, *, dimensions: int | None = None
    ) -> EmbeddingsResponse:
        """One vector for each input, in order."""
        return _core.read_embeddings(self._send(self._core.embed(inputs, model_hint, dimensions)))

    def tools(self) -> list[ToolDefinition]:
        """The tools this persona and provider may use."""
        return _core.read_tools(self._send(self._core.tools()))

    def close(self) -> None:
        """Close the connections. The client may be used again, with new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _http(self) -> "httpx2.Client":
        if self._pool is None:
            self._pool = _http.client()
        return self._pool

    def _send(self, request: HttpRequest) -> bytes:
        try:
            answer = self._http().request(
                request.method, request.url, params=request.params, headers=request.headers, content=request.body
            )
        except _http.failures() as error:
            raise _http.failure(error, self._core.base_url, begun=False) from error
        if answer.status_code >= 400:
            raise _core.read_failure(answer.status_code, answer.headers, answer.content)
        return answer.content

    def _stream(self, request: HttpRequest) -> Iterator[ChatChunk]:
        begun = False
        try:
            with self._http().stream(
                request.method, request.url, params=request.params, headers=request.headers, content=request.body
            ) as answer:
                begun = True
                if answer.status_code >= 400:
                    raise _core.read_failure(answer.status_code, answer.headers, answer.read())
                reader = StreamReader(answer.headers.get("content-type", ""))
                for data in answer.iter_bytes():
                    yield from reader.chunks(reader.feed(data))
                yield from reader.chunks(reader.close())
        except _http.failures() as error:
            raise _http.failure(error, self._core.base_url, begun=begun) from error
