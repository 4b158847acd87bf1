"""One conversation with one server, on behalf of one tenant or run.

Theory of operation
-------------------
A conversation may have state at the server, so it is never shared: each tenant, and each run, has its own (M5). It is opened at
the first call and owned by one task, which is where the SDK's task groups live; callers ask from their own tasks. It ends when
nobody has asked for a while, when it breaks, or when the server passes a limit; the next call opens another.

What a server can do here is bounded (M11): a call has its time, a message its size, and between two calls a server may send a
thousand messages that nobody asked for. Requests of the server's own, for sampling, elicitation or roots, are not answered: the
capabilities are not declared, and nothing in the platform would run them (M12).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast

from execution_platform.exceptions import ExecutionPlatformError, ProviderError, ToolError, ToolTimeout
from execution_platform.tool_bridge.mcp.pins import Definition

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client._transport import ReadStream, TransportStreams
    from mcp.shared.message import SessionMessage

UNASKED: Final = 1000
"""Messages a server may send unasked between two calls."""
_MOST_PAGES: Final = 20
_MOST_TOOLS: Final = 500
_CLOSE_SECONDS: Final = 5.0
_LAST_SECONDS: Final = 1.0
"""How long the owner of a broken conversation may take to say what broke it."""

Opener = Callable[[], "AbstractAsyncContextManager[TransportStreams]"]
T = TypeVar("T")


class McpFailed(ToolError):
    """A server did not answer as the protocol says, or not at all."""

    code = "mcp_server_failed"


class Bounded:
    """The messages of a server, until there are too many that nobody asked for."""

    def __init__(self, stream: "ReadStream[SessionMessage | Exception]", most: int, ended: Callable[[], None]) -> None:
        self._stream = stream
        self._most = most
        self._ended = ended
        self.left = most
        self.exceeded = False

    def renew(self) -> None:
        """A call begins."""
        self.left = self._most

    async def receive(self) -> "SessionMessage | Exception":
        """The next message. Raises `EndOfStream` at the end, and at the limit."""
        import anyio

        try:
            message = await self._stream.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._ended()
            raise anyio.EndOfStream from None
        if isinstance(message, Exception) or hasattr(message.message, "method"):
            self.left -= 1
        if self.left < 0:
            self.exceeded = True
            self._ended()
            await self._stream.aclose()
            raise anyio.EndOfStream
        return message

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "SessionMessage | Exception":
        import anyio

        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Read no more."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


class Session:
    """A conversation. `opener` gives its streams; `seconds` is how long opening it, and each call, may take."""

    def __init__(self, server: str, opener: Opener, *, seconds: float, idle_seconds: float) -> None:
        self._server = server
        self._opener = opener
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._bounded: Bounded | None = None
        self._client: Client | None = None
        self._failure: BaseException | None = None
        self._ready = asyncio.Event()
        self._closing = asyncio.Event()
        self._busy = 0
        self._timer: asyncio.TimerHandle | None = None
        self._owner = asyncio.create_task(self._own(), name=f"mcp {server}")
        self._owner.add_done_callback(self._end)
        self.listed_at = 0.0
        """When its tools were last held to what was approved, by the event loop's clock."""
        self.features: Sequence[Definition] | None = None
        """Tools for what it has besides tools; None before they were looked for."""

    @property
    def over(self) -> bool:
        """Whether another one has to be opened for the next call."""
        return self._owner.done() or self._closing.is_set()

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return self._owner.done()

    @property
    def version(self) -> str:
        """The protocol that was agreed on."""
        return "" if self._client is None else self._client.protocol_version

    async def ask(self, question: "Callable[[Client], Awaitable[T]]") -> T:
        """What the server answers. Raises `McpFailed`, `ToolTimeout`, `EgressBlocked`."""
        self._busy += 1
        if self._timer is not None:
            self._timer.cancel()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._asked(question)
        except TimeoutError as error:
            self._closing.set()
            raise ToolTimeout(
                f"the MCP server {self._server} did not answer within {self._seconds:g} seconds"
            ) from error
        finally:
            self._busy -= 1
            if not self._busy:
                self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._expire)

    async def _asked(self, question: "Callable[[Client], Awaitable[T]]") -> T:
        await self._ready.wait()
        if self._client is None or self._bounded is None:
            raise self._told(self._failure) from self._failure
        self._bounded.renew()
        # A task of its own: whatever a server makes the SDK raise is the result of this call and no more.
        call = asyncio.ensure_future(question(self._client))
        try:
            await asyncio.wait({call})
        finally:
            if not call.done():
                call.cancel()
                await asyncio.wait({call}, timeout=_LAST_SECONDS)
        error = call.exception()
        if error is None:
            return call.result()
        if _is_end(error):
            self._closing.set()
            await asyncio.wait({self._owner}, timeout=_LAST_SECONDS)
        raise self._told(self._failure or error) from error

    async def definitions(self) -> Sequence[Definition]:
        """Its tools, whole, as it sends them."""

        async def listed(client: "Client") -> Sequence[Definition]:
            found: list[Definition] = []
            cursor: str | None = None
            for _ in range(_MOST_PAGES):
                page = await client.list_tools(cursor=cursor, cache_mode="bypass")
                found += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
                cursor = page.next_cursor
                if cursor is None and len(found) <= _MOST_TOOLS:
                    return found
            raise McpFailed(f"the MCP server {self._server} lists more than {_MOST_TOOLS} tools")

        definitions = await self.ask(listed)
        self.listed_at = asyncio.get_running_loop().time()
        return definitions

    async def aclose(self) -> None:
        """End it, and the program behind it."""
        self._closing.set()
        if self._timer is not None:
            self._timer.cancel()
        if not self._ready.is_set():
            self._owner.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({self._owner}, timeout=_CLOSE_SECONDS)
        if not self._owner.done():
            self._owner.cancel()

    def _expire(self) -> None:
        self._closing.set()

    async def _own(self) -> None:
        async with self._connected() as client:
            self._client = client
            self._ready.set()
            await self._closing.wait()

    def _end(self, owner: "asyncio.Task[None]") -> None:
        """Whatever ended it ends with it: the failure of a server is what its callers are told."""
        self._failure = None if owner.cancelled() else owner.exception()
        self._closing.set()
        self._ready.set()

    @asynccontextmanager
    async def _connected(self) -> "AsyncGenerator[Client]":
        from mcp import Client, Implementation

        from execution_platform import __version__

        @asynccontextmanager
        async def bounded() -> "AsyncGenerator[TransportStreams]":
            async with self._opener() as (received, sent):
                self._bounded = Bounded(received, UNASKED, self._closing.set)
                yield self._bounded, sent

        info = Implementation(name="execution-platform", version=__version__)
        async with Client(bounded(), read_timeout_seconds=self._seconds, client_info=info, cache=None) as client:
            yield client

    def _told(self, failure: BaseException | None) -> ToolError | ExecutionPlatformError:
        """A failure in words that say nothing of this machine; what the server says of itself is cut."""
        if self._bounded is not None and self._bounded.exceeded:
            return McpFailed(f"the MCP server {self._server} sent more than {UNASKED} messages that nobody asked for")
        own = _found(failure)
        if own is not None and not isinstance(own, ProviderError):
            return own
        said = _said(failure) if own is None else own.message
        return McpFailed(f"the MCP server {self._server} failed{': ' + said if said else ' and did not say why'}")


def _found(failure: BaseException | None) -> ExecutionPlatformError | None:
    """An error of the platform's own within what was raised."""
    if isinstance(failure, ExecutionPlatformError):
        return failure
    if isinstance(failure, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", failure).exceptions
        return next((found for each in inner if (found := _found(each)) is not None), None)
    return None


def _is_end(error: BaseException) -> bool:
    """Whether the SDK says that the conversation is over."""
    from mcp import MCPError
    from mcp_types import CONNECTION_CLOSED

    return isinstance(error, MCPError) and error.code == CONNECTION_CLOSED


def _said(failure: BaseException | None) -> str:
    """What the server said, if it was the server who said it."""
    from mcp import MCPError

    return str(failure)[:500] if isinstance(failure, MCPError) else ""
