"""The yardstick: what a proxy on uvicorn and aiohttp costs that parses, patches and relays, and does nothing else.

`bare_proxy.py PORT UPSTREAM`. No authentication, routing, limits, metering or logs; every gateway pays at least this.
"""

import argparse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import aiohttp
import msgspec
import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-bench"}


class BareProxy:
    """One ASGI application with one session."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if not body or self._session is None:
            await _whole(send, b'{"ok":true}')
            return
        request = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        request["model"] = msgspec.Raw(b'"gpt-4o-mini"')
        patched = msgspec.json.encode(request)
        async with self._session.post(self._upstream + scope["path"], data=patched, headers=HEADERS) as answer:
            if b"true" not in bytes(request.get("stream", b"")):
                await _whole(send, await answer.read())
                return
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for data in answer.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._session.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _whole(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A proxy that parses, patches and relays.")
    parser.add_argument("port", type=int)
    parser.add_argument("upstream", help="such as http://127.0.0.1:9001")
    arguments = parser.parse_args()
    app = BareProxy(arguments.upstream)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False, backlog=4096)


if __name__ == "__main__":
    main()
