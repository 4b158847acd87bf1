"""The attempt loop: try the targets of a route until one commits.

First real content is the commit point. Before it a failure leads to the next target, or to the same one once more, as
`resilience.retry` decides; after it nothing is tried again. There is one loop for every way in: the gateway's kernel, streams
and whole answers, embeddings and counts, and the in-process client.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from execution_platform.dialects.base import Metered
from execution_platform.exceptions import (
    CircuitBreakerOpenError,
    ErrorKind,
    ExecutionPlatformError,
    NotConfigured,
    ProtocolError,
    ProviderError,
    RateLimitError,
)
from execution_platform.resilience.board import Board, Deployment
from execution_platform.resilience.retry import Bounds, Option, Step, Why, last_resort, next_step
from execution_platform.router.attempt import Attempt, Detour
from execution_platform.router.target import Target
from execution_platform.spi.events import Event, Failed, Finished, PartDelta, PartStarted, Started, UsageReported
from execution_platform.spi.parts import TextPart, ThinkingPart

T = TypeVar("T")

_PATIENCE = 0.1
"""Seconds a request waits for a place at a full upstream while another target is free."""
_LAST_PATIENCE = 1.0
"""The same where no other target is."""


@dataclass(slots=True, eq=False)
class Run:
    """The allowance of one request, and the record of what became of it."""

    board: Board
    tenant: str = "default"
    most: int = 3
    """Tries over all targets."""
    deadline: float | None = None
    """Event-loop time after which nobody waits."""
    repeats: bool = True
    """Whether a target may be asked again; False when the client repeats its requests by itself."""
    stream: bool = True
    hedge: Callable[[Deployment], float | None] | None = None
    """Seconds after which a second target is asked as well; None for not at all."""
    winner: Attempt | None = None
    """The newest try that committed and was taken."""
    tried: list[Attempt] = field(default_factory=cast("type[list[Attempt]]", list))
    used: int = 0
    """How many of them count: one that our own limits or books refuse was no try of its target."""
    detours: list[Detour] = field(default_factory=cast("type[list[Detour]]", list))

    @property
    def failures(self) -> list[Attempt]:
        """The tries that failed before their commit point."""
        return [attempt for attempt in self.tried if attempt.status == "failed"]

    def fallback(self, winner: Target) -> Detour | None:
        """The first target that did not answer, when another one did."""
        return next((detour for detour in self.detours if detour.target != winner), None)

    def bounds(self) -> Bounds:
        """What is left of the allowance."""
        left = float("inf") if self.deadline is None else self.deadline - asyncio.get_running_loop().time()
        return Bounds(self.most - self.used, left, self.repeats)


def first_to_commit(
    targets: Sequence[Target], attempt: Callable[[Attempt], Awaitable[T]], run: Run
) -> Coroutine[object, object, T]:
    """The result of the first `attempt(try)` that does not fail. Everything that was tried is in `run` afterwards.

    Raises the error of the last try. Where none was made, `CircuitBreakerOpenError` or `RateLimitError` says when the
    target that is free soonest may be asked.
    """
    if not targets:
        raise NotConfigured("no provider is left that could serve this request", code="no_candidate")
    return _Journey(targets, attempt, run).go()


class _Journey(Generic[T]):
    """One request on its way through its targets."""

    __slots__ = ("_attempt", "_error", "_options", "_run", "_targets")

    def __init__(self, targets: Sequence[Target], attempt: Callable[[Attempt], Awaitable[T]], run: Run) -> None:
        self._attempt = attempt
        self._run = run
        self._targets = targets
        self._options = [Option(run.board.deployment(target.provider, target.model)) for target in targets]
        self._error: ExecutionPlatformError | None = None

    async def go(self) -> T:
        while True:
            step = self._next()
            if step.after:
                await asyncio.sleep(step.after)
            attempt = await self._enter(step)
            if attempt is None:
                continue
            try:
                after = self._hedge_after(attempt)
                if after is not None:
                    return await self._race(attempt, after)
                result = await self._make(attempt)
                self._run.winner = attempt
                return result
            except ExecutionPlatformError as error:
                if not error.failover:
                    raise
                self._error = error

    def _next(self) -> Step:
        """What is tried now. Raises the last failure, or says when to come back, if nothing is."""
        run = self._run
        now = run.board.clock()
        preferred = self._options[0]
        if not run.tried and preferred.is_fresh(now):
            return Step(preferred, 0.0, "first")
        bounds = run.bounds()
        step = next_step(self._options, bounds, now=now, affords=self._affords, rng=run.board.rng)
        if step is None:
            self._note_refused(None, now)
            option = last_resort(self._options, bounds, now=now)
            if option is None:
                raise self._refusal(now)
            return Step(option, 0.0, "last_resort")
        if step.why == "failover":
            self._note_refused(step.option, now)
        return step

    def _affords(self, option: Option) -> bool:
        return self._run.board.retries.affords(self._run.tenant, option.deployment.key.upstream)

    def _note_refused(self, chosen: Option | None, now: float) -> None:
        """The targets before `chosen` that are not even asked; all of them if nobody is chosen."""
        for option in self._options:
            if option is chosen:
                return
            if not option.tries and option.refused is None:
                option.refused = option.deployment.refusal(now)
                if option.refused is not None:
                    option.deployment.breaker.turned_away()
                    self._run.detours.append(Detour(self._target(option), option.refused))

    async def _enter(self, step: Step) -> Attempt | None:
        """The admitted try; None when the deployment turned it away after all."""
        option, run = step.option, self._run
        deployment, now = option.deployment, run.board.clock()
        permit = deployment.ration(now) if step.why == "last_resort" else deployment.admit(now)
        if not permit:
            # Since it was chosen its state has changed, or its ration is used up.
            option.dropped = step.why != "retry"
            return None
        if step.why == "retry" and not run.board.retries.spend(run.tenant, deployment.key.upstream):
            deployment.breaker.void(permit)
            option.dropped = True
            return None
        last = self._is_last(option, now)
        bulkhead = deployment.upstream.bulkhead
        if not bulkhead.try_enter() and not await self._wait_for_place(option, permit, last=last):
            return None
        return self._admitted(option, step.why, permit, now, last=last)

    async def _wait_for_place(self, option: Option, permit: int, *, last: bool) -> bool:
        deployment, entered = option.deployment, False
        try:
            entered = await deployment.upstream.bulkhead.enter(_LAST_PATIENCE if last else _PATIENCE)
        finally:
            if not entered:
                deployment.breaker.void(permit)
        if not entered:
            option.dropped = True
            option.refused = "saturated"
            self._run.detours.append(Detour(self._target(option), "saturated"))
        return entered

    def _admitted(self, option: Option, why: Why, permit: int, now: float, *, last: bool) -> Attempt:
        run = self._run
        if not option.tries:
            run.board.retries.offered(run.tenant, option.deployment.key.upstream, now)
        option.tries += 1
        attempt = Attempt(self._target(option), why, option, run.board, permit, last)
        run.tried.append(attempt)
        run.used += 1
        return attempt

    def _is_last(self, option: Option, now: float) -> bool:
        """Whether there is nothing to turn to after this try."""
        if len(self._options) == 1 or self._run.used + 1 >= self._run.most:
            return True
        return not any(other.is_fresh(now) for other in self._options if other is not option)

    async def _make(self, attempt: Attempt) -> T:
        """One try, with its verdict noted whatever happens."""
        try:
            result = await self._attempt(attempt)
            attempt.succeed(stream=self._run.stream)
            return result
        except ExecutionPlatformError as error:
            attempt.fail(error)
            self._run.used -= attempt.is_void
            self._run.detours.append(Detour(attempt.target, error.kind.value))
            raise
        finally:
            if attempt.status == "running":
                attempt.abandon()

    def _target(self, option: Option) -> Target:
        options = self._options
        return self._targets[0 if option is options[0] else options.index(option)]

    # Hedging

    def _hedge_after(self, attempt: Attempt) -> float | None:
        hedge = self._run.hedge
        return None if hedge is None or attempt.last else hedge(attempt.option.deployment)

    async def _race(self, first: Attempt, after: float) -> T:
        """`first`, and from `after` seconds on a second target beside it; the first to commit wins, the other is closed."""
        racers = [first]
        winner: Attempt | None = None
        try:
            async with asyncio.TaskGroup() as group:
                running = {group.create_task(self._quietly(first))}
                await asyncio.wait(running, timeout=after)
                second = self._second() if first.status == "running" else None
                if second is not None:
                    racers.append(second)
                    running.add(group.create_task(self._quietly(second)))
                ended: list[_Ended[T]] = []
                while running and not any(end.error is None for end in ended):
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    ended.extend(task.result() for task in done)
                for task in running:
                    task.cancel()
                best = next((end for end in ended if end.error is None), ended[-1])
                winner = best.attempt
        finally:
            for attempt in racers:
                if attempt is not winner:
                    await _lose(attempt)
        self._run.winner = winner
        return best.taken()

    async def _quietly(self, attempt: Attempt) -> "_Ended[T]":
        """A try in a task of its own: its failure is a result, so that it does not end the other one."""
        try:
            return _Ended(attempt, await self._make(attempt), None)
        except ExecutionPlatformError as error:
            return _Ended(attempt, None, error)

    def _second(self) -> Attempt | None:
        """The next target that is free at once; a hedge waits for nothing and asks nobody twice."""
        now = self._run.board.clock()
        for option in self._options:
            if option.is_fresh(now) and option.deployment.upstream.bulkhead.try_enter():
                permit = option.deployment.admit(now)
                if permit:
                    return self._admitted(option, "hedge", permit, now, last=self._is_last(option, now))
                option.deployment.upstream.bulkhead.leave()
        return None

    # Nothing is left

    def _refusal(self, now: float) -> ExecutionPlatformError:
        """The last failure; without one the reason why nobody was asked, and when the first may be."""
        if self._error is not None:
            return self._error
        waits = [option.deployment.wait(now) for option in self._options]
        soonest = max(1.0, min(waits))
        reasons = [option.refused or option.deployment.refusal(now) or "breaker_open" for option in self._options]
        listed = ", ".join(
            f"{target} ({reason.replace('_', ' ')})" for target, reason in zip(self._targets, reasons, strict=True)
        )
        message = f"nothing was sent: {listed}; come back in {soonest:.0f} s"
        if all(reason == "cooling_down" for reason in reasons):
            return RateLimitError(message, kind=ErrorKind.RATE_LIMIT, retry_after=soonest, never_sent=True)
        if all(reason == "saturated" for reason in reasons):
            kind = ErrorKind.OVERLOADED
            return ProviderError(message, kind=kind, code="saturated", retry_after=soonest, never_sent=True)
        kind = ErrorKind.UNAVAILABLE
        return CircuitBreakerOpenError(message, kind=kind, code="circuit_open", retry_after=soonest, never_sent=True)


@dataclass(frozen=True, slots=True)
class _Ended(Generic[T]):
    """How a racing try ended."""

    attempt: Attempt
    result: T | None
    error: ExecutionPlatformError | None

    def taken(self) -> T:
        if self.error is not None:
            raise self.error
        return cast("T", self.result)


async def _lose(attempt: Attempt) -> None:
    """Close what a try that nobody waits for has opened."""
    if attempt.status in {"ok", "cancelled"}:
        attempt.status = "hedge_loser"
    closing = attempt.discard() if attempt.discard is not None else None
    if closing is not None:
        await closing
    attempt.leave()


def is_content(event: Event) -> bool:
    """Whether `event` is real content (or the proper end), so that the answer has begun for good."""
    match event:
        case PartDelta() | Finished():
            return True
        case PartStarted():
            part = event.part
            return bool(part.text) if isinstance(part, TextPart | ThinkingPart) else True
        case _:
            return False


@dataclass(slots=True)
class Committed:
    """A stream past its commit point: what was held back, and what is still to come."""

    held: list[Event]
    rest: AsyncIterator[Sequence[Event]]

    def take(self) -> list[Event]:
        """What was held back, once: events that were passed on are not kept for as long as the stream lasts."""
        held, self.held = self.held, []
        return held

    async def aclose(self) -> None:
        """Close the upstream."""
        await aclose(self.rest)


async def commit(stream: AsyncIterator[Sequence[Event]], metered: Metered | None = None) -> Committed:
    """Read until the first real content. Raises the stream's failure if that comes first, and closes it then.

    What a stream that does not get there has told of its usage is noted in `metered`.
    """
    held: list[Event] = []
    try:
        async for batch in stream:
            held.extend(batch)
            for event in batch:
                if isinstance(event, Failed):
                    raise event.error
                if is_content(event):
                    return Committed(held, stream)
    except BaseException:
        if metered is not None:
            _note_usage(held, metered)
        # Not left to the collector: the error's traceback would keep the upstream's connection open.
        await aclose(stream)
        raise
    raise ProtocolError("the provider's answer is empty", kind=ErrorKind.PROTOCOL)


def _note_usage(events: Sequence[Event], metered: Metered) -> None:
    for event in events:
        if isinstance(event, Started | UsageReported) and event.usage is not None:
            metered.usage = event.usage


async def aclose(stream: AsyncIterator[object]) -> None:
    """Close an async generator, whoever iterates it."""
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()
