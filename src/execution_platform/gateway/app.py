"""The gateway as an ASGI application, and the one place where its parts are put together.

`build(settings)` gives the application; `app` is the one an ASGI server imports. A request goes to an
LLM path by table look-up, or to the management API; both pass the same edge: request id, trace,
authentication, errors in the caller's dialect.
"""

import gc
from collections.abc import Callable
from functools import cache
from typing import cast

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from execution_platform.config.settings import Settings
from execution_platform.gateway.http import Message, Receive, Scope, Send
from execution_platform.gateway.management import management_api
from execution_platform.gateway.routes import Routes
from execution_platform.gateway.serve import serve
from execution_platform.gateway.state import State


class Gateway:
    """The ASGI callable. Holds the state of one process."""

    def __init__(self, state: State, announce: Callable[[State], None] | None = None) -> None:
        self.state = state
        self._announce = announce
        self.routes = Routes()
        self.management = management_api(state, self.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event: a request, or the life of the process."""
        if scope["type"] == "http":
            match = self.routes.match(scope["path"], scope["query_string"]) if scope["method"] == "POST" else None
            if match is not None:
                await serve(self.state, match, scope, receive, send)
            else:
                await self.management(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self.management(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message: Message = await receive()
            if message["type"] == "lifespan.startup":
                await self.state.start()
                if self._announce is not None:
                    self._announce(self.state)
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.state.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def build(settings: Settings | None = None, announce: Callable[[State], None] | None = None) -> Gateway:
    """The gateway for `settings` (the environment's by default); `announce` is told when it serves. Raises `ConfigError`."""
    return Gateway(State(settings if settings is not None else Settings()), announce)


def with_cors(gateway: Gateway) -> ASGIApp:
    """`gateway` for browsers of the origins in `CORS_ALLOWED_ORIGINS`; itself when there are none."""
    origins = gateway.state.settings.cors_origins
    if not origins:
        return cast("ASGIApp", gateway)
    return CORSMiddleware(cast("ASGIApp", gateway), allow_origins=origins, allow_methods=["*"], allow_headers=["*"])


def steady(state: State) -> None:
    """Keep the collector away from what lives as long as the process: it would walk all of it again and again."""
    del state
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@cache
def application() -> ASGIApp:
    """The application of this process, made from the environment when first asked for. Raises `ConfigError`."""
    return with_cors(build(announce=steady))


def __getattr__(name: str) -> object:
    """`app` for ASGI servers: importing this module opens nothing."""
    if name == "app":
        return application()
    raise AttributeError(name)
