"""What the call kernel tells the books, and what the books promise in return.

A try to call a provider has three entries. `Dispatch` is written *before* its first byte leaves: from then on the try is
known to every restart. `Checkpoint`s say how far a long answer has come. `Settlement` ends it with what it used. The event
of a try is made of its dispatch and its settlement, and has the dispatch's id. A dispatch that is never settled, because
the process died, becomes an event by estimate: of its last checkpoint, or of the prompt alone.

All amounts are nano-dollars (`money.NANOS` to a US dollar), all times nanoseconds since 1970 UTC by the wall clock. Times
are for people; order and identity come from ids and from the journal.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from execution_platform.exceptions import ErrorKind, ExecutionPlatformError
from execution_platform.spi.usage import Confidence

if TYPE_CHECKING:
    from sqlalchemy import Connection

EventStatus = Literal["ok", "failed", "retried", "hedge_loser", "aborted", "cut", "shadow", "lost", "tracked"]
"""How a try ended.

`ok` answered in full; `failed` the last try of a request failed; `retried` failed and another try followed; `hedge_loser`
another try was faster; `aborted` the client left; `cut` the answer broke off, or was stopped; `shadow` a copy whose answer
nobody waits for; `lost` the process died before it could say; `tracked` told by someone else through `/v1/cost/track`.
"""


class StorageUnavailable(ExecutionPlatformError):
    """The journal cannot take a dispatch: nothing billable may start. Running calls can still be settled."""

    kind = ErrorKind.UNAVAILABLE
    code = "storage_unavailable"

    @property
    def failover(self) -> bool:
        """Another target needs the same journal."""
        return False


class Account(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who pays for a call. One per request; the same in every event of it."""

    request_id: str
    tenant: str = "default"
    key_id: str = ""
    persona: str = ""
    run_id: str = ""
    operation: str = "chat"
    config_version: str = ""
    team: str = ""


class Dispatch(msgspec.Struct, frozen=True, array_like=True, tag="d", gc=False):
    """A try that is about to leave. `id` is from `Ledger.new_id()` and becomes the event's id."""

    id: str
    account: Account
    provider: str
    model: str
    attempt: int = 1
    """Number of the try within the request, from 1."""
    arm: str = ""
    """Side of an experiment: the canary's or the hedge's name, `shadow`; empty for the ordinary way."""
    hold_nanos: int = 0
    """Held in the budgets for this try until it is settled."""
    hold_tokens: int = 0
    input_tokens: int = 0
    """Estimate of the prompt, for the case that nobody ever says."""
    input_rate: int = 0
    output_rate: int = 0
    """Nano-dollars per *million* tokens at the time of the dispatch, for the same case. -1: no price is known."""
    price_version: str = ""
    at: int = 0


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, tag="c", gc=False):
    """How much of an answer has come so far."""

    id: str
    output_tokens: int
    input_tokens: int | None = None
    """When the provider has told it already."""


class Counts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Tokens of a try, inclusive as in `Usage`, and things billed by the piece."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    units: dict[str, int] | None = None


class Settlement(msgspec.Struct, frozen=True, array_like=True, tag="s", gc=False):
    """The end of a try. Settling the same dispatch twice counts once: the first settlement stands."""

    id: str
    status: EventStatus
    cost_nanos: int
    confidence: Confidence
    final: bool
    """The try that ends its request: exactly one try of a request is final, whether it succeeded or not."""
    counts: Counts = Counts()
    error: str | None = None
    """Stable error code."""
    at: int = 0


class CostEvent(msgspec.Struct, frozen=True, gc=False):
    """One row of `cost_events`: a dispatch with its settlement."""

    dispatch: Dispatch
    settlement: Settlement

    @property
    def id(self) -> str:
        """Unique; an event that is delivered twice counts once."""
        return self.dispatch.id


class Projection(Protocol):
    """A sum of events that is kept in the transaction that stores them, and therefore never differs from them."""

    def concerns(self, events: Sequence[CostEvent]) -> bool:
        """Whether `project` would keep anything of `events`. Called in a thread, before the transaction."""
        ...

    def project(self, connection: "Connection", events: Sequence[CostEvent]) -> None:
        """Add `events` to the sum: only those that were not stored before, each exactly once over the life of the database.

        Runs in a thread where the database is SQLite. Raising undoes the whole batch, which is then delivered again.
        """
        ...

    def stored(self, events: Sequence[CostEvent]) -> None:
        """`events` are in the database for good, those of before and those `project` was given."""
        ...


class Ledger(Protocol):
    """The books of one process. Every method but `durable` is synchronous, cheap, and must be called on the event loop."""

    @property
    def waits(self) -> bool:
        """Whether a dispatch must wait for `durable()` before it leaves (`ledger.durability: disk`)."""
        ...

    def new_id(self) -> str:
        """A UUID that no other process makes."""
        ...

    def dispatch(self, dispatch: Dispatch) -> None:
        """Record a try before it leaves; when this returns it survives the process. Raises `StorageUnavailable`."""
        ...

    async def durable(self) -> None:
        """Wait until everything recorded so far survives a power failure. Raises `StorageUnavailable`."""
        ...

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Record how far a try has come. Never raises; without space it is not recorded."""
        ...

    def settle(self, settlement: Settlement) -> None:
        """Record the end of a try. Never raises: running calls end in a reserved area when the disk is full."""
        ...


Settled = Callable[[Dispatch, Settlement], None]
"""Somebody in the process who must know of settlements at once, such as the budgets."""


class NullLedger:
    """Books that keep nothing, for the in-process client and for tests."""

    waits = False

    def __init__(self) -> None:
        self._made = 0

    def new_id(self) -> str:
        """An id that is unique within this process."""
        self._made += 1
        return f"00000000-0000-8000-8000-{self._made:012x}"

    def dispatch(self, dispatch: Dispatch) -> None:
        """Keep nothing."""

    async def durable(self) -> None:
        """Nothing to wait for."""

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep nothing."""

    def settle(self, settlement: Settlement) -> None:
        """Keep nothing."""


def now() -> int:
    """The wall clock in the books' unit: nanoseconds since 1970 UTC."""
    return time.time_ns()
