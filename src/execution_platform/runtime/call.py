"""`Call`: one request on its way through the kernel, with everything that is true of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from execution_platform.dialects.base import Dialect, Metered, Peek
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.ledger.interfaces import Account
from execution_platform.observability.correlation import Trace
from execution_platform.router.chain import Failure
from execution_platform.router.table import Route
from execution_platform.router.target import Target
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.spi.loss import Loss, LossPolicy
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.usage import Cost, Usage

if TYPE_CHECKING:
    from execution_platform.runtime.books import Books, Try

Operation = Literal["chat", "embeddings", "count"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the gateway key's name and what it may do. Empty sets allow everything."""

    name: str
    tenant: str = "default"
    admin: bool = False
    personas: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    loss_policy: LossPolicy | None = None


@dataclass(slots=True)
class Outcome:
    """The result for the books, filled while the answer passes."""

    target: Target | None = None
    passthrough: bool = False
    simulated: bool = False
    estimated: bool = False
    """The numbers are our estimate, not the provider's."""
    metered: Metered = field(default_factory=Metered)
    losses: list[Loss] = field(default_factory=list[Loss])
    failures: list[Failure] = field(default_factory=list[Failure])
    tries: list["Try"] = field(default_factory=list["Try"])
    """Exchanges with providers, as the books have them."""
    account: Account | None = None
    """Who pays, once somebody had to know."""
    error: ExecutionPlatformError | None = None
    first_content: float | None = None
    """`time.perf_counter()` at the first real content."""
    upstream_seconds: float = 0.0
    """Time spent waiting for the upstream before the commit point."""
    cost: Cost | None = None
    told: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def usage(self) -> Usage | None:
        """What the provider reported."""
        return self.metered.usage

    @property
    def attempts(self) -> int:
        """Targets tried."""
        return len(self.failures) + (1 if self.target is not None else 0)

    @property
    def fallback_from(self) -> str | None:
        """The first target that failed, when another one answered."""
        return str(self.failures[0].target) if self.failures and self.target is not None else None


@dataclass(slots=True)
class Call:
    """One request. Made by the gateway after authentication, closed when the last byte has left."""

    id: str
    principal: Principal
    dialect: Dialect
    body: bytes
    peek: Peek
    snapshot: Snapshot
    books: "Books | None" = None
    """Where its tries are entered; None where nobody pays."""
    operation: Operation = "chat"
    path_model: str | None = None
    """The model, where the path names it."""
    persona: str | None = None
    provider: str | None = None
    sse: bool = True
    trace: Trace | None = None
    forwarded: Mapping[str, str] = field(default_factory=dict[str, str])
    """Client headers a provider of the same dialect may get."""
    deadline: float | None = None
    loss_policy: LossPolicy = "default"
    route: Route | None = None
    decoded: ChatRequest | None = None
    """The request as the caller wrote it, once somebody needed it."""
    request: ChatRequest | None = None
    """The request as it goes to the targets."""
    outcome: Outcome = field(default_factory=Outcome)
    started: float = field(default_factory=time.perf_counter)
