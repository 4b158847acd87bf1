"""The edge of the management API: request id, trace, one access log line, and errors that nobody caught."""

import time
from collections.abc import Awaitable, Callable

from execution_platform.dialects import dialect
from execution_platform.exceptions import ExecutionPlatformError, InvalidRequest
from execution_platform.gateway.errors import InternalError, error_headers
from execution_platform.gateway.http import Message, Receive, Scope, Send, read_headers, send_body
from execution_platform.gateway.policy import PUBLIC_PATHS
from execution_platform.gateway.state import State
from execution_platform.observability import correlation
from execution_platform.observability.logging import now

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_DOCS = frozenset({"/docs", "/openapi.json", "/docs/oauth2-redirect"})


class Edge:
    """Pure ASGI middleware around the management API."""

    def __init__(self, app: App, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one management request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500
        request_id = correlation.request_id(dict(scope["headers"]).get(b"x-request-id"))
        scope["ep.request_id"] = request_id

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-ep-config", self._state.snapshot.version.encode()),
                ]
            await send(message)

        try:
            await self._app_checked(scope, receive, tell)
        except ExecutionPlatformError as error:
            body = dialect("native").encode_error(error, request_id)
            await send_body(tell, error.status, error_headers(error), body)
        except Exception as error:  # noqa: BLE001 - the ASGI edge
            self._state.log_traceback(error)
            failure = InternalError(f"the gateway failed; the cause is in its log under request id {request_id}")
            body = dialect("native").encode_error(failure, request_id)
            await send_body(tell, failure.status, error_headers(failure), body)
        finally:
            self._log(scope, request_id, status, time.perf_counter() - started)

    async def _app_checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Documentation pages have no route policy of ours, so they are guarded here like a `caller` route."""
        if scope["path"] in _DOCS:
            self._state.authenticator.authenticate(read_headers(scope))
        length = dict(scope["headers"]).get(b"content-length", b"0")
        limit = self._state.snapshot.config.limits.body
        if not length.isdigit() or int(length) > limit:
            raise InvalidRequest(f"the request body is over the limit of {limit} bytes (limits.body)")
        await self._app(scope, receive, send)

    def _log(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        if scope["path"] in PUBLIC_PATHS and status < 400:
            return
        route = scope.get("route")
        self._state.log.write(
            {
                "ts": now(),
                "level": "info",
                "event": "request",
                "request_id": request_id,
                "method": scope["method"],
                "path": getattr(route, "path", "unknown"),
                "status": status,
                "duration_ms": round(seconds * 1000, 2),
            }
        )
