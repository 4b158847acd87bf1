"""A gateway and a scripted upstream, each on a thread of its own, for SDKs that block."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sdks import KEY, SDKS

from execution_platform.testing import FakeUpstream
from serving import Served, serving, three_vendors

LIMITED = "ep-limited-key-0000000001"
KEEPER = "ep-keeper-key-00000000001"
"""The key of a tenant whose responses are kept."""
ONE = {"requests": 1, "tokens": 100_000}
"""The limits of one key for each SDK."""
CHAIN = ["openai/gpt-4o", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro"]


@pytest.fixture(scope="session")
def vendors() -> Iterator[FakeUpstream]:
    with FakeUpstream.in_thread() as running:
        yield running.upstream


@pytest.fixture
def upstream(vendors: FakeUpstream) -> FakeUpstream:
    """The upstream without scripts and with an empty meter."""
    vendors.reset()
    return vendors


@pytest.fixture
def gateway(served: Served) -> str:
    """The URL of the gateway, which remembers no failure of another test."""
    served.gateway.state.builder.board._deployments.clear()
    return served.url


@pytest.fixture(scope="session")
def served(vendors: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway in front of the upstream's three dialects; it wants a key, and asks nobody twice."""
    folder: Path = tmp_path_factory.mktemp("gateway")
    config = three_vendors(
        vendors,
        personas={"architect": {"prefer": CHAIN, "system": "You are an architect."}},
        keys=[
            {"name": "tests", "key": KEY},
            {"name": "keeper", "key": KEEPER, "tenant": "keeper"},
            *({"name": f"limited-{name}", "key": f"{LIMITED}-{name}", "rate_limit": ONE} for name in SDKS),
        ],
    )
    config["responses"] = {"keep_for": ["keeper"]}
    for provider in config["providers"].values():
        provider["retry"] = {"max_attempts": 1}
    config["providers"]["openai"]["models"] = ["gpt-4o", "gpt-5.1", "text-embedding-3-small"]
    config["providers"]["gemini"]["models"] = ["gemini-2.5-pro", "gemini-embedding-001"]
    ready = threading.Event()
    state: dict[str, object] = {}

    async def run() -> None:
        stop = asyncio.Event()
        async with serving(folder, config) as served:
            state.update(served=served, stop=stop, loop=asyncio.get_running_loop())
            ready.set()
            await stop.wait()

    def serve() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            state["error"] = error
            raise
        finally:
            ready.set()

    thread = threading.Thread(target=serve, name="gateway", daemon=True)
    thread.start()
    ready.wait(30)
    assert "served" in state, state.get("error")
    yield state["served"]  # type: ignore[misc]
    state["loop"].call_soon_threadsafe(state["stop"].set)  # type: ignore[attr-defined]
    thread.join(10)
