"""Azure OpenAI: the OpenAI dialect below a resource of the customer's, with deployments instead of models.

With `api_version` in the configuration the classic path is used (`/openai/deployments/{deployment}/…
?api-version=`), without it the `v1` surface (`/openai/v1/…`). Source: Azure OpenAI REST API reference
and "API version lifecycle", Microsoft Learn, 2026-10.
"""

from urllib.parse import quote

from execution_platform.exceptions import ConfigError
from execution_platform.providers.base import Located, Provider
from execution_platform.providers.registry import specs
from execution_platform.providers.wiring import ProviderConfig, StaticEndpoint, Wiring, wire


class AzureEndpoint:
    """Finds the deployment of a model."""

    def __init__(self, config: ProviderConfig, wiring: Wiring) -> None:
        if config.base_url is None:
            raise ConfigError(
                f"providers.{config.name}.base_url: Azure needs the resource's address, "
                "for example https://NAME.openai.azure.com, or AZURE_OPENAI_ENDPOINT"
            )
        self._root = config.base_url.rstrip("/").removesuffix("/openai/v1").removesuffix("/openai")
        self._api_version = config.api_version
        self._deployments = config.deployments
        self._static = StaticEndpoint(config, specs()[config.kind], wiring)

    async def locate(self, path: str, model: str) -> Located:
        """The place for `path` at the deployment of `model`."""
        headers = self._static.credential_headers()
        if self._api_version is None:
            return Located(f"{self._root}/openai/v1{path}", headers)
        if path.startswith(specs()["azure_openai"].models_path):
            return Located(f"{self._root}/openai{path}?api-version={quote(self._api_version, safe='-.')}", headers)
        deployment = quote(self._deployments.get(model, model), safe="")
        version = quote(self._api_version, safe="-.")
        return Located(f"{self._root}/openai/deployments/{deployment}{path}?api-version={version}", headers)

    async def aclose(self) -> None:
        """Holds nothing."""


def build(config: ProviderConfig, wiring: Wiring) -> Provider:
    """The provider of kind `azure_openai`."""
    return wire(config, specs()[config.kind], AzureEndpoint(config, wiring), wiring)
