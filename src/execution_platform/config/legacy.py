"""The older files, each as the fragment of `platform.yaml` that says the same."""

from collections.abc import Callable, Mapping
from typing import cast

from execution_platform.config.facts import CAPABILITY_SPELLINGS
from execution_platform.config.known import canonical_provider
from execution_platform.config.problems import ConfigProblems, Problem, suggest
from execution_platform.spi.profile import CAPABILITIES

Fragment = dict[str, object]

_CLOSED_WORLD = ("system_prompts", "streaming", "tool_calling", "json_mode", "vision")
"""What the older capability lists spoke of: one of these that is not listed is not offered."""


def upgrade(data: object, *, name: str = "configuration") -> object:
    """`data` in today's form, when it has one of the older forms; else as it is. Raises `ConfigProblems`."""
    if not isinstance(data, dict) or not data:
        return cast("object", data)
    top = cast("dict[str, object]", data)
    if all(_has(entry, "capabilities") for entry in top.values()):
        return capabilities({"providers": top}, name=name)
    if top.keys() == {"providers"} and _any_has(top["providers"], "capabilities"):
        return capabilities(top, name=name)
    if top.keys() == {"personas"} and _any_has(top["personas"], "provider_preferences"):
        return persona_policy(top, name=name)
    return top


def _has(entry: object, key: str) -> bool:
    return isinstance(entry, dict) and key in entry


def _any_has(entries: object, key: str) -> bool:
    return isinstance(entries, dict) and any(_has(entry, key) for entry in cast("dict[str, object]", entries).values())


def persona_policy(data: object, *, name: str = "persona_policy.yaml") -> Fragment:
    """`personas: {name: {requires, provider_preferences}}`. Raises `ConfigProblems`."""
    personas: Fragment = {}
    for persona, entry in _entries(_map(data, name, "").get("personas"), name, "personas"):
        path = f"personas.{persona}"
        given = _map(entry, name, path)
        _only(given, ("requires", "provider_preferences", "tools", "system", "description"), name, path)
        kept: Fragment = {key: given[key] for key in ("tools", "system", "description") if key in given}
        if "requires" in given:
            kept["requires"] = _requires(given["requires"], name, f"{path}.requires")
        if "provider_preferences" in given:
            preferences = _texts(given["provider_preferences"], name, f"{path}.provider_preferences")
            kept["prefer"] = [target_name(preference) for preference in preferences]
        personas[persona] = kept
    return {"personas": personas}


def capabilities(data: object, *, name: str = "capabilities.yaml") -> Fragment:
    """`providers: {name: {capabilities: […]}}`: what each provider offers, whatever the model. Raises `ConfigProblems`."""
    providers: Fragment = {}
    for provider, entry in _entries(_map(data, name, "").get("providers"), name, "providers"):
        path = f"providers.{provider}"
        listed = _requires(_map(entry, name, path).get("capabilities"), name, f"{path}.capabilities")
        facts: Fragment = {key: False for key in _CLOSED_WORLD if key not in listed}
        facts.update(
            {key: "native" if key == "tool_calling" and value is True else value for key, value in listed.items()}
        )
        providers[canonical_provider(provider)] = {"profiles": {"*": facts}}
    return {"providers": providers}


def persona_map(data: object, *, name: str = "persona map") -> Fragment:
    """`{"architect": "anthropic"}` or `{"architect": {"provider", "model"}}`. Raises `ConfigProblems`."""
    personas: Fragment = {}
    for persona, entry in _map(data, name, "").items():
        if isinstance(entry, str):
            personas[persona] = {"provider": target_name(entry)}
            continue
        given = _map(entry, name, persona)
        _only(given, ("provider", "model"), name, persona)
        personas[persona] = {key: target_name(_text(value, name, f"{persona}.{key}")) for key, value in given.items()}
    return {"personas": personas}


def persona_config(data: object, *, name: str = "persona_config.json") -> Fragment:
    """One entry for each persona (`default` among them) with provider, fallback, model, tools and requires.

    The entries may stand at the top or under `personas`. Raises `ConfigProblems`.
    """
    top = _map(data, name, "")
    entries = dict(top)
    nested = entries.pop("personas", None)
    if nested is not None:
        entries.update(_map(nested, name, "personas"))
    personas: Fragment = {}
    for persona, entry in entries.items():
        personas[persona] = _persona_entry(_map(entry, name, persona), name, persona)
    return {"personas": personas}


def _persona_entry(entry: Mapping[str, object], name: str, path: str) -> Fragment:
    readers: Mapping[str, tuple[str, Callable[[object], object]]] = {
        "provider": ("provider", lambda value: target_name(_text(value, name, f"{path}.provider"))),
        "model": ("model", lambda value: _text(value, name, f"{path}.model")),
        "fallback": ("fallback", lambda value: [target_name(item) for item in _texts(value, name, f"{path}.fallback")]),
        "fallbacks": (
            "fallback",
            lambda value: [target_name(item) for item in _texts(value, name, f"{path}.fallbacks")],
        ),
        "providers": ("prefer", lambda value: [target_name(item) for item in _texts(value, name, f"{path}.providers")]),
        "provider_preferences": (
            "prefer",
            lambda value: [target_name(item) for item in _texts(value, name, f"{path}.provider_preferences")],
        ),
        "tools": ("tools", lambda value: _tools(value, name, f"{path}.tools")),
        "requires": ("requires", lambda value: _requires(value, name, f"{path}.requires")),
        "system_prompt": ("system", lambda value: _text(value, name, f"{path}.system_prompt")),
        "system": ("system", lambda value: _text(value, name, f"{path}.system")),
        "description": ("description", lambda value: _text(value, name, f"{path}.description")),
        "max_tokens": ("max_tokens", lambda value: value),
        "temperature": ("temperature", lambda value: value),
    }
    _only(entry, tuple(readers), name, path)
    kept = {readers[key][0]: readers[key][1](value) for key, value in entry.items()}
    if "prefer" in kept:
        kept.pop("provider", None)
        kept.pop("fallback", None)
    return kept


def target_name(text: str) -> str:
    """A target's name with the older names of providers replaced."""
    for separator in "/:":
        head, found, model = text.partition(separator)
        if found and separator not in head:
            return f"{canonical_provider(head)}{found}{model}"
    return canonical_provider(text)


def _requires(value: object, name: str, path: str) -> Fragment:
    """Capabilities of an older list or map, under their published names."""
    if value is None:
        return {}
    items = (
        cast("Mapping[str, object]", value).items()
        if isinstance(value, dict)
        else ((v, True) for v in _texts(value, name, path))
    )
    found: Fragment = {}
    for word, wanted in items:
        capability = CAPABILITY_SPELLINGS.get(word, word)
        if capability not in CAPABILITIES:
            raise _problem(name, f"{path}.{word}", "unknown capability.", suggest(word, CAPABILITIES))
        if capability == "context_window" and isinstance(wanted, bool):
            continue
        found[capability] = wanted
    return found


def _tools(value: object, name: str, path: str) -> list[str]:
    """A list of names, of objects with a name, or one text with commas or blanks between the names."""
    if isinstance(value, str):
        return value.replace(",", " ").split()
    tools: list[str] = []
    for index, item in enumerate(_list(value, name, path)):
        named = cast("Mapping[str, object]", item).get("name") if isinstance(item, dict) else item
        tools.append(_text(named, name, f"{path}.{index}"))
    return tools


def _map(value: object, name: str, path: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _problem(name, path, "is not a map.", "Write it as {key: value}.")
    return {str(key): item for key, item in cast("dict[object, object]", value).items()}


def _entries(value: object, name: str, path: str) -> list[tuple[str, object]]:
    return list(_map(value, name, path).items())


def _list(value: object, name: str, path: str) -> list[object]:
    if not isinstance(value, list):
        raise _problem(name, path, "is not a list.", "Write it as [item, item].")
    return cast("list[object]", value)


def _texts(value: object, name: str, path: str) -> list[str]:
    items = [value] if isinstance(value, str) else _list(value, name, path)
    return [_text(item, name, f"{path}.{index}") for index, item in enumerate(items)]


def _text(value: object, name: str, path: str) -> str:
    if not isinstance(value, str):
        raise _problem(name, path, "is not text.", "Put it in quotes.")
    return value


def _only(entry: Mapping[str, object], valid: tuple[str, ...], name: str, path: str) -> None:
    for key in entry:
        if key not in valid:
            raise _problem(name, f"{path}.{key}", "unknown key.", suggest(key, valid))


def _problem(name: str, path: str, message: str, remedy: str) -> ConfigProblems:
    return ConfigProblems([Problem(path, message, remedy, file=name)])
