"""Names and places the configuration knows by itself, read from `data/known.yaml`; and the `auto` rule."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Protocol, cast


class KindFacts(Protocol):
    """What the configuration asks of a row of the provider registry."""

    @property
    def key_env(self) -> tuple[str, ...]:
        """Environment variables that hold the credential; the first that is set wins."""
        ...

    @property
    def base_url_env(self) -> tuple[str, ...]:
        """Environment variables that hold the base URL."""
        ...

    @property
    def default_model(self) -> str | None:
        """Model used where only the provider is named."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Models the provider is known to serve."""
        ...

    @property
    def needs_key(self) -> bool:
        """Whether a provider of this kind is of no use without a credential."""
        ...

    @property
    def local(self) -> bool:
        """Whether it runs on a machine of ours, so that tokens cost nothing."""
        ...


@dataclass(frozen=True, slots=True)
class LocalCandidate:
    """A place where a local server may answer; whether one does is for the caller to find out."""

    name: str
    kind: str
    base_url: str


@dataclass(frozen=True, slots=True)
class EnvironmentNames:
    """The variables that configure one provider, the winning one first."""

    api_key: tuple[str, ...] = ()
    base_url: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    api_version: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The content of the data file."""

    provider_aliases: Mapping[str, str]
    auto_order: tuple[str, ...]
    usual_kinds: tuple[str, ...]
    always_available: tuple[str, ...]
    addressless: tuple[str, ...]
    development: str
    local: tuple[Mapping[str, str], ...]
    environment: Mapping[str, EnvironmentNames]


def read_data(name: str) -> Mapping[str, object]:
    """A data file of this package."""
    from importlib.resources import files

    from execution_platform.config.yaml import load_yaml

    text = files("execution_platform.config").joinpath("data", name).read_text(encoding="utf-8")
    return cast("Mapping[str, object]", load_yaml(text, name=name).data)


@cache
def known() -> Known:
    """The data file, read once."""
    data = read_data("known.yaml")
    rows = cast("Mapping[str, Mapping[str, list[str]]]", data["environment"])
    return Known(
        provider_aliases=MappingProxyType(cast("dict[str, str]", data["provider_aliases"])),
        auto_order=tuple(cast("list[str]", data["auto_order"])),
        usual_kinds=tuple(cast("list[str]", data["usual_kinds"])),
        always_available=tuple(cast("list[str]", data["always_available"])),
        addressless=tuple(cast("list[str]", data["addressless"])),
        development=str(data["development"]),
        local=tuple(cast("list[Mapping[str, str]]", data["local"])),
        environment={
            name: EnvironmentNames(**{field: tuple(names) for field, names in row.items()})
            for name, row in rows.items()
        },
    )


def canonical_provider(name: str) -> str:
    """`name`, or what it is an older name for."""
    return known().provider_aliases.get(name, name)


def local_candidates(environ: Mapping[str, str] | None = None) -> tuple[LocalCandidate, ...]:
    """Where local servers usually listen, in the order to look. Nothing is opened here."""
    given = environ or {}
    found: list[LocalCandidate] = []
    for row in known().local:
        host = given.get(row.get("host_env", ""), "")
        found.append(LocalCandidate(row["name"], row["kind"], _host_url(host) if host else row["base_url"]))
    return tuple(found)


def _host_url(host: str) -> str:
    """`OLLAMA_HOST` may be a host, a host with port, or a URL; 0.0.0.0 is where the server listens, not where it is."""
    scheme, separator, rest = host.strip().rstrip("/").partition("://")
    if not separator:
        scheme, rest = "http", scheme
    rest = rest.removesuffix("/v1").replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - the address is replaced, not bound
    if ":" not in rest.rsplit("]", 1)[-1]:
        rest = f"{rest}:{443 if scheme == 'https' else 11434}"
    return f"{scheme}://{rest}/v1"


def choose_default(available: Mapping[str, str] | Collection[str]) -> str:
    """The provider that `auto` stands for among `available`: names, or names with their kinds.

    The published order; providers the order does not name come before local servers.
    """
    kinds: dict[str, str] = {name: name for name in available}
    if isinstance(available, Mapping):
        kinds.update(cast("Mapping[str, str]", available))
    facts = known()
    local = [row["kind"] for row in facts.local]
    named = {*facts.auto_order, *local}
    for place in facts.auto_order:
        if place == "configured":
            chosen = next((name for name, kind in kinds.items() if kind not in named), None)
        elif place == "local":
            chosen = next((name for wanted in local for name, kind in kinds.items() if kind == wanted), None)
        else:
            chosen = (
                place if kinds.get(place) == place else next((n for n, kind in kinds.items() if kind == place), None)
            )
        if chosen is not None:
            return chosen
    return facts.development
