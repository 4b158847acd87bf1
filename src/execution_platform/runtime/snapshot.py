"""Everything a request needs of the configuration, as one immutable value that is swapped as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from execution_platform.catalog.prices import PriceBook
from execution_platform.config.problems import Problem
from execution_platform.config.resolve import Resolved
from execution_platform.config.values import RateLimits
from execution_platform.exceptions import NotConfigured
from execution_platform.ledger.estimate import RateCards
from execution_platform.limits.limiter import Limiter
from execution_platform.limits.table import LimitTable
from execution_platform.observability.redaction import Redactor
from execution_platform.providers.base import Provider
from execution_platform.providers.fleet import Generation
from execution_platform.resilience.board import Board
from execution_platform.router.table import RoutingTable
from execution_platform.router.target import Target
from execution_platform.runtime.latency import Latencies
from execution_platform.runtime.stash import Stash
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.usage import Cost, Usage


def _no_limits() -> LimitTable:
    return LimitTable(Limiter(), RateLimits())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of the configuration, ready to serve. `version` goes into every response."""

    version: str
    config: Resolved
    generation: Generation
    """Its providers, and the count of the calls that use them."""
    routing: RoutingTable
    prices: PriceBook
    cards: RateCards
    """What each model can charge at most."""
    redactor: Redactor
    problems: tuple[Problem, ...] = ()
    """What the check of the personas' chains found: members that are skipped, and why."""
    max_attempts: int = 3
    default_provider: str | None = None
    live: frozenset[str] = frozenset()
    """Providers that have what they need to be called; a local server must also have answered."""
    stash: Stash = field(default_factory=Stash)
    latencies: Latencies = field(default_factory=Latencies)
    board: Board = field(default_factory=Board)
    """What is known of every deployment: breakers, cool-downs, bulkheads, retry budgets."""
    limits: LimitTable = field(default_factory=_no_limits)

    @property
    def providers(self) -> Mapping[str, Provider]:
        """The running providers by name."""
        return self.generation.providers

    def profile(self, target: Target) -> ModelProfile:
        """The facts of the target's model."""
        return self.routing.profile(target)

    def provider(self, name: str) -> Provider:
        """A running provider. Raises `NotConfigured` for one that lacks packages or an address on this machine."""
        found = self.providers.get(name)
        if found is None:
            raise NotConfigured(f"provider {name} cannot run here: packages or an address are missing; see `ep doctor`")
        return found

    def lists(self, target: Target) -> bool:
        """Whether the configuration names this target's model."""
        return target in self.routing.listed

    def cost(self, target: Target, usage: Usage) -> Cost | None:
        """What `usage` costs at the target's price of the moment; None when no price is known."""
        return self.prices.cost(target.provider, target.model, usage)
