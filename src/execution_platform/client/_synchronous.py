"""The blocking client."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from execution_platform.client import _core, _http, _runs
from execution_platform.client._core import Core, HttpRequest, Object, Prompt, StreamReader, Tools, Wishes
from execution_platform.client._own import CALL, given_now
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
from execution_platform.exceptions import ErrorKind, PermissionDenied, ProviderError
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

    def run(
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

        Tools in `options.own` run in this program, one at a time. A broken connection is taken up again where it broke. An interrupt cancels the run. Raises what the run failed with; a
        run that a limit stopped is a result whose `reason` names the limit.
        """
        wishes = RunWishes(persona=persona, workspace=workspace, mode=mode, options=options or RunOptions())
        run_id = _runs.read_id(self._send(_runs.begin(self._core, task, wishes)))
        own = {tool.name: tool for tool in wishes.options.own}
        try:
            for event in self.run_events(run_id):
                if on_event is not None:
                    on_event(event)
                if event.event == "approval_required" and approve is not None:
                    self._send(_runs.decide(self._core, run_id, event, allow=approve(event)))
                if own and event.event == CALL:
                    given = given_now(own, str(event.data["name"]), cast("Object", event.data["args"]))
                    with suppress(PermissionDenied):  # nobody waits for it any more
                        self._send(_runs.answer(self._core, run_id, event, given.result, is_error=given.is_error))
        except KeyboardInterrupt:
            self._send(_runs.act(self._core, run_id, "cancel"))
            raise
        return _runs.read_result(self._send(_runs.find(self._core, run_id)))

    def run_events(self, run_id: str, after: int = 0) -> Iterator[RunEvent]:
        """What a run tells behind event `after`, until it is over. A broken connection is taken up again."""
        reader = EventReader(after)
        left = RECONNECTS
        while not reader.over:
            try:
                for _, data in self._pieces(_runs.follow(self._core, run_id, reader.last)):
                    for event in reader.feed(data):
                        left = RECONNECTS
                        yield event
            except ProviderError as error:
                if error.kind is not ErrorKind.CONNECTION or not left:
                    raise
                left -= 1
                reader.again()
                time.sleep(RECONNECT_SECONDS)
            else:
                return

    def _pieces(self, request: HttpRequest) -> Iterator[tuple[str, bytes]]:
        """Content type and bytes of a successful answer, as they come; at least once."""
        begun = False
        try:
            with self._http().stream(
                request.method, request.url, params=request.params, headers=request.headers, content=request.body
            ) as answer:
                begun = True
                if answer.status_code >= 400:
                    raise _core.read_failure(answer.status_code, answer.headers, answer.read())
                content_type = answer.headers.get("content-type", "")
                yield content_type, b""
                for data in answer.iter_bytes():
                    yield content_type, data
        except _http.failures() as error:
            raise _http.failure(error, self._core.base_url, begun=begun) from error

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
        reader: StreamReader | None = None
        for content_type, data in self._pieces(request):
            reader = reader or StreamReader(content_type)
            yield from reader.chunks(reader.feed(data))
        if reader is not None:
            yield from reader.chunks(reader.close())
