"""The edge of the management API: request id, trace, one access log line, and errors that nobody caught."""

import time
from collections.abc import Awaitable, Callable

from execution_platform import _json
from execution_platform.exceptions import ExecutionPlatformError, UnprocessableRequest
from execution_platform.gateway.admission import Priority
from execution_platform.gateway.errors import InternalError, error_body, error_headers
from execution_platform.gateway.http import (
    ClientGone,
    Message,
    Receive,
    Scope,
    Send,
    read_body,
    read_headers,
    send_body,
)
from execution_platform.gateway.listing import dialect_of
from execution_platform.gateway.policy import PRINCIPAL, PUBLIC_PATHS
from execution_platform.gateway.state import State
from execution_platform.observability import correlation
from execution_platform.observability.logging import now
from execution_platform.tool_bridge.mcp.definitions import defines_program

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_GONE = 499


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
        started, status, answered = time.perf_counter(), 500, False
        request_id = correlation.request_id(dict(scope["headers"]).get(b"x-request-id"))
        scope["ep.request_id"] = request_id

        async def tell(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], True
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    (b"x-ep-config", self._state.snapshot.version.encode()),
                ]
            await send(message)

        try:
            await self._app_checked(scope, receive, tell)
        except ClientGone:
            status = _GONE
        except ExecutionPlatformError as error:
            await self._refuse(scope, error, request_id, tell)
        except Exception as error:  # noqa: BLE001 - the ASGI edge
            self._state.log_failure(error, request_id)
            if not answered:
                failure = InternalError(f"the gateway failed; the cause is in its log under request id {request_id}")
                await self._refuse(scope, failure, request_id, tell)
        finally:
            self._log(scope, request_id, status, time.perf_counter() - started)

    async def _app_checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing behind here but the public paths is reached without a principal, and no body that is not strict JSON."""
        admission = self._state.admission
        admission.check(Priority.ADMIN)
        headers = read_headers(scope)
        if scope["path"] not in PUBLIC_PATHS:
            scope[PRINCIPAL] = (
                self._state.recognise(headers)
                or await self._state.login.of(scope)
                or await self._state.identify(scope, headers)
            )
        limits = self._state.snapshot.config.limits
        body = await read_body(scope, receive, headers, limits.body)
        if body:
            try:
                given = _json.read(body, max_depth=limits.depth)
            except _json.JsonError as error:
                raise UnprocessableRequest(
                    f"the request body is not usable JSON: {error}", code="invalid_json"
                ) from None
            if defines_program(given.value):
                raise UnprocessableRequest(
                    "no path takes programs to start: MCP servers with a command are configured in the operator's file alone",
                    code="stdio_not_permitted",
                )
        admission.enter(Priority.ADMIN)
        try:
            await self._app(scope, _replay(body, receive), send)
        finally:
            admission.leave()

    async def _refuse(self, scope: Scope, error: ExecutionPlatformError, request_id: str, send: Send) -> None:
        body = error_body(error, dialect_of(scope), request_id, self._state.snapshot.redactor)
        await send_body(send, error.status, error_headers(error), body)

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
                "client": self._state.peers.client(scope),
                "path": getattr(route, "path", "unknown"),
                "status": status,
                "config": self._state.snapshot.version,
                "duration_ms": round(seconds * 1000, 2),
            }
        )


def _replay(body: bytes, receive: Receive) -> Receive:
    """`receive` with the body that has been read in front of it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
