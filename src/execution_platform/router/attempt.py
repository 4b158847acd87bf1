"""One try at one target: what the loop decides about it, what it used, and how it ended."""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

from execution_platform.catalog.prices import Quote
from execution_platform.dialects.base import Metered
from execution_platform.exceptions import ERROR_TABLE, ExecutionPlatformError, ProviderError
from execution_platform.resilience.board import Board
from execution_platform.resilience.retry import Option, Why
from execution_platform.router.target import Target
from execution_platform.spi.loss import Loss
from execution_platform.transport.vigil import Vigil

Status = Literal["running", "ok", "failed", "cancelled", "hedge_loser", "cut"]
"""`ok` from the commit point on; `cut` when another target went on from where this one broke."""


class Detour(NamedTuple):
    """A target that did not give the answer, and why: an error's kind, or why it was not even asked."""

    target: Target
    reason: str


@dataclass(slots=True, eq=False)
class Attempt:
    """An event of the books: every try is kept, whether it led anywhere or not."""

    target: Target
    why: Why
    option: Option
    board: Board
    permit: int
    last: bool = False
    """Nothing is left to turn to, so that its first content is awaited as long as the call may last."""
    started: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    """Until its first content, its whole answer, or its failure."""
    status: Status = "running"
    error: ExecutionPlatformError | None = None
    sent: bool = True
    """Bytes of the request may have reached the upstream."""
    passthrough: bool = False
    simulated: bool = False
    quote: Quote | None = None
    """Its price when it left; None before, and where no price is known."""
    metered: Metered = field(default_factory=Metered)
    """What it used, as far as the provider told."""
    losses: list[Loss] = field(default_factory=cast("type[list[Loss]]", list))
    told: dict[str, str] = field(default_factory=cast("type[dict[str, str]]", dict))
    discard: Callable[[], Awaitable[None] | None] | None = None
    """Closes the upstream of a committed answer that nobody will read."""
    keeps: bool = False
    """The place in the upstream's bulkhead is kept until `leave`, since the answer is still to be read."""
    was_left: bool = False
    """Its caller left before the end, and it was read on for the books alone."""
    is_void: bool = False
    """It was refused here, by a limit or by the books, before anything was sent."""
    _inside: bool = True
    due: float = math.inf
    """Time of the event loop when it is slow."""
    _vigil: Vigil | None = None

    def slow_after(self, seconds: float, vigil: Vigil) -> None:
        """Count the try as failed for the breaker when it has no content after `seconds`, though it is not cut short."""
        self._vigil = vigil
        self.due = vigil.loop.time() + seconds
        vigil.add(self, self.due)

    def succeed(self, *, stream: bool) -> None:
        """It committed."""
        now = self._end("ok")
        deployment = self.option.deployment
        deployment.breaker.succeed(self.permit, now)
        (deployment.first_content if stream else deployment.whole).note(self.seconds)
        if not self.keeps:
            self.leave()

    def fail(self, error: ExecutionPlatformError) -> None:
        """It ended before its commit point."""
        now = self._end("failed")
        self.error = self.option.error = error
        deployment = self.option.deployment
        if not isinstance(error, ProviderError):
            self.sent, self.is_void = False, True
            deployment.breaker.void(self.permit)
        else:
            self.sent = not error.never_sent
            if ERROR_TABLE[error.kind].breaker:
                deployment.breaker.fail(self.permit, now)
            elif error.upstream_status is not None:
                deployment.breaker.answered(self.permit, now)
            else:
                deployment.breaker.void(self.permit)
            if error.retry_after:
                self.board.cool(deployment, error.retry_after)
        self.leave()

    def abandon(self, status: Status = "cancelled") -> None:
        """Nobody waits for it any more."""
        self._end(status)
        self.option.deployment.breaker.void(self.permit)
        self.leave()

    def leave(self) -> None:
        """Give its place at the upstream back; a second time does nothing."""
        if self._inside:
            self._inside = False
            self.option.deployment.upstream.bulkhead.leave()

    def _end(self, status: Status) -> float:
        self.seconds = time.perf_counter() - self.started
        self.status = status
        if self._vigil is not None:
            self._vigil.discard(self)
            self._vigil = None
        return self.board.clock()

    def ring(self) -> None:
        """It has no content, and is slow."""
        self._vigil = None
        self.option.deployment.breaker.fail(self.permit, self.board.clock())
        self.permit = 0
