"""How a handler learns that its client has left.

Our own connections say so at once (`Departure` in the scope of each request): that costs nothing while the client stays. Under
any other server a task waits for the message that ASGI has for it.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from execution_platform.gateway.http import Receive, Scope

DEPARTURE = "ep.departure"


class Departure:
    """The end of the connection a request came on, told to whoever serves the request."""

    __slots__ = ("_tell", "happened")

    def __init__(self) -> None:
        self.happened = False
        self._tell: Callable[[], None] | None = None

    def happen(self) -> None:
        """The connection is gone."""
        self.happened = True
        if self._tell is not None:
            self._tell()

    def watch(self, tell: Callable[[], None]) -> None:
        """Call `tell` when it happens, or now if it has."""
        self._tell = tell
        if self.happened:
            tell()

    def forget(self) -> None:
        """Tell nobody."""
        self._tell = None


def on_departure(scope: Scope, receive: Receive, tell: Callable[[], None]) -> Callable[[], object]:
    """Call `tell` once the client has left; the result ends that. The body has been read before."""
    known = scope.get(DEPARTURE)
    if known is not None:
        departure = cast("Departure", known)
        departure.watch(tell)
        return departure.forget
    return asyncio.create_task(_wait(receive, tell)).cancel


async def _wait(receive: Receive, tell: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    tell()
