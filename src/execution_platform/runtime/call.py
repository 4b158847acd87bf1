"""`Call`: one request on its way through the kernel, with everything that is true of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from execution_platform.catalog.prices import Quote
from execution_platform.dialects.base import Dialect, Metered, Peek
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.identity.principal import Principal
from execution_platform.ledger.interfaces import Account
from execution_platform.limits.limiter import Admission, Limit
from execution_platform.observability.correlation import Trace
from execution_platform.router.attempt import Attempt, Detour
from execution_platform.router.chain import Run
from execution_platform.router.table import Route
from execution_platform.router.target import Target
from execution_platform.runtime.conversation import conversation_key
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.spi.loss import Loss, LossPolicy
from execution_platform.spi.request import ChatRequest
from execution_platform.spi.usage import Cost, Usage

if TYPE_CHECKING:
    from execution_platform.runtime.admit import Ahead
    from execution_platform.runtime.books import Books, Try

Operation = Literal["chat", "embeddings", "count"]


@dataclass(slots=True)
class Outcome:
    """The result for the books, filled while the answer passes."""

    run: Run | None = None
    """Every try of the call and every target that was passed over, for the books."""
    target: Target | None = None
    """Who gives the answer."""
    passthrough: bool = False
    simulated: bool = False
    estimated: bool = False
    """The numbers are our estimate, not the provider's."""
    metered: Metered = field(default_factory=Metered)
    losses: list[Loss] = field(default_factory=cast("type[list[Loss]]", list))
    continued: int = 0
    """How often the answer went on from another target after a cut."""
    tries: list["Try"] = field(default_factory=cast("type[list[Try]]", list))
    """Exchanges with providers, as the books have them."""
    account: Account | None = None
    """Who pays, once somebody had to know."""
    kept_answer: bytes = b""
    """The beginning of the answer, for tenants that keep content."""
    error: ExecutionPlatformError | None = None
    first_content: float | None = None
    """`time.perf_counter()` at the first real content."""
    quote: Quote | None = None
    """The price of who answers, at the moment it was asked."""
    cost: Cost | None = None
    told: Mapping[str, str] = field(default_factory=cast("type[dict[str, str]]", dict))

    @property
    def usage(self) -> Usage | None:
        """What the provider reported."""
        return self.metered.usage

    @property
    def tried(self) -> list[Attempt]:
        """Every try, in the order in which they began."""
        return [] if self.run is None else self.run.tried

    @property
    def attempts(self) -> int:
        """How many tries were made; a target that our own limits or books refuse is passed over."""
        return 0 if self.run is None else self.run.used

    @property
    def upstream_seconds(self) -> float:
        """Time spent with upstreams, and waiting to ask them again, before the commit point."""
        tried = self.tried
        if not tried:
            return 0.0
        if len(tried) == 1:
            return tried[0].seconds
        return max(one.started + one.seconds for one in tried if one.why != "continuation") - tried[0].started

    @property
    def fallback(self) -> Detour | None:
        """The first target that did not give the answer, and why, when another one did."""
        run, target = self.run, self.target
        return None if run is None or target is None or not run.detours else run.fallback(target)

    def adopt(self, attempt: Attempt) -> None:
        """Let this try be the one that answers."""
        self.target = attempt.target
        self.passthrough = attempt.passthrough
        self.simulated = attempt.simulated
        self.quote = attempt.quote
        self.metered = attempt.metered
        self.losses = attempt.losses
        self.told = attempt.told


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
    run: str = ""
    """The run this request is part of, as its caller names it."""
    sse: bool = True
    trace: Trace | None = None
    forwarded: Mapping[str, str] = field(default_factory=cast("type[dict[str, str]]", dict))
    """Client headers a provider of the same dialect may get."""
    deadline: float | None = None
    loss_policy: LossPolicy = "default"
    repeats: bool = True
    """Whether a target may be asked again; False when the client repeats its requests by itself."""
    headers: Mapping[bytes, bytes] = field(default_factory=cast("type[dict[bytes, bytes]]", dict), repr=False)
    """The client's own headers; a gateway key is among them."""
    shadow_of: str | None = None
    """The id of the request this is a copy of, whose answer nobody sees; None for a request of a caller."""
    route: Route | None = None
    decoded: ChatRequest | None = None
    """The request as the caller wrote it, once somebody needed it."""
    request: ChatRequest | None = None
    """The request as it goes to the targets."""
    limits: tuple[Limit, ...] = ()
    """The rate limits of the caller."""
    admission: Admission | None = None
    """What the call holds of them."""
    target_admissions: list[tuple[Attempt, Admission]] = field(
        default_factory=cast("type[list[tuple[Attempt, Admission]]]", list)
    )
    """What it holds of the limits of the targets that were tried."""
    ahead: "Ahead | None" = None
    """What is held in the budgets for the first target, until it is tried."""
    prompt_tokens: int = 0
    """Upper bound of the prompt's tokens, once somebody needed it."""
    downgraded: str | None = None
    """The account without room for the usual chain, when a cheaper one took over."""
    outcome: Outcome = field(default_factory=Outcome)
    started: float = field(default_factory=time.perf_counter)

    @property
    def stream_type(self) -> str:
        """What a streamed answer is called: Gemini's JSON array is no event stream."""
        return self.dialect.stream_type if self.sse else "application/json"

    def conversation(self, derived: bool) -> bytes | None:  # noqa: FBT001 - the signature of `Conversation`
        """The key of the conversation: the one the caller gave, else, if `derived`, one of its first words."""
        return conversation_key(self.headers, self.body, self.principal.tenant, derived=derived)

    @property
    def arm(self) -> str | None:
        """The side of an experiment that answered, or else that would have been asked first."""
        if self.outcome.target is not None:
            return self.outcome.target.arm
        return self.route.targets[0].arm if self.route is not None else None
