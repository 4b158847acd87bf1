"""What a model name in a request means.

`provider/model` or `provider:model` (split on the first separator), `persona/<name>`, an alias, a logical
model, a provider alone (its default model), or a bare name that exactly one configured provider lists.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from execution_platform.config.known import canonical_provider
from execution_platform.config.problems import Problem, nearest
from execution_platform.config.values import LogicalModel, Resolved
from execution_platform.exceptions import RouterError
from execution_platform.router.target import Target

__all__ = ["NamedLogical", "NamedPersona", "NamedTarget", "Names", "Problem", "split"]

PERSONA = "persona"
_ALIAS_STEPS = 8


@dataclass(frozen=True, slots=True)
class NamedTarget:
    """One model at one provider; `explicit` when the request named the provider."""

    target: Target
    explicit: bool


@dataclass(frozen=True, slots=True)
class NamedPersona:
    """A persona, by its own name."""

    name: str


@dataclass(frozen=True, slots=True)
class NamedLogical:
    """A logical model of the configuration."""

    model: LogicalModel


Meaning = NamedTarget | NamedPersona | NamedLogical


def split(name: str) -> tuple[str, str, str]:
    """Head, separator and rest at the first `/` or `:`; without one the whole name is the head."""
    slash, colon = name.find("/"), name.find(":")
    place = slash if colon < 0 or 0 <= slash < colon else colon
    return (name, "", "") if place < 0 else (name[:place], name[place], name[place + 1 :])


class Names:
    """The names of one snapshot. Built once; a look-up costs the same whatever the number of names."""

    def __init__(self, config: Resolved, live: Iterable[str] | None = None) -> None:
        self._config = config
        self._personas: Mapping[str, str] = {**config.persona_aliases, **{name: name for name in config.personas}}
        usable = set(config.providers if live is None else live)
        self._bare = _listing(config, lambda name: name in usable or config.providers[name].origin == "file")
        self._bare_dormant = _listing(config, lambda _: True)

    def persona(self, name: str) -> str:
        """The persona's own name. Raises `RouterError` that lists the nearest."""
        found = self._personas.get(name)
        if found is None:
            raise RouterError(
                f"unknown persona {name!r}{_near(name, self._personas)}", code="persona_not_found", param=PERSONA
            )
        return found

    def meaning(self, name: str) -> Meaning:
        """What `name` stands for. Raises `RouterError` when it is nothing, or more than one thing."""
        found = self.look_up(name)
        if found is None:
            raise RouterError(f"unknown model {name!r}{_near(name, self._all())}", param="model")
        return found

    def look_up(self, name: str) -> Meaning | None:
        """As `meaning`, but None for a name that stands for nothing."""
        for _ in range(_ALIAS_STEPS):
            stands_for = self._config.aliases.get(name)
            if stands_for is None:
                break
            name = stands_for
        head, separator, rest = split(name)
        if separator:
            if head == PERSONA:
                return NamedPersona(self.persona(rest))
            provider = canonical_provider(head) if head not in self._config.providers else head
            if provider in self._config.providers:
                return self._at(provider, rest)
        logical = self._config.models.get(name)
        if logical is not None:
            return NamedLogical(logical)
        provider = canonical_provider(name) if name not in self._config.providers else name
        if provider in self._config.providers:
            return self._at(provider, "")
        return self._listed(name)

    def _at(self, provider: str, model: str) -> NamedTarget:
        chosen = model or self._config.default_model(provider)
        if not chosen:
            raise RouterError(
                f"provider {provider!r} has no default model; name one as {provider}/<model>", param="model"
            )
        return NamedTarget(Target(provider, chosen), explicit=True)

    def _listed(self, name: str) -> NamedTarget | None:
        """Configured providers first; one that lacks only its key is still better than an unknown name."""
        providers = self._bare.get(name) or self._bare_dormant.get(name, ())
        if len(providers) == 0:
            return None
        if len(providers) > 1:
            choices = " and ".join(f"{provider}/{name}" for provider in providers)
            raise RouterError(f"model {name!r} is listed by more than one provider: say {choices}", param="model")
        return NamedTarget(Target(providers[0], name), explicit=False)

    def _all(self) -> list[str]:
        listed = [f"{name}/{model}" for name, provider in self._config.providers.items() for model in provider.models]
        personas = [f"{PERSONA}/{name}" for name in self._personas]
        return [
            *self._config.aliases,
            *self._config.models,
            *self._config.providers,
            *self._bare_dormant,
            *listed,
            *personas,
            *self._personas,
        ]


def _listing(config: Resolved, wanted: Callable[[str], bool]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, provider in config.providers.items():
        if wanted(name):
            for model in provider.models:
                found[model] = (*found.get(model, ()), name)
    return found


def _near(name: str, valid: Iterable[str]) -> str:
    names = set(valid)
    _, _, rest = split(name)
    close = nearest(name, names) or (nearest(rest, names) if rest else [])
    shown = [f"{PERSONA}/{found}" if f"{PERSONA}/{found}" in names else found for found in close]
    return (
        f"; the nearest names are {', '.join(dict.fromkeys(shown))}" if shown else "; GET /v1/models lists every name"
    )
