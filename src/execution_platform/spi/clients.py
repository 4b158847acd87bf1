"""The seams of the SDK: what a chat client, an embeddings client and a tool bridge can do."""

from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping, Sequence
from typing import Any, Protocol

from execution_platform.spi.assemble import Accumulator
from execution_platform.spi.chunks import ChatChunk, Chunker
from execution_platform.spi.events import Event
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse
from execution_platform.spi.tools import ToolDefinition


class Chat:
    """One answer on its way: iterate it for chunks, or await it for the whole response.

    Both of these work, each once: `async for chunk in client.chat(request)` and
    `response = await client.chat(request)`. `events()` gives the canonical events instead.
    """

    def __init__(self, open_stream: Callable[[], AsyncIterator[Event]]) -> None:
        self._open = open_stream

    def events(self) -> AsyncIterator[Event]:
        """The canonical events of the answer."""
        return self._open()

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        chunker = Chunker()
        async for event in self._open():
            chunk = chunker.feed(event)
            if chunk is not None:
                yield chunk

    def __await__(self) -> Generator[Any, None, ChatResponse]:
        return self._whole().__await__()

    async def _whole(self) -> ChatResponse:
        accumulator = Accumulator()
        async for event in self._open():
            accumulator.feed(event)
        return accumulator.result()


class LLMClient(Protocol):
    """Anything that answers a `ChatRequest`."""

    def chat(self, request: ChatRequest) -> Chat:
        """Begin one answer."""
        ...


class EmbeddingsClient(Protocol):
    """Anything that turns texts into vectors."""

    async def embed(self, inputs: Sequence[str], model_hint: str | None = None) -> EmbeddingsResponse:
        """One vector for each input, in order."""
        ...


class ToolBridge(Protocol):
    """Where tools are registered and run."""

    def register(self, tool: ToolDefinition, run: Callable[..., Coroutine[Any, Any, object]]) -> None:
        """Add a tool under its name."""
        ...

    async def invoke(self, name: str, arguments: Mapping[str, object]) -> object:
        """Run a tool. Raises `ToolError`."""
        ...
