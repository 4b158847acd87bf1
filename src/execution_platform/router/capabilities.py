"""What each kind of provider offers, by its published names, and the check of a request's requirements against it."""

from collections.abc import Iterator, Mapping, Sequence

from execution_platform.catalog.profiles import resolve_profile
from execution_platform.config.known import canonical_provider
from execution_platform.config.problems import suggest
from execution_platform.exceptions import RequirementError, RouterError
from execution_platform.providers.registry import ProviderSpec, specs
from execution_platform.router.names import split
from execution_platform.router.requirements import Requires, normalise, unmet
from execution_platform.spi.profile import CAPABILITIES, ModelProfile


def named(name: str, model: str | None = None) -> tuple[ProviderSpec, str]:
    """The row and the model that `provider`, `provider/model` or an alias of the provider stands for.

    Where no model is named it is the default one, empty where the kind has none. Raises `RouterError` for an unknown provider.
    """
    head, _, rest = split(name)
    spec = specs().get(canonical_provider(head))
    if spec is None:
        raise RouterError(f"unknown provider {head!r}. {suggest(head, specs())}", param="provider")
    return spec, model or rest or spec.default_model or ""


def profile_of(name: str) -> ModelProfile:
    """The facts of a provider's default model, or of `provider/model`. Raises `RouterError`."""
    spec, model = named(name)
    return resolve_profile(spec.kind, spec.kind, model)


class ProviderCapabilities(Mapping[str, Mapping[str, object]]):
    """Capabilities by provider: of its default model under the provider's name, of others under `provider/model`.

    Iterating gives the kinds of providers. Made from the catalogue at each look-up; configuration is not part of it.
    """

    def __getitem__(self, name: str) -> Mapping[str, object]:
        try:
            profile = profile_of(name)
        except RouterError:
            raise KeyError(name) from None
        return {capability: profile.offers(capability) for capability in CAPABILITIES}

    def __iter__(self) -> Iterator[str]:
        return iter(specs())

    def __len__(self) -> int:
        return len(specs())


PROVIDER_CAPABILITIES: Mapping[str, Mapping[str, object]] = ProviderCapabilities()


def ensure_requirements(provider: str, requires: Requires | Sequence[str] | None = None) -> None:
    """Check that a provider's default model (or `provider/model`) offers what is required.

    Raises `RequirementError` that lists everything it lacks, `RouterError` for an unknown provider, `InvalidRequest` for an
    unknown capability.
    """
    lacking = unmet(normalise(requires), profile_of(provider))
    if lacking:
        raise RequirementError(f"{provider}: {'; '.join(lacking)}", param="requires")
