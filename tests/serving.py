"""A real gateway on a loopback port, for tests: the ASGI application under uvicorn, in the test's own loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from execution_platform.config.settings import Settings
from execution_platform.gateway.app import Gateway, build
from execution_platform.gateway.server import EdgeServer
from execution_platform.testing import FakeUpstream


@dataclass
class Served:
    """A running gateway."""

    url: str
    gateway: Gateway
    http: aiohttp.ClientSession

    async def post(self, path: str, body: object = None, *, data: bytes | None = None, **headers: str) -> "Got":
        """POST JSON (or raw bytes) and read the whole answer."""
        sent = {
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        given: dict[str, Any] = {"data": data} if data is not None else {"json": body}
        async with self.http.post(self.url + path, headers=sent, **given) as response:
            return Got(response.status, dict(response.headers), await response.read())

    async def get(self, path: str, **headers: str) -> "Got":
        """GET and read the whole answer."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.get(self.url + path, headers=sent) as response:
            return Got(response.status, dict(response.headers), await response.read())


@dataclass
class Got:
    """An answer, read."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        from execution_platform import _json

        return _json.loads(self.body)

    def header(self, name: str) -> str | None:
        """A header, whatever its case."""
        return next((value for key, value in self.headers.items() if key.lower() == name), None)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Put `config` in the place of the file the gateway reads, in one step."""
    beside = folder / "platform.yaml.new"
    beside.write_text(yaml.safe_dump({"version": 1, **config}, sort_keys=False))
    beside.replace(folder / "platform.yaml")


@asynccontextmanager
async def serving(
    folder: Path, config: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Served]:
    """A gateway for `config`, with nothing from the real environment but what `environ` gives."""
    # Most tests change nothing; those that do turn the watch on.
    settings_environ = {"EP_WORKSPACE_ROOT": str(folder), "EP_CONFIG_WATCH": "false", **(environ or {})}
    if config is not None:
        write_config(folder, config)
        settings_environ["EP_CONFIG"] = str(folder / "platform.yaml")
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # asyncio sets TCP_NODELAY by this
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        settings_environ["EP_PORT"] = str(port)
        gateway = build(Settings(settings_environ))
        server = EdgeServer(gateway, loop="none")
        serve = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            if serve.done():
                await serve
            await asyncio.sleep(0.005)
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            try:
                yield Served(f"http://127.0.0.1:{port}", gateway, http)
            finally:
                server.stop()
                await serve


def three_vendors(upstream: FakeUpstream, **changes: Any) -> dict[str, Any]:
    """A configuration with the three vendors' kinds, all of them at `upstream`, and retries without long pauses.

    The event loop is late by what clients and upstream do in it, for which nobody is to be refused.
    """
    url = upstream.url
    return {
        "retry": {"base_seconds": 0.001},
        "limits": {"lag_seconds": 5},
        "providers": {
            "openai": {
                "kind": "openai",
                "base_url": f"{url}/v1",
                "api_key": "sk-openai-canary-1",
                "models": ["gpt-4o"],
            },
            "anthropic": {
                "kind": "anthropic",
                "base_url": url,
                "api_key": "sk-ant-canary-22",
                "models": ["claude-sonnet-4-5"],
            },
            "gemini": {
                "kind": "gemini",
                "base_url": f"{url}/v1beta",
                "api_key": "AIza-canary-333333333",
                "models": ["gemini-2.5-pro"],
            },
        },
        **changes,
    }


MODELS = {
    "openai_chat": "openai/gpt-4o",
    "anthropic": "anthropic/claude-sonnet-4-5",
    "gemini": "gemini/gemini-2.5-pro",
}


def chat_body(dialect: str, text: str, model: str, *, stream: bool = False) -> tuple[str, dict[str, Any]]:
    """A plain request in a client's dialect: its path and its body."""
    if dialect == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{method}", {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    messages = [{"role": "user", "content": text}]
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": stream}
    if dialect == "anthropic":
        return "/v1/messages", {**body, "max_tokens": 100}
    if dialect == "native":
        return "/v1/chat", body
    return "/v1/chat/completions", body
