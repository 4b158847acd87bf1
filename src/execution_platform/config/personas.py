"""Personas: the built-in ones, the file's, and what each inherits."""

from collections.abc import Mapping
from functools import cache
from typing import cast

from execution_platform.config.facts import RawRequires
from execution_platform.config.known import canonical_provider, read_data
from execution_platform.config.legacy import target_name
from execution_platform.config.problems import Problem, suggest
from execution_platform.config.schema import RawConfig, RawPersona, RawRateLimit
from execution_platform.config.spending import RawBudget
from execution_platform.config.validate import validate_config
from execution_platform.config.values import (
    Budget,
    Hedge,
    PermissionLevel,
    PermissionMode,
    PersonaConfig,
    RateLimit,
)
from execution_platform.config.yaml import Document

Fields = dict[str, object]
"""The settings of a persona that were written, by name; `prefer` is already provider and fallback."""


@cache
def builtin_personas() -> RawConfig:
    """The personas and persona aliases that come with the platform."""
    return validate_config(Document(dict(read_data("personas.yaml")), name="personas.yaml"))


def resolve_personas(raw: RawConfig, problems: list[Problem]) -> dict[str, PersonaConfig]:
    """Every persona that can be called, complete. Findings are appended to `problems`."""
    builtin = {name: _fields(persona) for name, persona in builtin_personas().personas.items()}
    given = {name: _fields(persona) for name, persona in raw.personas.items()}
    table = _Table(builtin, given, problems)
    found: dict[str, PersonaConfig] = {}
    for name in {**builtin, **given}:
        _check_name(name, problems)
        fields = table.complete(name)
        if fields is not None and not table.written(name).get("abstract", False):
            found[name] = _persona(name, fields, is_builtin=name not in given)
    return found


def resolve_persona_aliases(
    raw: RawConfig, personas: Mapping[str, PersonaConfig], problems: list[Problem]
) -> dict[str, str]:
    """Other names of personas. A persona of that very name wins over a built-in alias."""
    aliases = {alias: name for alias, name in builtin_personas().persona_aliases.items() if alias not in personas}
    own = {alias: (f"persona_aliases.{alias}", name) for alias, name in raw.persona_aliases.items()}
    for name, persona in personas.items():
        own.update(dict.fromkeys(persona.aliases, (f"personas.{name}.aliases", name)))
    for alias, (path, name) in own.items():
        if name not in personas:
            problems.append(
                Problem(path, f"stands for the persona {name}, which does not exist.", suggest(name, personas))
            )
        elif alias in personas and alias != name:
            problems.append(Problem(path, f"{alias} is the name of another persona.", "Choose another alias."))
        else:
            aliases[alias] = name
    return {alias: name for alias, name in aliases.items() if name in personas}


def _fields(persona: RawPersona) -> Fields:
    fields: Fields = {name: getattr(persona, name) for name in persona.model_fields_set}
    prefer = cast("list[str] | None", fields.pop("prefer", None))
    if prefer is not None:
        fields["provider"] = prefer[0] if prefer else None
        fields["fallback"] = prefer[1:]
        fields.setdefault("model", None)
    return fields


class _Table:
    """The written settings of all personas, and the completion of one by what it extends.

    A persona named like a built-in one adds to it. With `extends` it stands for itself, and may
    extend the built-in one by its own name.
    """

    def __init__(self, builtin: Mapping[str, Fields], given: Mapping[str, Fields], problems: list[Problem]) -> None:
        self._builtin = builtin
        self._given = given
        self._problems = problems

    def written(self, name: str) -> Fields:
        """The settings of `name` before inheritance."""
        given = self._given.get(name)
        builtin = self._builtin.get(name)
        if given is None:
            return builtin or {}
        if builtin is None or given.get("extends"):
            return given
        return _inherit(builtin, given, keep=("extends", "abstract"))

    def complete(self, name: str) -> Fields | None:
        """The settings of `name` with everything inherited; None when its line of ancestors is broken."""
        line = [self.written(name)]
        names = [name]
        while parent := cast("str | None", line[-1].get("extends")):
            # The file's own persona on top of the built-in one of the same name; a second time it is a circle.
            own = parent == names[-1] and parent in self._builtin and parent in self._given and names.count(parent) == 1
            if parent in names and not own:
                circle = " -> ".join([*names[names.index(parent) :], parent])
                self._report(name, f"extends itself: {circle}.", "Break the circle.")
                return None
            if parent not in self._given and parent not in self._builtin:
                self._report(
                    name, f"extends {parent}, which does not exist.", suggest(parent, {*self._given, *self._builtin})
                )
                return None
            names.append(parent)
            line.append(self._builtin[parent] if own else self.written(parent))
        fields = line[-1]
        for below in reversed(line[:-1]):
            fields = _inherit(fields, below)
        return fields

    def _report(self, name: str, message: str, remedy: str) -> None:
        self._problems.append(Problem(f"personas.{name}.extends", message, remedy))


def _inherit(above: Fields, below: Fields, *, keep: tuple[str, ...] = ()) -> Fields:
    """`below` where it says something, else `above`; requirements, permissions and budgets are joined."""
    inherited = {
        key: value for key, value in above.items() if key not in {"extends", "abstract", "aliases"} or key in keep
    }
    if "provider" in below:
        # A model belongs to the provider it was written beside.
        inherited.pop("model", None)
    joined = {**inherited, **below}
    for key in ("requires", "permissions", "budget"):
        if above.get(key) is not None and below.get(key) is not None:
            joined[key] = _joined(above[key], below[key])
    return joined


def _joined(above: object, below: object) -> object:
    if isinstance(above, RawRequires | RawBudget) and isinstance(below, RawRequires | RawBudget):
        return above.model_copy(update={name: getattr(below, name) for name in below.model_fields_set})
    return {**cast("Mapping[str, object]", above), **cast("Mapping[str, object]", below)}


def _persona(name: str, fields: Fields, *, is_builtin: bool) -> PersonaConfig:
    requires = cast("RawRequires | None", fields.get("requires"))
    budget = cast("RawBudget | None", fields.get("budget"))
    limit = cast("RawRateLimit | None", fields.get("rate_limit"))
    tools = cast("list[str] | None", fields.get("tools"))
    return PersonaConfig(
        name=name,
        description=cast("str | None", fields.get("description")),
        chain=_chain(fields),
        requires=wanted(requires),
        system=cast("str | None", fields.get("system")),
        tools=None if tools is None else tuple(dict.fromkeys(tools)),
        permissions=cast("dict[str, PermissionLevel] | None", fields.get("permissions")) or {},
        permission_mode=cast("PermissionMode | None", fields.get("permission_mode")) or "default",
        budget=None if budget is None else Budget(**budget.model_dump(exclude_none=True)),
        rate_limit=None if limit is None else RateLimit(**limit.model_dump(exclude_none=True)),
        temperature=cast("float | None", fields.get("temperature")),
        max_tokens=cast("int | None", fields.get("max_tokens")),
        aliases=tuple(cast("list[str] | None", fields.get("aliases")) or ()),
        hedge=cast("Hedge | None", fields.get("hedge")) or False,
        continue_on_cut=cast("bool | None", fields.get("continue_on_cut")),
        origin="builtin" if is_builtin else "file",
    )


def wanted(requires: RawRequires | None) -> dict[str, object]:
    """The requirements that ask for something: `false` and `none` ask for nothing."""
    if requires is None:
        return {}
    return {key: value for key, value in requires.model_dump(exclude_none=True).items() if value not in (False, "none")}


def _chain(fields: Fields) -> tuple[str, ...]:
    head = cast("str | None", fields.get("provider"))
    model = cast("str | None", fields.get("model"))
    names = [target_name(name) for name in cast("list[str] | None", fields.get("fallback")) or []]
    if head is not None:
        head = target_name(head)
    if model is not None:
        head = _with_model(head, model)
    return tuple(dict.fromkeys((head, *names) if head else names))


def _with_model(head: str | None, model: str) -> str:
    if head is None or model.partition("/")[0] == head.partition("/")[0]:
        return target_name(model)
    return f"{canonical_provider(head.partition('/')[0])}/{model}"


def _check_name(name: str, problems: list[Problem]) -> None:
    if not name or any(character in "/:" or character.isspace() for character in name):
        problems.append(
            Problem(f"personas.{name}", "has a blank, / or : in its name.", "Use letters, digits, - and _.")
        )
