"""The fake upstream on a thread of its own, for callers without an event loop."""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from execution_platform.testing.meter import Exchange, Meter
from execution_platform.testing.script import ScriptError


class Runnable(Protocol):
    """The part of an upstream that the thread drives."""

    meter: Meter
    problems: list[ScriptError]

    async def start(self) -> None:
        """Bind and listen."""
        ...

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        ...


U = TypeVar("U", bound=Runnable)


class ThreadedUpstream(Generic[U]):
    """A context manager around an upstream on another thread.

    `upstream` is the server itself: its `script`, `gate`, `release`, `meter`, `url` may be used from any thread; waiting
    is done with the methods here.
    """

    def __init__(self, make: Callable[[], U]) -> None:
        self.upstream = make()
        self._ready = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="fake-upstream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        if error is None and self.upstream.problems:
            raise self.upstream.problems[0]

    def wait_closed(self, index: int = 0, *, within: float = 5.0) -> Exchange:
        """Wait until the request with this number has come and its answer is over.

        Raises:
            TimeoutError: it is not.
        """
        self.wait_until(lambda meter: len(meter) > index and meter[index].end is not None, within=within)
        return self.upstream.meter[index]

    def wait_until(self, condition: Callable[[Meter], bool], *, within: float = 5.0) -> None:
        """Wait until the meter fulfils a condition.

        Raises:
            TimeoutError: it does not in time.
        """
        if not self.upstream.meter.when(condition).wait_blocking(within):
            raise TimeoutError(f"the upstream's meter did not come to the condition within {within} seconds")

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            await self.upstream.start()
        except OSError as error:
            self._failure = error
            return
        finally:
            self._ready.set()
        await self._stopping.wait()
        await self.upstream.stop()
