"""The kernel as the model of a run: every turn is a call of its own, with route, limits, budgets, attempts and an entry in the books.

Each turn is planned by the configuration of its moment, so a persona that is changed while a run goes on is heard at the next
turn, and so is an order to move to another model.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from execution_platform.dialects import dialect
from execution_platform.dialects.base import Peek
from execution_platform.exceptions import ExecutionPlatformError, RateLimited
from execution_platform.identity.principal import Principal
from execution_platform.observability.correlation import Trace
from execution_platform.router.chain import aclose
from execution_platform.runtime.admit import Breach
from execution_platform.runtime.agent.told import Note, Told
from execution_platform.runtime.books import Books
from execution_platform.runtime.call import Call
from execution_platform.runtime.events import answer_events
from execution_platform.runtime.observe import settle
from execution_platform.runtime.plan import plan
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.runtime.throttle import settle_limits, throttle
from execution_platform.spi.loss import LossPolicy
from execution_platform.spi.profile import ModelProfile
from execution_platform.spi.request import ChatRequest

_PROFILE = ModelProfile()
_SLACK = 0.05
_WAITS = 2
"""How often one turn waits: what a whole minute has no room for, the next one has not either."""
_PATIENCE = 61.0
"""Seconds a run waits for a limit: those of a minute are free again by then."""


def _free_in(error: RateLimited | Breach) -> float | None:
    """Seconds until what was refused is free again; None where waiting does not help."""
    if isinstance(error, RateLimited):
        return error.retry_after
    refused = error.refused
    if refused.bound.period != "minute":
        return None
    return max(0.0, refused.window.end - time.time()) + _SLACK


@dataclass(slots=True, kw_only=True)
class Caller:
    """On whose behalf a run asks."""

    principal: Principal
    id: str
    """The request's or the run's; turns add their number."""
    run: str
    """What the books call the run."""
    trace: Trace | None = None
    loss_policy: LossPolicy | None = None
    headers: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes], repr=False)
    provider: str | None = None


def unseen(call: Call) -> None:
    """Nobody looks at the calls of the turns."""
    del call


class KernelModel:
    """Asks through the kernel."""

    def __init__(
        self,
        caller: Caller,
        snapshot: Callable[[], Snapshot],
        books: Books | None,
        *,
        turn_seconds: float,
        begun: Callable[[Call], None] = unseen,
        ended: Callable[[Call], None] = unseen,
        standing: Callable[[], Awaitable[Principal]] | None = None,
    ) -> None:
        """`begun` gets the call of every turn when its answer has begun, `ended` when it is over.

        `standing` tells before each turn who the caller is by then, or raises.
        """
        self._caller = caller
        self._standing = standing
        self._snapshot = snapshot
        self._books = books
        self._turn_seconds = turn_seconds
        self._begun = begun
        self._ended = ended
        self.model: str | None = None
        """The model that was ordered for the turns to come; None: what the request or the persona says."""
        self._provider: str | None = None

    async def turn(self, request: ChatRequest, number: str) -> AsyncGenerator[Sequence[Told]]:
        """One answer; see `Model`."""
        if self._standing is not None:
            self._caller.principal = await self._standing()
        snapshot = self._snapshot()
        snapshot.generation.enter()
        call = self._call(snapshot, request, number)
        stream = None
        try:
            plan(call)
            async for note in self._admitted(call):
                yield [note]
            stream = answer_events(call)
            first = await anext(stream)
            self._begun(call)
            yield self._notes(call, number)
            yield first
            async for batch in stream:
                yield batch
            settle(call)
        except ExecutionPlatformError as error:
            call.outcome.error = error
            raise
        finally:
            if stream is not None:
                await aclose(stream)
            if self._books is not None:
                self._books.close(call)
            settle_limits(call)
            self._ended(call)
            snapshot.generation.leave()

    async def _admitted(self, call: Call) -> AsyncGenerator[Note]:
        """Within limits and budgets; what is refused for less than a minute is waited for, and that is told."""
        reserver = None if self._books is None else self._books.reserver
        is_throttled = False
        waits = _WAITS
        while True:
            try:
                if call.snapshot.limits.for_callers and not is_throttled:
                    await throttle(call)
                is_throttled = True
                asked = None if reserver is None else reserver.ahead(call)
                if asked is not None:
                    await asked
            except (RateLimited, Breach) as error:
                seconds = _free_in(error)
                if seconds is None or seconds > _PATIENCE or not waits:
                    raise
                waits -= 1
                yield Note("waiting", {"code": error.code, "seconds": round(seconds, 1)})
                await asyncio.sleep(seconds)
            else:
                return

    def _call(self, snapshot: Snapshot, request: ChatRequest, number: str) -> Call:
        caller = self._caller
        if self.model is not None:
            request = replace(request, model=self.model)
        request = replace(request, stream=True)
        native = dialect("native")
        peek = Peek(
            request.model,
            stream=True,
            max_tokens=request.max_tokens,
            has_tools=bool(request.tools),
            include_usage=True,
            persona=request.persona,
            provider=caller.provider if self.model is None else None,
        )
        return Call(
            f"{caller.id}.{number}",
            caller.principal,
            native,
            native.encode_request(request, _PROFILE).body,
            peek,
            snapshot,
            self._books,
            run=caller.run,
            trace=caller.trace,
            deadline=asyncio.get_running_loop().time() + self._turn_seconds,
            loss_policy=caller.loss_policy or caller.principal.loss_policy or snapshot.config.loss_policy,
            headers=caller.headers,
            decoded=request,
        )

    def _notes(self, call: Call, number: str) -> list[Told]:
        """Who answers this turn, and who did before, if that was somebody else."""
        outcome = call.outcome
        target = outcome.target
        if target is None:
            return []
        told: dict[str, object] = {"turn": number, "provider": target.provider, "model": target.model}
        if outcome.fallback is not None:
            told["fallback_from"] = outcome.fallback.target.provider
        if outcome.losses:
            told["losses"] = [f"{loss.severity}:{loss.path}: {loss.what}" for loss in outcome.losses]
        notes: list[Told] = [Note("turn_started", told)]
        before, self._provider = self._provider, str(target)
        if before not in {None, self._provider}:
            reason = (
                "order" if self.model is not None else outcome.fallback.reason if outcome.fallback else "configuration"
            )
            moved = {"from": before, "to": self._provider, "reason": reason, "losses": told.get("losses", [])}
            notes.append(Note("provider_changed", moved))
        return notes
