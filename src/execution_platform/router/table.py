"""The routing of one snapshot: from names to targets by dictionary look-ups.

Precedence: an explicit provider/model of the request, then the persona, then a logical model, then the default
provider. An explicit target never falls back; personas and logical models use their whole chain.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from random import Random

from execution_platform.catalog.profiles import ProfileTable
from execution_platform.config.known import choose_default
from execution_platform.config.problems import Problem
from execution_platform.config.values import Hedge, LogicalModel, PersonaConfig, Resolved, Strategy
from execution_platform.exceptions import RouterError
from execution_platform.router.names import PERSONA, NamedLogical, NamedPersona, NamedTarget, Names, split
from execution_platform.router.policy import (
    Candidate,
    Group,
    Shadow,
    check_models,
    check_personas,
    expand,
    group_of,
    judge,
    refusal,
)
from execution_platform.router.requirements import NOTHING, Requires, joined
from execution_platform.router.selection import (
    Conversation,
    Latency,
    PriceOf,
    no_conversation,
    order,
    unknown_latency,
    unknown_price,
)
from execution_platform.router.target import Target
from execution_platform.spi.profile import ModelProfile

_AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Route:
    """The targets that may serve a request, in order; never empty."""

    targets: tuple[Target, ...]
    persona: PersonaConfig | None = None
    requested: str = ""
    explicit: bool = False
    """The request named the provider, so there is no fallback."""
    hedge: Hedge = False
    """Whether, or after how many seconds, a second target is asked as well."""
    continue_on_cut: bool = False
    """Plain text that was cut goes on from the next target."""
    shadow: Shadow | None = None
    """Where a copy of the request may go."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A route with everything that was considered, dropped candidates included."""

    candidates: tuple[Candidate, ...]
    persona: PersonaConfig | None = None
    requested: str = ""
    explicit: bool = False
    strategy: Strategy = "priority"
    shadow: Shadow | None = None

    @property
    def arm(self) -> str | None:
        """The side of an experiment the request is on."""
        return next((candidate.target.arm for candidate in self.candidates if candidate.kept), None)


@dataclass(frozen=True, slots=True)
class _Way:
    """How a request is routed, before requirements beyond the persona's own."""

    groups: tuple[Group, ...]
    wanted: str
    """What was asked for, in words for error messages."""
    persona: PersonaConfig | None = None
    explicit: bool = False
    fixed: tuple[Target, ...] | None = None
    """The targets where neither the request nor chance can change them."""
    hedge: Hedge = False
    continue_on_cut: bool = False
    able: tuple[Group, ...] | None = None
    """The groups with the targets that meet the persona's requirements, where only their order is left to find."""
    shadow: Shadow | None = None

    @property
    def strategy(self) -> Strategy:
        """The strategy of the first group that has a choice."""
        for group in self.groups:
            if len(group.targets) > 1:
                return group.strategy
        return "priority"

    def route(self, targets: tuple[Target, ...], requested: str) -> Route:
        """The route over `targets`."""
        return Route(targets, self.persona, requested, self.explicit, self.hedge, self.continue_on_cut, self.shadow)


class RoutingTable:
    """Routes requests. Built once for a snapshot; `live` are the names of the providers that can be called."""

    def __init__(
        self,
        config: Resolved,
        live: Mapping[str, str] | Collection[str] | None = None,
        *,
        rng: Random | None = None,
        latency: Latency = unknown_latency,
        price: PriceOf = unknown_price,
        profile_of: Callable[[str, str], ModelProfile] | None = None,
    ) -> None:
        self._config = config
        # Simulated providers answer for every provider without a key.
        self._live = None if config.development or live is None else frozenset(live)
        self._names = Names(config, self._live)
        self._profile_of = profile_of or _profile_table(config)
        self._rng = rng or Random()  # noqa: S311 - load is spread, nothing is kept secret
        self._latency = latency
        self._price = price
        self.default_provider = config.default_provider or choose_default(_with_kinds(config, live))
        """The provider of requests that name nothing."""
        self.problems: tuple[Problem, ...] = (*check_models(config), *check_personas(config, self.profile))
        """What the check of the logical models and the personas' chains found."""
        self.listed: Collection[Target] = _listed(config, self._live)
        """Models of usable providers, each under its provider's name."""
        self._personas = {name: self._persona_way(persona) for name, persona in config.personas.items()}
        self._logical = {
            name: self._way((group_of(self._names, model),), f"model {name}", chain=model)
            for name, model in config.models.items()
        }
        self._prepared = self._prepare()

    def profile(self, target: Target) -> ModelProfile:
        """The facts of the target's model, merged once and kept."""
        return self._profile_of(target.provider, target.model)

    def default_model(self, provider: str) -> str | None:
        """The model used where only the provider is named."""
        return self._config.default_model(provider)

    def _prepare(self) -> dict[tuple[str | None, str | None], Route]:
        """The routes of the names of this configuration that are the same for every request, by model and persona."""
        routes: dict[tuple[str | None, str | None], Route] = {}
        for name in (*self._config.personas, *self._config.persona_aliases):
            way = self._personas[self._names.persona(name)]
            if way.fixed:
                spelled = f"{PERSONA}/{name}"
                routes[spelled, None] = routes[None, name] = way.route(way.fixed, spelled)
        for name, way in self._logical.items():
            if way.fixed:
                routes[name, None] = way.route(way.fixed, name)
        for target in self.listed:
            meaning = self._names.look_up(str(target))
            if isinstance(meaning, NamedTarget) and meaning.target == target:
                routes[str(target), None] = Route((meaning.target,), None, str(target), explicit=True)
        return routes

    def route(
        self,
        name: str | None,
        persona: str | None = None,
        requires: Requires = NOTHING,
        conversation: Conversation = no_conversation,
        *,
        stream: bool = False,
    ) -> Route:
        """The targets for a request that names a model, a persona, both or nothing.

        Raises `RouterError` for a name that leads nowhere, `RequirementError` when the explicit target lacks
        something, `NotConfigured` when no target of a chain is left.
        """
        if not requires:
            prepared = self._prepared.get((name, persona))
            if prepared is not None:
                return prepared
            if name and not persona and name != _AUTO:
                meaning = self._names.look_up(name)
                if isinstance(meaning, NamedTarget):
                    return Route((meaning.target,), None, name, explicit=True)
        way = self._find(name, persona)
        requested = name or (f"{PERSONA}/{persona}" if persona else self.default_provider)
        if not requires:
            if way.fixed:
                return way.route(way.fixed, requested)
            if way.able:
                ordered = (target for group in way.able for target in self._order(group, conversation, stream=stream))
                return way.route(tuple(dict.fromkeys(ordered)), requested)
        judged = self._judge(way, requires, conversation, stream=stream)
        kept = tuple(candidate.target for candidate in judged if candidate.kept)
        if not kept:
            raise refusal(judged, explicit=way.explicit, wanted=way.wanted)
        return replace(way.route(kept, requested), shadow=self._shadow(way, requires))

    def explain(
        self,
        name: str | None,
        persona: str | None = None,
        requires: Requires = NOTHING,
        conversation: Conversation = no_conversation,
        *,
        stream: bool = False,
    ) -> Decision:
        """The same decision with every candidate and its reason. Raises `RouterError` for unknown names only."""
        way = self._find(name, persona)
        requested = name or (f"{PERSONA}/{persona}" if persona else self.default_provider)
        candidates = tuple(self._judge(way, requires, conversation, stream=stream))
        return Decision(candidates, way.persona, requested, way.explicit, way.strategy, self._shadow(way, requires))

    def candidates(self, name: str | None, persona: str | None = None, requires: Requires = NOTHING) -> list[Candidate]:
        """The targets considered, in order, kept or dropped."""
        return list(self.explain(name, persona, requires).candidates)

    def _find(self, name: str | None, persona: str | None) -> _Way:
        meaning = None
        if name and name != _AUTO:
            meaning = self._names.look_up(name)
            if meaning is None and (persona is None or split(name)[1]):
                meaning = self._names.meaning(name)
        if isinstance(meaning, NamedPersona):
            return self._personas[meaning.name]
        chosen = self._personas[self._names.persona(persona)] if persona else None
        if isinstance(meaning, NamedTarget) and (meaning.explicit or chosen is None):
            # A bare name leads to one provider, so there is nothing to fall back to either.
            return _Way((Group((meaning.target,)),), str(meaning.target), chosen and chosen.persona, explicit=True)
        if chosen is not None:
            return chosen
        if isinstance(meaning, NamedLogical):
            return self._logical[meaning.model.name]
        return self._default_way()

    def _default_way(self) -> _Way:
        target = self._default_target()
        return _Way((Group((target,)),), f"the default provider {target.provider}", fixed=(target,))

    def _default_target(self) -> Target:
        model = self._config.default_model(self.default_provider)
        if not model:
            name = self.default_provider
            raise RouterError(
                f"the default provider {name!r} has no default model; name one as {name}/<model>", param="model"
            )
        return Target(self.default_provider, model)

    def _persona_way(self, persona: PersonaConfig) -> _Way:
        groups: list[Group] = []
        for name in persona.chain:
            try:
                groups.extend(expand(self._names, (name,)))
            except RouterError:
                continue  # Reported by `check_personas` when the snapshot was built.
        if not persona.chain:
            return _Way((), f"persona {persona.name}", persona)
        return self._way(tuple(groups), f"persona {persona.name}", persona, chain=persona)

    def _way(
        self,
        groups: tuple[Group, ...],
        wanted: str,
        persona: PersonaConfig | None = None,
        *,
        chain: PersonaConfig | LogicalModel,
    ) -> _Way:
        """The way, with its targets fixed where no strategy has to choose at each request, else with those it chooses from."""
        goes_on = self._config.continue_on_cut if chain.continue_on_cut is None else chain.continue_on_cut
        shadow = next((group.shadow for group in groups if group.shadow is not None), None)
        way = _Way(groups, wanted, persona, hedge=chain.hedge, continue_on_cut=goes_on, shadow=shadow)
        way = replace(way, shadow=self._shadow(way, NOTHING))
        kept = {candidate.target for candidate in self._judge(way, NOTHING) if candidate.kept}
        if any(group.has_choice for group in groups):
            able = (replace(group, targets=tuple(each for each in group.targets if each in kept)) for group in groups)
            return replace(way, able=tuple(group for group in able if group.targets))
        fixed = tuple(candidate.target for candidate in self._judge(way, NOTHING) if candidate.kept)
        return replace(way, fixed=fixed or None)

    def _shadow(self, way: _Way, requires: Requires) -> Shadow | None:
        """The way's shadow, if it may see the request: what a persona requires (a region, say) holds for copies too."""
        if way.shadow is None:
            return None
        needed = self._needed(way, requires)
        (candidate,) = judge((way.shadow.target,), needed, self.profile, self._live)
        return way.shadow if candidate.kept else None

    def _needed(self, way: _Way, requires: Requires) -> Requires:
        return joined(way.persona.requires, requires) if way.persona is not None else requires

    def _order(self, group: Group, conversation: Conversation, *, stream: bool) -> tuple[Target, ...]:
        return order(
            group.targets,
            group.strategy,
            rng=self._rng,
            latency=self._latency,
            price=self._price,
            conversation=conversation,
            stream=stream,
        )

    def _judge(
        self,
        way: _Way,
        requires: Requires,
        conversation: Conversation = no_conversation,
        *,
        stream: bool = False,
    ) -> list[Candidate]:
        needed = self._needed(way, requires)
        if way.persona is not None and not way.persona.chain and not way.groups:
            return judge((self._default_target(),), needed, self.profile, self._live)
        targets = [target for group in way.groups for target in self._order(group, conversation, stream=stream)]
        # An explicit target that lacks only its key says so itself, with the name of the variable to set.
        return judge(targets, needed, self.profile, None if way.explicit else self._live)


def _profile_table(config: Resolved) -> Callable[[str, str], ModelProfile]:
    kinds = {name: provider.kind for name, provider in config.providers.items()}
    return ProfileTable(kinds, {name: provider.profiles for name, provider in config.providers.items()})


def _with_kinds(
    config: Resolved, live: Mapping[str, str] | Collection[str] | None
) -> Mapping[str, str] | Collection[str]:
    if live is None:
        return {name: provider.kind for name, provider in config.providers.items()}
    return live


def _listed(config: Resolved, live: frozenset[str] | None) -> Collection[Target]:
    found = [
        Target(name, model)
        for name, provider in config.providers.items()
        if live is None or name in live
        for model in dict.fromkeys((*provider.models, *((provider.default_model,) if provider.default_model else ())))
    ]
    return dict.fromkeys(found)
