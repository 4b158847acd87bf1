"""Which targets may serve: a pure match of requirements and profiles, with the reason for every decision."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from execution_platform.config.problems import Problem
from execution_platform.config.values import LogicalModel, PersonaConfig, Resolved, Strategy
from execution_platform.exceptions import ExecutionPlatformError, NotConfigured, RequirementError, RouterError
from execution_platform.router.names import NamedLogical, NamedPersona, NamedTarget, Names
from execution_platform.router.requirements import Requires, unmet
from execution_platform.router.target import Target
from execution_platform.spi.profile import ModelProfile

ProfileOf = Callable[[Target], ModelProfile]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One target that was considered, and why it was kept or dropped."""

    target: Target
    kept: bool
    reason: str
    capable: bool = True
    """Meets the requirements, whether or not it can be called now."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """Where copies of requests go, and of how many in a hundred."""

    target: Target
    percent: float


@dataclass(frozen=True, slots=True)
class Group:
    """Targets that stand together at one place of a chain."""

    targets: tuple[Target, ...]
    strategy: Strategy = "priority"
    name: str | None = None
    """The logical model the group is, if it is one."""
    shadow: Shadow | None = None

    @property
    def has_choice(self) -> bool:
        """Whether the order differs from request to request."""
        return self.strategy != "priority" and len(self.targets) > 1


def expand(names: Names, chain: Iterable[str]) -> tuple[Group, ...]:
    """A chain's names as groups of targets. Raises `RouterError` for a name that leads nowhere."""
    groups: list[Group] = []
    for name in chain:
        meaning = names.meaning(name)
        if isinstance(meaning, NamedTarget):
            groups.append(Group((meaning.target,)))
        elif isinstance(meaning, NamedLogical):
            groups.append(group_of(names, meaning.model))
    return tuple(groups)


def group_of(names: Names, model: LogicalModel) -> Group:
    """A logical model's targets; a member that leads nowhere, which `check_models` reports, is left out."""
    targets: list[Target] = []
    for member in model.targets:
        target = _member_target(names, member.name)
        if isinstance(target, Target):
            targets.append(
                Target(target.provider, target.model, member.weight, member.priority, member.arm, model.name)
            )
    return Group(tuple(targets), model.strategy, model.name, _shadow_of(names, model))


def _shadow_of(names: Names, model: LogicalModel) -> Shadow | None:
    if model.shadow is None:
        return None
    target = _member_target(names, model.shadow.name)
    return Shadow(target, model.shadow.percent) if isinstance(target, Target) else None


def _member_target(names: Names, name: str) -> Target | str:
    """The target a member of a logical model stands for, or why it stands for none."""
    try:
        meaning = names.meaning(name)
    except RouterError as error:
        return error.message
    return meaning.target if isinstance(meaning, NamedTarget) else f"{name} is not one model at one provider"


def check_models(config: Resolved) -> list[Problem]:
    """Members of logical models that lead nowhere; they are skipped."""
    names = Names(config)
    members = [
        (f"models.{model.name}.targets.{place}.model", member.name)
        for model in config.models.values()
        for place, member in enumerate(model.targets)
    ]
    members += [
        (f"models.{model.name}.shadow.model", model.shadow.name)
        for model in config.models.values()
        if model.shadow is not None
    ]
    return [
        Problem(path, f"{reason}.", "It is skipped.", "warning")
        for path, name in members
        if isinstance(reason := _member_target(names, name), str)
    ]


def judge(
    targets: Iterable[Target], requires: Requires, profile_of: ProfileOf, live: Collection[str] | None = None
) -> list[Candidate]:
    """Each target once, in order, kept or dropped. `live` are the providers that can be called; None means all."""
    judged: list[Candidate] = []
    for target in dict.fromkeys(targets):
        lacks = unmet(requires, profile_of(target))
        if lacks:
            judged.append(Candidate(target, kept=False, reason="; ".join(lacks), capable=False))
        elif live is not None and target.provider not in live:
            judged.append(Candidate(target, kept=False, reason="the provider has no key or does not answer"))
        else:
            judged.append(Candidate(target, kept=True, reason="meets every requirement"))
    return judged


def refusal(candidates: Sequence[Candidate], *, explicit: bool, wanted: str) -> ExecutionPlatformError:
    """The error for candidates none of which was kept."""
    listed = "; ".join(f"{candidate.target}: {candidate.reason}" for candidate in candidates)
    if explicit:
        return RequirementError(f"{listed}. Choose a model that has it, or leave the requirement out", param="requires")
    if not candidates:
        return NotConfigured(f"{wanted} has no target", code="no_candidate")
    remedy = "Set a provider's key" if any(candidate.capable for candidate in candidates) else "Choose other models"
    return NotConfigured(f"no target of {wanted} can serve this request ({listed}). {remedy}", code="no_candidate")


def check_personas(config: Resolved, profile_of: ProfileOf) -> list[Problem]:
    """What is wrong with the personas' chains, before any request.

    A member that cannot meet the requirements is a warning and is skipped. A persona none of whose members can
    is an error, or a warning when it is a built-in one, which nobody may be using. Providers that only lack a key count.
    """
    names = Names(config)
    problems: list[Problem] = []
    for persona in config.personas.values():
        problems.extend(_check_persona(persona, names, profile_of))
    return problems


def _check_persona(persona: PersonaConfig, names: Names, profile_of: ProfileOf) -> list[Problem]:
    path = f"personas.{persona.name}"
    targets: list[Target] = []
    problems: list[Problem] = []
    for place, name in enumerate(persona.chain):
        try:
            if isinstance(names.meaning(name), NamedPersona):
                problems.append(
                    Problem(f"{path}.prefer.{place}", f"{name} is a persona.", "Use extends to build on it.")
                )
            targets.extend(target for group in expand(names, [name]) for target in group.targets)
        except ExecutionPlatformError as error:
            problems.append(Problem(f"{path}.prefer.{place}", f"{error.message}.", "It is skipped.", "warning"))
    judged = judge(targets, persona.requires, profile_of)
    problems.extend(
        Problem(path, f"{candidate.target} is skipped: {candidate.reason}.", "", "warning")
        for candidate in judged
        if not candidate.kept
    )
    if persona.chain and not any(candidate.kept for candidate in judged):
        missing = "; ".join(f"{candidate.target} {candidate.reason}" for candidate in judged) or "no member has a model"
        gravity = "warning" if persona.origin == "builtin" else "error"
        remedy = "Add a model that has it, or require less."
        problems.append(Problem(path, f"no model of the chain meets its requirements: {missing}.", remedy, gravity))
    return problems
