"""A model's profile, merged from layers: the kind, the families its name matches, the exact name, the configuration.

The data is `data/profiles.toml`. Later layers win; within the families and within the configuration's
globs the order of the file decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cache
from typing import cast

from execution_platform.exceptions import ConfigError
from execution_platform.spi.profile import ModelProfile

Facts = Mapping[str, object]
_FIELDS = frozenset(item.name for item in fields(ModelProfile))
_TUPLES = frozenset({"effort_levels"})
_SETS = frozenset({"url_media"})


@dataclass(frozen=True, slots=True)
class Family:
    """Facts of the models whose names match. `home` facts are about the wire and hold only at the family's own kinds."""

    patterns: tuple[str, ...]
    facts: Facts
    home_kinds: frozenset[str] = frozenset()
    home_facts: Facts | None = None

    def matches(self, names: Sequence[str]) -> bool:
        """Whether any spelling of the model's name fits any pattern."""
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The data file, read."""

    kinds: Mapping[str, Facts]
    families: tuple[Family, ...]
    models: Mapping[str, Facts]


def load_catalogue(text: str) -> Catalogue:
    """Read the data's TOML. Raises `ConfigError` for a fact no profile has."""
    import tomllib

    data = tomllib.loads(text)
    kinds: dict[str, Facts] = {}
    for kind, table in cast("dict[str, dict[str, object]]", data.get("kinds", {})).items():
        above = kinds.get(str(table.pop("like", "")), {})
        kinds[kind] = {**above, **_checked(table, f"kinds.{kind}")}
    families = tuple(_family(row) for row in cast("list[dict[str, object]]", data.get("family", [])))
    exact = cast("dict[str, dict[str, object]]", data.get("models", {}))
    return Catalogue(kinds, families, {name: _checked(facts, f"models.{name}") for name, facts in exact.items()})


def _family(row: dict[str, object]) -> Family:
    patterns = tuple(cast("list[str]", row.pop("match")))
    home = cast("dict[str, object]", row.pop("home", {}))
    kinds = frozenset(cast("list[str]", home.pop("kinds", [])))
    path = f"family {patterns[0]}"
    return Family(patterns, _checked(row, path), kinds, _checked(home, path))


def _checked(table: Facts, path: str) -> dict[str, object]:
    """`table` in the types of `ModelProfile`."""
    found: dict[str, object] = {}
    for name, value in table.items():
        if name not in _FIELDS:
            raise ConfigError(f"{path}.{name}: no profile has this fact; see spi/profile.py for their names")
        if name in _TUPLES:
            found[name] = tuple(cast("list[str]", value))
        elif name in _SETS:
            found[name] = frozenset(cast("list[str]", value))
        else:
            found[name] = value
    return found


@cache
def catalogue() -> Catalogue:
    """The catalogue that comes with the platform."""
    from importlib.resources import files

    path = files("execution_platform.catalog") / "data" / "profiles.toml"
    return load_catalogue(path.read_text(encoding="utf-8"))


def resolve_profile(
    kind: str,
    provider: str,
    model: str,
    overrides: Mapping[str, Facts] | None = None,
    *,
    base: Facts | None = None,
    data: Catalogue | None = None,
) -> ModelProfile:
    """The profile of `model` at the provider named `provider`.

    `overrides` are facts by model name or glob from the configuration; `base` facts of a kind the
    catalogue does not know. Cost grows with the data, so results are kept per snapshot (`ProfileTable`).
    """
    source = catalogue() if data is None else data
    names = spellings(model)
    merged: dict[str, object] = {**(base or {}), **source.kinds.get(kind, {})}
    for family in source.families:
        if family.matches(names):
            merged.update(family.facts)
            if kind in family.home_kinds:
                merged.update(family.home_facts or {})
    for name in reversed(names):
        merged.update(source.models.get(name, {}))
    for facts in _matching(overrides or {}, (model, *names)):
        merged.update(facts)
    merged["extra"] = {**cast("Facts", merged.get("extra", {})), "provider": provider, "kind": kind}
    return ModelProfile(**merged)  # pyright: ignore[reportArgumentType] - the loader and the file's schema checked the names


def _matching(overrides: Mapping[str, Facts], names: Sequence[str]) -> Iterable[Facts]:
    return (facts for pattern, facts in overrides.items() if any(fnmatchcase(name, pattern) for name in names))


def spellings(model: str) -> tuple[str, ...]:
    """The names under which a model is looked up: as written, and without what hosts put around it.

    `accounts/fireworks/models/llama-v3p3` → `llama-v3p3`; `us.anthropic.claude-x-v1:0` → `claude-x-v1:0`.
    """
    name = model.lower()
    last = name.rsplit("/", 1)[-1]
    names = [name, last]
    for vendor in ("anthropic.", "meta.", "mistral.", "google.", "openai."):
        _, found, rest = last.partition(vendor)
        if found:
            names.append(rest)
    return tuple(dict.fromkeys(names))


class ProfileTable:
    """The profiles of one snapshot: each is merged once, on first use."""

    LIMIT = 4096
    """Profiles kept; names come from callers, so their number must have an end."""

    def __init__(self, kinds: Mapping[str, str], overrides: Mapping[str, Mapping[str, Facts]] | None = None) -> None:
        self._kinds = kinds
        self._overrides = overrides or {}
        self._kept: dict[tuple[str, str], ModelProfile] = {}

    def __call__(self, provider: str, model: str) -> ModelProfile:
        """The profile of a model at a configured provider."""
        key = (provider, model)
        kept = self._kept.get(key)
        if kept is None:
            kept = resolve_profile(self._kinds.get(provider, provider), provider, model, self._overrides.get(provider))
            if len(self._kept) >= self.LIMIT:
                self._kept.clear()
            self._kept[key] = kept
        return kept
