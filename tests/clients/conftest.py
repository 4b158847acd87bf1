"""A gateway that wants a key, in front of an upstream that speaks every vendor's dialect."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clients.programs import KEY
from execution_platform.testing import FakeUpstream
from serving import serving, three_vendors


@pytest.fixture(scope="session")
def vendors() -> Iterator[FakeUpstream]:
    with FakeUpstream.in_thread() as running:
        yield running.upstream


@pytest.fixture
def upstream(vendors: FakeUpstream) -> FakeUpstream:
    """The upstream without scripts and with an empty meter."""
    vendors.reset()
    return vendors


@pytest.fixture(scope="session")
def gateway(vendors: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gateway's URL."""
    config = three_vendors(vendors, keys=[{"name": "clients", "key": KEY}])
    folder: Path = tmp_path_factory.mktemp("gateway")
    ready, state = threading.Event(), dict[str, Any]()

    async def run() -> None:
        stop = asyncio.Event()
        async with serving(folder, config) as served:
            state.update(url=served.url, stop=stop, loop=asyncio.get_running_loop())
            ready.set()
            await stop.wait()

    def serve() -> None:
        try:
            asyncio.run(run())
        finally:
            ready.set()

    thread = threading.Thread(target=serve, name="gateway", daemon=True)
    thread.start()
    ready.wait(30)
    yield state["url"]
    state["loop"].call_soon_threadsafe(state["stop"].set)
    thread.join(10)
