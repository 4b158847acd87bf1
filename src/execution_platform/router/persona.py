"""`PersonaRouter`: personas in process, without a gateway.

It uses the gateway's own routing table, providers and attempt loop, and keeps no books.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from execution_platform.config.values import PersonaConfig
from execution_platform.exceptions import RouterError
from execution_platform.providers.base import Exchange, Provider
from execution_platform.providers.registry import specs
from execution_platform.resilience.board import Board
from execution_platform.router.attempt import Attempt
from execution_platform.router.chain import Committed, Run, commit, first_to_commit
from execution_platform.router.hedging import hedge_of
from execution_platform.router.limits import upstream_policies
from execution_platform.router.patience import first_content
from execution_platform.router.table import Route, RoutingTable
from execution_platform.spi.clients import Chat
from execution_platform.spi.events import Event
from execution_platform.spi.messages import Message
from execution_platform.spi.request import ChatRequest, EmbeddingsRequest
from execution_platform.spi.response import EmbeddingsResponse

if TYPE_CHECKING:
    from execution_platform.config.settings import Settings


class RoutedClient:
    """An `LLMClient` and `EmbeddingsClient` for one persona or model: its chain with failover before the first content."""

    def __init__(self, router: "PersonaRouter", name: str | None, persona: str | None) -> None:
        self._router = router
        self._name = name
        self._persona = persona

    def chat(self, request: ChatRequest) -> Chat:
        """Begin one answer: iterate it for chunks or await it for the whole."""
        return Chat(lambda: self._events(request))

    async def _events(self, request: ChatRequest) -> AsyncIterator[Event]:
        route = self._router.route(request.model or self._name, request.persona or self._persona)
        if route.persona is not None:
            request = with_persona(request, route.persona)

        async def attempt(tried: Attempt) -> tuple[Attempt, Committed]:
            target = tried.target
            provider = self._router.provider(target.provider)
            exchange = Exchange(target.model, self._router.table.profile(target))
            committed = await first_content(tried, provider, exchange, commit(provider.stream(request, exchange)))
            tried.keeps = True
            tried.discard = committed.aclose
            return tried, committed

        tried, committed = await first_to_commit(route.targets, attempt, self._router.run(route))
        try:
            for event in committed.take():
                yield event
            async for batch in committed.rest:
                for event in batch:
                    yield event
        finally:
            tried.leave()
            await committed.aclose()

    async def embed(self, inputs: Sequence[str], model_hint: str | None = None) -> EmbeddingsResponse:
        """One vector for each input, in order. Raises `RequirementError` where the model has no embeddings."""
        route = self._router.route(model_hint or self._name, self._persona)

        async def attempt(tried: Attempt) -> EmbeddingsResponse:
            target = tried.target
            exchange = Exchange(target.model, self._router.table.profile(target))
            return await self._router.provider(target.provider).embed(EmbeddingsRequest(inputs), exchange)

        return await first_to_commit(route.targets, attempt, self._router.run(route, stream=False))


def with_persona(request: ChatRequest, persona: PersonaConfig) -> ChatRequest:
    """`request` with the persona's system text before the caller's own, and its settings where the caller has none."""
    if persona.system:
        text = Message("system", persona.system, placement="top")
        request = replace(request, messages=(text, *request.messages))
    temperature = request.temperature if request.temperature is not None else persona.temperature
    max_tokens = request.max_tokens if request.max_tokens is not None else persona.max_tokens
    return replace(request, temperature=temperature, max_tokens=max_tokens)


class PersonaRouter:
    """Personas → providers in this process.

    `policy_path` is a configuration file (else the usual places); `policy` and `capabilities` are the same
    as mappings: personas in the older or the current form, and `{provider: {capabilities: [...]}}`.
    Nothing is opened before the first call; `aclose` (or `async with`) closes it.
    """

    def __init__(
        self,
        policy_path: str | Path | None = None,
        *,
        capabilities: Mapping[str, object] | None = None,
        policy: Mapping[str, object] | None = None,
        settings: "Settings | None" = None,
    ) -> None:
        # What reads configuration and what opens connections is loaded when a router is made, not when it is imported.
        from execution_platform.config.files import load_config
        from execution_platform.config.resolve import live_providers, resolve
        from execution_platform.config.settings import Settings
        from execution_platform.providers.fleet import Fleet

        settings = settings if settings is not None else Settings()
        overlays = [dict(overlay) for overlay in (capabilities, policy) if overlay]
        raw = load_config(settings, policy_path, overlays=overlays)
        config = resolve(raw, settings, specs())
        self._fleet = Fleet(settings.environ)
        generation = self._fleet.build(config)
        self._fleet.adopt(generation)
        self._providers = generation.providers
        usable = live_providers(config, settings)
        self.table = RoutingTable(config, {name: kind for name, kind in usable.items() if name in self._providers})
        self.config = config
        self._board = Board(upstream_policies(config))

    @property
    def personas(self) -> tuple[str, ...]:
        """The names `get_client` knows."""
        return tuple(self.config.personas)

    def route(self, name: str | None, persona: str | None) -> Route:
        """The targets of a model name or persona. Raises `RouterError`."""
        return self.table.route(name, persona, {})

    def provider(self, name: str) -> Provider:
        """A running provider. Raises `RouterError` for a name that has none."""
        provider = self._providers.get(name)
        if provider is None:
            raise RouterError(f"provider {name!r} is not configured")
        return provider

    def run(self, route: Route, *, stream: bool = True) -> Run:
        """The allowance of one request on `route`."""
        return Run(
            self._board, most=self.config.limits.attempts, stream=stream, hedge=hedge_of(route.hedge, stream=stream)
        )

    def select_provider(self, persona: str) -> str:
        """The provider a persona's next request goes to first. Raises `RouterError` for an unknown persona."""
        return self.route(None, persona).targets[0].provider

    def get_client(self, persona: str) -> RoutedClient:
        """A client for `persona`. Raises `RouterError` when the persona is unknown."""
        self.route(None, persona)
        return RoutedClient(self, None, persona)

    def get_model(self, name: str) -> RoutedClient:
        """A client for a model name (`provider/model`, alias, logical model). Raises `RouterError`."""
        self.route(name, None)
        return RoutedClient(self, name, None)

    async def aclose(self) -> None:
        """Close connections and stop a local model."""
        await self._fleet.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
