"""Commands that ask a running gateway: its address, the key from the environment, and its refusals as our errors."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from execution_platform.config.settings import Settings
    from execution_platform.exceptions import ExecutionPlatformError

Url = Annotated[
    str | None, typer.Option(envvar="EP_GATEWAY_URL", help="Gateway to ask.", show_default="EP_HOST and EP_PORT")
]
Running = Annotated[
    str | None, typer.Option("--url", envvar="EP_GATEWAY_URL", help="Gateway to ask.", show_default="none: in process")
]
_KEYS = ("EP_API_KEY", "EP_MASTER_KEY")
_SECONDS = 30.0
_MOST = 16 * 1024 * 1024


def ask(
    settings: "Settings",
    url: str | None,
    path: str,
    *,
    method: str = "GET",
    body: object = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Mapping[str, Any]:
    """What the gateway answers; empty where it says nothing.

    Raises `ProviderError` when it does not answer, and the refusal when it refuses.
    """
    from execution_platform import _json
    from execution_platform.exceptions import ErrorKind, ProviderError
    from execution_platform.transport.http import HttpCall, HttpTransport
    from execution_platform.transport.timeouts import Timeouts

    root = _root(url or f"http://{settings.host}:{settings.port}")
    key = key_of(settings)
    sent_headers = {"accept": "application/json", **headers}
    if key is not None:
        sent_headers["x-api-key"] = key
    sent = b""
    if body is not None:
        sent, sent_headers["content-type"] = _json.dumps(body), "application/json"

    async def send() -> tuple[int, bytes]:
        transport = HttpTransport()
        try:
            limits = Timeouts(connect=3, first_token=_SECONDS, idle=_SECONDS, total=_SECONDS)
            reply = await transport.send(HttpCall(method, root + path, sent_headers, sent), timeouts=limits)
            try:
                return reply.status, await reply.read(_MOST)
            finally:
                reply.close()
        finally:
            await transport.aclose()

    try:
        status, answered = asyncio.run(send())
        answer = cast("Mapping[str, Any]", _json.loads(answered or b"{}"))
    except ProviderError as error:
        told = f"cannot reach {root}: {error.message}; check the address and that the gateway runs (`ep serve`)"
        raise ProviderError(told, kind=error.kind) from None
    except _json.JsonError:
        raise ProviderError(f"{root} is no gateway: its answer is no JSON", kind=ErrorKind.UNAVAILABLE) from None
    if status >= 300:
        raise _refusal(root, status, cast("Mapping[str, object]", answer.get("error") or {}))
    return answer


def key_of(settings: "Settings") -> str | None:
    """The key with which a gateway is asked: EP_API_KEY, else EP_MASTER_KEY, also from `.env`."""
    return next((settings.environ[name] for name in _KEYS if settings.environ.get(name)), None)


def _root(url: str) -> str:
    from urllib.parse import urlsplit

    from execution_platform.exceptions import ConfigError

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"--url: expected http://host:port or https://host, got {url!r}")
    return url.rstrip("/").removesuffix("/v1")


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
    if status == 401:
        told += "; set EP_API_KEY or EP_MASTER_KEY to one of its keys"
    if status >= 500:
        return ProviderError(told, kind=ErrorKind.UNAVAILABLE)
    return {401: AuthenticationError, 403: PermissionDenied, 404: RouterError}.get(status, ConfigError)(told)
