"""The platform's tools for MCP clients: streamable HTTP, one exchange at a time."""

from collections.abc import Mapping
from typing import Annotated, cast

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from execution_platform import _json
from execution_platform.exceptions import InvalidRequest, PermissionDenied
from execution_platform.gateway.endpoints.tools import persona_of
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.gateway.state import State
from execution_platform.gateway.tooling import User
from execution_platform.tool_bridge.mcp.server import Message, Offered, Receive, Scope, Send, exchange
from execution_platform.tool_bridge.protocol import ToolResult

router = APIRouter(tags=["tools"])


_REASONS: Mapping[int, str] = {
    400: "the body must be JSON, with content-type: application/json",
    403: "this origin is not in mcp.origins",
    406: "accept must list application/json and text/event-stream",
    413: "the body is too large",
    421: "this host is not in mcp.hosts",
}


class McpRefused(InvalidRequest):
    """The request is not one of the protocol, or not for this gateway. Nothing was run."""

    code = "mcp_refused"

    def __init__(self, status: int) -> None:
        super().__init__(f"/mcp: {_REASONS.get(status, 'the request is not one of the protocol')}")
        self._status = status

    @property
    def status(self) -> int:
        """The one that the protocol names for the reason."""
        return self._status


class _Exchange(Response):
    """The answer of the protocol's own server, which writes it itself."""

    def __init__(self, state: State, offered: Offered, request_id: str) -> None:
        super().__init__()
        self._state = state
        self._offered = offered
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. Raises `McpRefused` for what the protocol's server refuses in plain words."""
        start: Message | None = None
        refused: McpRefused | None = None

        async def told(message: Message) -> None:
            nonlocal start, refused
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None and start["status"] >= 400:
                self._note(start["status"], message.get("body", b""))
                if not _is_json(start):
                    refused = McpRefused(start["status"])
            if refused is not None:
                return
            if start is not None:
                await send(start)
                start = None
            await send(message)

        await exchange(self._offered, self._state.snapshot.config.mcp, scope, receive, told)
        if refused is not None:
            raise refused

    def _note(self, status: int, body: bytes) -> None:
        """A line for the operator about a request that the protocol's rules refuse."""
        self._state.log.event("mcp_refused", "warning", request_id=self._request_id, status=status, code=_code(body))


def _is_json(start: Message) -> bool:
    headers = {name.lower(): value for name, value in start.get("headers", ())}
    return headers.get(b"content-type", b"").startswith(b"application/json")


@router.post("/mcp")
async def mcp(
    request: Request,
    state: GatewayState,
    principal: Caller,
    request_id: RequestId,
    x_ep_persona: Annotated[str | None, Header()] = None,
) -> Response:
    """One message of the Model Context Protocol, 2026-07-28 or earlier.

    It offers the tools that the key, and the persona of the header `x-ep-persona`, may use. A call passes the same checks as
    `/v1/tools/invoke`.
    """
    del request
    if not state.snapshot.config.mcp.offer:
        raise PermissionDenied(
            "the tools are not offered by MCP here; the operator can list the names of this gateway in mcp.hosts",
            code="mcp_not_offered",
        )
    user = User(principal, persona_of(state, principal, x_ep_persona))

    async def call(name: str, args: Mapping[str, object]) -> ToolResult:
        return await state.tooling.invoke(user, name, args, request_id)

    tools = [tool for tool in state.tools.tools() if user.may_use(tool.name)]
    return _Exchange(state, Offered(tools, call), request_id)


def _code(body: bytes) -> object:
    try:
        told = cast("dict[str, dict[str, object]]", _json.loads(body))
    except _json.JsonError:
        return None
    return told.get("error", {}).get("code")
