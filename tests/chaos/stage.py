"""The stage of one scenario: upstreams and proxies on one event loop of their own, and a gateway process before them."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from chaos.scenario import Kind, Link, Scenario, Way, words
from child import ChildGateway
from execution_platform.testing import Exchange, FakeUpstream, FaultProxy, Script, Text
from execution_platform.testing.certificates import Authority

T = TypeVar("T")
NAMES = ("alpha", "beta", "gamma", "delta")
ROOTS = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta"}
KINDS: Mapping[str, Kind] = {"openai_chat": "openai", "anthropic": "anthropic", "gemini": "gemini"}
MODELS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}
SECONDS = {"connect": 1, "first_token": 1, "idle": 1, "total": 10}
"""Time limits of every upstream unless a link has its own: short, so that a rehearsal is."""


class Backstage:
    """An event loop on a thread of its own, for everything that serves."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="backstage", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass
class Post:
    """One link of one cell's chain: its provider's name, its upstream and the proxy before it, if there is one."""

    provider: str
    link: Link
    kind: Kind
    upstream: FakeUpstream
    proxy: FaultProxy | None = None

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """Requests for an answer that reached the upstream."""
        return [one for one in self.upstream.meter.exchanges if one.operation == "chat"]

    @property
    def text(self) -> str:
        """What it says unless it is told to say something else."""
        return words(self.upstream_name)

    @property
    def upstream_name(self) -> str:
        """The word its text is made of."""
        return NAMES[int(self.provider.rpartition("n")[2])]


@dataclass
class Cell:
    """One client and one way of one scenario, with a chain of its own."""

    scenario: Scenario
    client: str
    way: Way
    is_raw: bool
    name: str
    posts: Sequence[Post] = ()

    def kind(self, number: int, link: Link) -> Kind:
        """What a link of the chain speaks. Raw clients meet their own dialect first, so that its bytes pass through."""
        return KINDS[self.client] if self.is_raw and number == 0 else link.kind

    @property
    def label(self) -> str:
        """What the scorecard calls it."""
        return f"{self.client}{' raw' if self.is_raw else ''} {self.way}"


def cells_of(scenario: Scenario) -> list[Cell]:
    """Every way and every client of a scenario."""
    found = [(client, way, False) for way in scenario.ways for client in scenario.clients]
    if "stream" in scenario.ways:
        found += [(client, "stream", True) for client in scenario.raw if client in scenario.clients]
    return [Cell(scenario, client, way, raw, f"cell{number}") for number, (client, way, raw) in enumerate(found)]


class Stage:
    """Everything one scenario is played on, for all its cells at once."""

    def __init__(self, scenario: Scenario, backstage: Backstage) -> None:
        self.scenario = scenario
        self.cells = cells_of(scenario)
        self._backstage = backstage
        self.gateway: ChildGateway | None = None

    def __enter__(self) -> Self:
        self._backstage.run(self._build())
        return self

    def open(self, **changes: Any) -> ChildGateway:
        """Start the gateway, with more of its configuration. Raises `RuntimeError` with what it said when it does not answer."""
        self.gateway = gateway = ChildGateway(self.config(**changes), environ=self._environ)
        gateway.start()
        return gateway

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.gateway is not None:
            self.gateway.__exit__()
        self._backstage.run(self._clear())
        self._folder.cleanup()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the loop of the upstreams do something."""
        return self._backstage.run(work)

    def posts(self, index: int) -> list[Post]:
        """The same link of all cells."""
        return [cell.posts[index] for cell in self.cells]

    async def _build(self) -> None:
        import tempfile
        from pathlib import Path

        self._folder = tempfile.TemporaryDirectory(prefix="ep-stage-")
        known = Authority(Path(self._folder.name), "known authority")
        other = Authority(Path(self._folder.name), "unknown authority")
        self._environ = {"SSL_CERT_FILE": str(known.path), **self.scenario.environ}
        for cell in self.cells:
            posts = []
            for number, link in enumerate(self.scenario.chain):
                upstream = FakeUpstream(default=Script(Text(words(NAMES[number]))))
                await upstream.start()
                if link.says:
                    upstream.script(*(link.script(NAMES[number], script) for script in link.says))
                proxy = None
                if link.has_proxy:
                    tls = None
                    if link.tls:
                        tls = other.server() if link.tls == "unknown" else known.server(flaw=link.tls)
                    proxy = FaultProxy(upstream.url, tls=tls)
                    await proxy.start()
                    proxy.script(*link.proxy)
                    await proxy.listen(link.listen)
                posts.append(Post(f"{cell.name}n{number}", link, cell.kind(number, link), upstream, proxy))
            cell.posts = posts

    async def _clear(self) -> None:
        for cell in self.cells:
            for post in cell.posts:
                if post.proxy is not None:
                    await post.proxy.stop()
                await post.upstream.stop()

    def config(self, **changes: Any) -> dict[str, Any]:
        """The gateway's configuration: for each cell one model of the cell's name with its chain."""
        providers: dict[str, Any] = {}
        models: dict[str, Any] = {}
        for cell in self.cells:
            for post in cell.posts:
                kind = post.kind
                url = post.proxy.url if post.proxy is not None else post.upstream.url
                providers[post.provider] = {
                    "kind": kind,
                    "base_url": url + ROOTS[kind],
                    "api_key": f"canary-{post.provider}-key",
                    "timeouts": SECONDS,
                    "retry": {"base_seconds": 0.05},
                    "free": True,
                    **post.link.settings,
                }
            targets = [{"model": f"{post.provider}/{MODELS[post.kind]}"} for post in cell.posts]
            models[cell.name] = {"targets": targets, **self.scenario.model}
        return {"providers": providers, "models": models, **self.scenario.config, **changes}
