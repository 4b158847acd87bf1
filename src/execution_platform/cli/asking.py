"""Commands that ask a running gateway: its address, the key from the environment, and its refusals as our errors."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from execution_platform.config.settings import Settings
    from execution_platform.exceptions import ExecutionPlatformError

Url = Annotated[
    str | None, typer.Option(envvar="EP_GATEWAY_URL", help="Gateway to ask.", show_default="EP_HOST and EP_PORT")
]
_KEYS = ("EP_API_KEY", "EP_MASTER_KEY")
_SECONDS = 30.0
_MOST = 16 * 1024 * 1024


def ask(
    settings: "Settings", url: str | None, path: str, *, method: str = "GET", body: object = None
) -> Mapping[str, Any]:
    """What the gateway answers; empty where it says nothing.

    Raises `ProviderError` when it does not answer, and the refusal when it refuses.
    """
    from execution_platform import _json
    from execution_platform.transport.http import HttpCall, HttpTransport
    from execution_platform.transport.timeouts import Timeouts

    root = (url or f"http://{settings.host}:{settings.port}").rstrip("/")
    key = next((settings.environ[name] for name in _KEYS if settings.environ.get(name)), None)
    headers = {"accept": "application/json"}
    if key is not None:
        headers["x-api-key"] = key
    sent = b""
    if body is not None:
        sent, headers["content-type"] = _json.dumps(body), "application/json"

    async def send() -> tuple[int, bytes]:
        transport = HttpTransport()
        try:
            limits = Timeouts(connect=3, first_token=_SECONDS, idle=_SECONDS, total=_SECONDS)
            reply = await transport.send(HttpCall(method, root + path, headers, sent), timeouts=limits)
            try:
                return reply.status, await reply.read(_MOST)
            finally:
                reply.close()
        finally:
            await transport.aclose()

    status, answered = asyncio.run(send())
    answer = cast("Mapping[str, Any]", _json.loads(answered or b"{}"))
    if status >= 300:
        raise _refusal(root, status, cast("Mapping[str, object]", answer.get("error") or {}))
    return answer


def _refusal(root: str, status: int, error: Mapping[str, object]) -> "ExecutionPlatformError":
    from execution_platform.exceptions import (
        AuthenticationError,
        ConfigError,
        ErrorKind,
        PermissionDenied,
        ProviderError,
        RouterError,
    )

    told = f"the gateway at {root} refuses: {error.get('message') or status}"
    if status >= 500:
        return ProviderError(told, kind=ErrorKind.UNAVAILABLE)
    return {401: AuthenticationError, 403: PermissionDenied, 404: RouterError}.get(status, ConfigError)(told)
