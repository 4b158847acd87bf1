"""The ASGI server of one process: uvicorn's, with our connections, our sweep and our end."""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from execution_platform.gateway.app import Gateway, with_cors
from execution_platform.gateway.connection import Connection
from execution_platform.gateway.door import Door
from execution_platform.gateway.greeting import Greeter
from execution_platform.gateway.state import State

_OPTIONS: dict[str, Any] = {
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "date_header": True,
    "proxy_headers": False,
    "ws": "none",
    "lifespan": "on",
}
STARTUP_FAILED = STARTUP_FAILURE
"""The exit status of a process that cannot start: starting it again would not help."""
_TICK_SECONDS = 0.1
_SWEEP_TICKS = 5
_STEP_SECONDS = 0.02
_STEPS_A_SWEEP = 25
_UNSENT = 64 * 1024
"""Bytes the kernel takes for a client beyond what is on its way: without a bound it grows to megabytes for each that does not read."""
_GRACE_SECONDS = 2.0
"""For the last bytes of what was ended at the hard limit."""


class EdgeServer(uvicorn.Server):
    """Serves a gateway until a signal comes, then drains."""

    def __init__(
        self, gateway: Gateway, *, loop: str = "uvloop", announce: Callable[[State], None] | None = None
    ) -> None:
        settings = gateway.state.settings
        app: ASGIApp = with_cors(gateway)
        config = uvicorn.Config(app, settings.host, settings.port, loop=loop, http="httptools", **_OPTIONS)
        super().__init__(config)
        config.load()
        self._state = gateway.state
        self._announce = announce
        self._door = Door(gateway.state, gateway.routes)
        self._greeters: list[Greeter] = []
        """Who takes connections, for each socket that is listened at."""
        self._stopped = asyncio.Event()
        config.http_protocol_class = cast("type[asyncio.Protocol]", partial(Connection, door=self._door))

    @property
    def _connections(self) -> set[Connection]:
        return cast("set[Connection]", self.server_state.connections)

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Listen, then announce it. Ends the process when the address is taken."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for server in self.servers:
            for sock in server.sockets:
                # Connections have it of the socket they were accepted at.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
                greeter = Greeter(
                    os.dup(sock.fileno()),
                    self._connection,
                    loop,
                    refuse=self._door.refuse,
                    is_full=self._door.is_full,
                )
                self._greeters.append(greeter)
            server.close()
        self.servers = []
        for greeter in self._greeters:
            greeter.start()
        if self.started and self._announce is not None:
            self._announce(self._state)

    def _connection(self) -> asyncio.BaseProtocol:
        """What uvicorn makes for a connection it has accepted."""
        make = cast("Callable[..., asyncio.BaseProtocol]", self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def stop(self) -> None:
        """End as after a signal, without waiting for the next tick."""
        self.should_exit = True
        self._stopped.set()

    async def main_loop(self) -> None:
        """Tick until no connection is to be accepted any more."""
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), _TICK_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal to end: the first begins the drain, the second shortens it. The exit status is 0."""
        self._state.drain.signal(self._state.snapshot.config.drain)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second. Whether no connection is to be accepted any more."""
        over = await super().on_tick(counter)
        if counter % _SWEEP_TICKS == 0:
            self._sweep()
        return over or not self._state.drain.accepts

    def _sweep(self) -> None:
        self._door.refresh()
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._connections):
            connection.sweep(now)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        """Refuse new connections, wait for what is under way, end what is left at the hard limit."""
        drain = self._state.drain
        if not drain.begun:
            drain.signal(self._state.snapshot.config.drain)
        for greeter in self._greeters:
            greeter.close()
        for sock in sockets or ():
            sock.close()
        await self._until_done()
        if self.server_state.tasks:
            drain.ended = True
            for task in tuple(self.server_state.tasks):
                task.cancel()
            await asyncio.wait(self.server_state.tasks, timeout=_GRACE_SECONDS)
        await self._close_all()
        await self.lifespan.shutdown()

    async def _until_done(self) -> None:
        """Until nothing is under way, or the hard limit. Connections between two requests stay open until then."""
        ticks, drain = 0, self._state.drain
        while not drain.is_over and (
            self.server_state.tasks or any(connection.is_busy for connection in self._connections)
        ):
            await asyncio.sleep(_STEP_SECONDS)
            ticks += 1
            if ticks % _STEPS_A_SWEEP == 0:
                await self.on_tick(0)

    async def _close_all(self) -> None:
        """Close what is open, leaving a moment for bytes under way."""
        for connection in tuple(self._connections):
            connection.shutdown()
        for _ in range(int(_GRACE_SECONDS / _STEP_SECONDS)):
            if not self._connections:
                return
            await asyncio.sleep(_STEP_SECONDS)
        for connection in tuple(self._connections):
            connection.transport.abort()
