"""One provider by its name, without a persona."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from execution_platform.router.persona import PersonaRouter, RoutedClient

if TYPE_CHECKING:
    from execution_platform.config.settings import Settings


class Adapter(RoutedClient):
    """A client for one provider or model with a router of its own, which closing it closes."""

    def __init__(self, router: PersonaRouter, name: str) -> None:
        super().__init__(router, name, None)
        self._own = router

    async def aclose(self) -> None:
        """Close the connections and stop a local model."""
        await self._own.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def get_adapter(name: str = "auto", *, settings: "Settings | None" = None) -> Adapter:
    """A client for a provider (its default model), for `provider/model`, or for the default provider with `auto`.

    Nothing is opened before the first call, which raises `NotConfigured` where a key is missing. Raises `RouterError` for an
    unknown name.
    """
    router = PersonaRouter(settings=settings)
    router.route(name, None)
    return Adapter(router, name)
