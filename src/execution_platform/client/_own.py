"""Calls of a program's own tools: run here, answered at the gateway."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import NamedTuple, cast

from execution_platform.client._core import HttpRequest, Object
from execution_platform.client._runs import RECONNECT_SECONDS, RECONNECTS, OwnTool, RunEvent
from execution_platform.exceptions import ErrorKind, PermissionDenied, ProviderError

CALL = "caller_call"
Send = Callable[[HttpRequest], Awaitable[bytes]]
Answer = Callable[[RunEvent, "Given"], HttpRequest]


class Given(NamedTuple):
    """What a tool gave."""

    result: object
    is_error: bool = False


async def given_by(tools: Mapping[str, OwnTool], name: str, arguments: Object) -> Given:
    """Run a tool of this program: a coroutine function here, any other in a thread. What it raises is its answer."""
    tool = tools.get(name)
    if tool is None:
        return Given(f"this program has no tool {name!r}", is_error=True)
    task = asyncio.ensure_future(_run(tool, arguments))
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()
    error = task.exception()
    return Given(task.result()) if error is None else _failed(error)


async def _run(tool: OwnTool, arguments: Object) -> object:
    if inspect.iscoroutinefunction(tool.run):
        return await cast("Awaitable[object]", tool.run(arguments))
    found = await asyncio.to_thread(tool.run, arguments)
    return await cast("Awaitable[object]", found) if inspect.isawaitable(found) else found


def given_now(tools: Mapping[str, OwnTool], name: str, arguments: Object) -> Given:
    """The same for programs without an event loop; the tool runs in another thread."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: asyncio.run(given_by(tools, name, arguments)))
        wait([future])
    return future.result()


def _failed(error: BaseException) -> Given:
    return Given(f"{type(error).__name__}: {error}", is_error=True)


class Answers:
    """The calls of one run that this program answers, side by side."""

    def __init__(self, tools: Sequence[OwnTool], send: Send, answer: Answer) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._send = send
        self._answer = answer
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def hear(self, event: RunEvent) -> None:
        """Begin to answer, if this is a call; one that is being answered, or was, is not run again."""
        call = str(event.data.get("call"))
        if event.event != CALL or not self._tools:
            return
        before = self._tasks.get(call)
        if before is None:
            self._tasks[call] = asyncio.create_task(self._answered(event))

    async def aclose(self) -> None:
        """Answer no more. Raises what kept an answer from being given."""
        for task in self._tasks.values():
            task.cancel()
        ended = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        failure = next((each for each in ended if isinstance(each, Exception)), None)
        if failure is not None:
            raise failure

    async def _answered(self, event: RunEvent) -> None:
        arguments = cast("Object", event.data["args"])
        request = self._answer(event, await given_by(self._tools, str(event.data["name"]), arguments))
        left = RECONNECTS
        # Refused means that it is there already, from a try whose answer was lost, or that nobody waits any more.
        with suppress(PermissionDenied):
            while True:
                try:
                    await self._send(request)
                except ProviderError as error:
                    if error.kind is not ErrorKind.CONNECTION or not left:
                        raise
                    left -= 1
                    await asyncio.sleep(RECONNECT_SECONDS)
                else:
                    return
