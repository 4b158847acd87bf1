"""The platform's tools for MCP clients: streamable HTTP, one exchange at a time."""

from collections.abc import Mapping, MutableMapping
from typing import Annotated, Any, cast

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from execution_platform import _json
from execution_platform.exceptions import PermissionDenied
from execution_platform.gateway.endpoints.tools import persona_of
from execution_platform.gateway.policy import Caller, GatewayState, RequestId
from execution_platform.gateway.state import State
from execution_platform.gateway.tooling import User
from execution_platform.tool_bridge.mcp.server import Message, Offered, Receive, Scope, Send, exchange
from execution_platform.tool_bridge.protocol import ToolResult

router = APIRouter(tags=["tools"])


class _Exchange(Response):
    """The answer of the protocol's own server, which writes it itself."""

    def __init__(self, state: State, offered: Offered, request_id: str) -> None:
        super().__init__()
        self._state = state
        self._offered = offered
        self._request_id = request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 200

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status >= 400:
                self._note(status, message)
            await send(message)

        await exchange(self._offered, self._state.snapshot.config.mcp, scope, receive, told)

    def _note(self, status: int, message: MutableMapping[str, Any]) -> None:
        """A line for the operator about a request that the protocol's rules refuse."""
        self._state.log.event(
            "mcp_refused",
            "warning",
            request_id=self._request_id,
            status=status,
            code=_code(message.get("body", b"")),
        )


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
