"""The client for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from execution_platform.client import _core, _http, _runs
from execution_platform.client._core import Core, HttpRequest, Prompt, StreamReader, Tools, Wishes
from execution_platform.client._own import Answers, Given
from execution_platform.client._runs import (
    RECONNECT_SECONDS,
    RECONNECTS,
    Approve,
    EventReader,
    Mode,
    OnEvent,
    RunEvent,
    RunOptions,
    RunResult,
    RunWishes,
)
from execution_platform.exceptions import ErrorKind, ProviderError
from execution_platform.spi.chunks import ChatChunk
from execution_platform.spi.clients import Chat
from execution_platform.spi.events import Event
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse
from execution_platform.spi.tools import ToolDefinition

if TYPE_CHECKING:
    import httpx2


class Pool:
    """The connections of an asynchronous client and how a request travels over them."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._client: httpx2.AsyncClient | None = None

    def _http(self) -> "httpx2.AsyncClient":
        if self._client is None:
            self._client = _http.async_client()
        return self._client

    async def send(self, request: HttpRequest) -> bytes:
        """The body of a successful answer. Raises what any other answer means."""
        try:
            answer = await self._http().request(
                request.method, request.url, params=request.params, headers=request.headers, content=request.body
            )
        except _http.failures() as error:
            raise _http.failure(error, self._base_url, begun=False) from error
        if answer.status_code >= 400:
            raise _core.read_failure(answer.status_code, answer.headers, answer.content)
        return answer.content

    async def stream(self, request: HttpRequest) -> AsyncGenerator[tuple[str, bytes]]:
        """Content type and bytes of a successful answer, as they come; at least once."""
        begun = False
        try:
            async with self._http().stream(
                request.method, request.url, params=request.params, headers=request.headers, content=request.body
            ) as answer:
                begun = True
                if answer.status_code >= 400:
                    raise _core.read_failure(answer.status_code, answer.headers, await answer.aread())
                content_type = answer.headers.get("content-type", "")
                yield content_type, b""
                async for data in answer.aiter_bytes():
                    yield content_type, data
        except _http.failures() as error:
            raise _http.failure(error, self._base_url, begun=begun) from error

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class AsyncChat(Chat):
    """One answer on its way: await it for the whole, iterate it for chunks."""

    def __init__(
        self,
        open_stream: Callable[[], AsyncIterator[Event]],
        ask: Callable[[], Coroutine[Any, Any, ChatResponse]],
    ) -> None:
        super().__init__(open_stream)
        self._ask = ask

    def __await__(self) -> Generator[Any, None, ChatResponse]:
        return self._ask().__await__()


class AsyncExecutionPlatformClient:
    """A gateway, asked as one persona; the twin of `ExecutionPlatformClient`, and an `LLMClient` and `EmbeddingsClient`.

    `await client.chat(...)` gives the whole answer, `async for chunk in client.chat(...)` its chunks.
    """

    def __init__(
        self,
        base_url: str,
        persona: str | None = None,
        provider_override: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._core = Core(base_url, persona, provider_override, api_key)
        self._pool = Pool(self._core.base_url)

    def chat(
        self,
        request: Prompt,
        *,
        model: str | None = None,
        system: str | None = None,
        tools: Tools | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> AsyncChat:
        """The answer to a text, to messages, or to a `ChatRequest`; nothing is sent before it is awaited or iterated."""
        wishes = Wishes(model=model, system=system, tools=tools, max_tokens=max_tokens, temperature=temperature)
        whole = _core.as_request(request, wishes)
        return AsyncChat(lambda: self._events(whole), lambda: self._whole(whole))

    def stream(
        self,
        messages: Prompt,
        *,
        model: str | None = None,
        system: str | None = None,
        tools: Tools | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> AsyncIterator[ChatChunk]:
        """The answer in chunks as it is written."""
        chat = self.chat(
            messages, model=model, system=system, tools=tools, max_tokens=max_tokens, temperature=temperature
        )
        return aiter(chat)

    async def run(
        self,
        task: str,
        *,
        persona: str | None = None,
        workspace: str | None = None,
        mode: Mode | None = None,
        options: RunOptions | None = None,
        on_event: OnEvent | None = None,
        approve: Approve | None = None,
    ) -> RunResult:
        """Let an agent work on `task` at the gateway, and wait for its end; `approve` is asked about calls that need it.

        Tools in `options.own` run in this program. A broken connection is taken up again where it broke. Leaving early (by cancellation) cancels the run. Raises what the
        run failed with; a run that a limit stopped is a result whose `reason` names the limit.
        """
        wishes = RunWishes(persona=persona, workspace=workspace, mode=mode, options=options or RunOptions())
        run_id = _runs.read_id(await self._pool.send(_runs.begin(self._core, task, wishes)))

        def answer(event: RunEvent, given: Given) -> HttpRequest:
            return _runs.answer(self._core, run_id, event, given.result, is_error=given.is_error)

        answers = Answers(wishes.options.own, self._pool.send, answer)
        try:
            async for event in self.run_events(run_id):
                if on_event is not None:
                    on_event(event)
                answers.hear(event)
                if event.event == "approval_required" and approve is not None:
                    allow = await asyncio.to_thread(approve, event)
                    await self._pool.send(_runs.decide(self._core, run_id, event, allow=allow))
        except asyncio.CancelledError:
            await self._pool.send(_runs.act(self._core, run_id, "cancel"))
            raise
        finally:
            await answers.aclose()
        return _runs.read_result(await self._pool.send(_runs.find(self._core, run_id)))

    async def resume(self, run_id: str, *, on_event: OnEvent | None = None) -> RunResult:
        """Go on with a run that failed or was stopped, from its last complete turn. Raises what the run failed with."""
        before = _core.read_object(await self._pool.send(_runs.act(self._core, run_id, "resume")))
        epoch = before.get("epoch")
        after = (epoch - 1) * _runs.EVENTS_OF_EPOCH if isinstance(epoch, int) else 0
        async for event in self.run_events(run_id, after):
            if on_event is not None:
                on_event(event)
        return _runs.read_result(await self._pool.send(_runs.find(self._core, run_id)))

    async def run_events(self, run_id: str, after: int = 0) -> AsyncGenerator[RunEvent]:
        """What a run tells behind event `after`, until it is over. A broken connection is taken up again."""
        reader = EventReader(after)
        left = RECONNECTS
        while not reader.over:
            try:
                async with aclosing(self._pool.stream(_runs.follow(self._core, run_id, reader.last))) as pieces:
                    async for _, data in pieces:
                        for event in reader.feed(data):
                            left = RECONNECTS
                            yield event
                return
            except ProviderError as error:
                if error.kind is not ErrorKind.CONNECTION or not left:
                    raise
                left -= 1
                reader.again()
                await asyncio.sleep(RECONNECT_SECONDS)

    async def embed(
        self, inputs: str | Sequence[str], model_hint: str | None = None, *, dimensions: int | None = None
    ) -> EmbeddingsResponse:
        """One vector for each input, in order."""
        return _core.read_embeddings(await self._pool.send(self._core.embed(inputs, model_hint, dimensions)))

    async def tools(self) -> list[ToolDefinition]:
        """The tools this persona and provider may use."""
        return _core.read_tools(await self._pool.send(self._core.tools()))

    async def close(self) -> None:
        """Close the connections. The client may be used again, with new ones."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _whole(self, request: ChatRequest) -> ChatResponse:
        return _core.read_chat(await self._pool.send(self._core.chat(request, stream=False)))

    async def _events(self, request: ChatRequest) -> AsyncGenerator[Event]:
        reader: StreamReader | None = None
        async with aclosing(self._pool.stream(self._core.chat(request, stream=True))) as pieces:
            async for content_type, data in pieces:
                reader = reader or StreamReader(content_type)
                for event in reader.feed(data):
                    yield event
        if reader is not None:
            for event in reader.close():
                yield event
