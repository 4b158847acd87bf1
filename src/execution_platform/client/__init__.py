"""The client SDK: one gateway, from Python.

`ExecutionPlatformClient` blocks, `AsyncExecutionPlatformClient` is its twin for asyncio, and `GatewayClient` hands on the raw
events of the native stream. All three raise the exceptions of `execution_platform.exceptions`, treat a stream without `done` as a
failure, wait 10 s for a connection and then for as long as the answer takes.

The HTTP library is this package's attribute `httpx`; it is looked up at each use and imported at the first.
"""

from typing import TYPE_CHECKING

from execution_platform.client._asynchronous import AsyncChat, AsyncExecutionPlatformClient
from execution_platform.client._gateway import GatewayClient
from execution_platform.client._runs import OwnTool, RunEvent, RunOptions, RunResult
from execution_platform.client._synchronous import ExecutionPlatformClient

if TYPE_CHECKING:
    import httpx2 as httpx

__all__ = [
    "AsyncChat",
    "AsyncExecutionPlatformClient",
    "ExecutionPlatformClient",
    "GatewayClient",
    "OwnTool",
    "RunEvent",
    "RunOptions",
    "RunResult",
    "httpx",
]


def __getattr__(name: str) -> object:
    if name != "httpx":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import httpx2 as httpx

    globals()["httpx"] = httpx
    return httpx
