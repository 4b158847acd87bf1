"""Execution: the targets of the plan are tried in order until one commits, by passthrough or by translation.

In: a planned `Call`. Out: an `Answer` whose first real content has arrived, so that status 200 is true.
A failure before that is raised and becomes an HTTP error in the caller's dialect; a failure after it
ends the stream with the dialect's error event, never with a clean end.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeVar

from execution_platform._failpoint import ARMED, reach
from execution_platform.dialects.base import Downstream, Metered, Relay
from execution_platform.dialects.sse import comment
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError, ProtocolError, ProviderError
from execution_platform.providers.base import Exchange, Provider, WireProvider
from execution_platform.router.attempt import Attempt
from execution_platform.router.chain import Committed, aclose, commit, first_to_commit
from execution_platform.router.patience import first_content, whole_answer
from execution_platform.router.target import Target
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call, Outcome
from execution_platform.runtime.continuation import events_of, may_continue
from execution_platform.runtime.exchange import departing, exchange_for, run_for
from execution_platform.runtime.observe import Watch
from execution_platform.runtime.plan import passes_through
from execution_platform.runtime.request import canonical
from execution_platform.runtime.throttle import throttle_target
from execution_platform.runtime.tiers import tier_for, tiered
from execution_platform.runtime.unbroken import Unbroken, read_on
from execution_platform.spi.events import Event, Failed
from execution_platform.spi.response import ChatResponse
from execution_platform.transport.http import Reply

T = TypeVar("T")
_JSON = "application/json"


def execute(call: Call) -> Awaitable[Answer]:
    """Answer a chat call that `plan` has given a route."""
    return first_of(call, partial(_attempt, call))


async def first_of(call: Call, attempt: Callable[[Attempt], Awaitable[T]]) -> T:
    """What the first try of the call's targets gives that does not fail; the call's outcome is that of this try."""
    route = call.route
    targets: Sequence[Target] = route.targets if route is not None else ()
    hedge = route.hedge if route is not None else False
    run = call.outcome.run = run_for(call, stream=call.peek.stream, hedge=hedge)

    answer = await first_to_commit(targets, attempt, run)
    winner = run.winner
    if winner is not None:
        call.outcome.adopt(winner)
        call.snapshot.latencies.note(winner.target, winner.seconds, stream=call.peek.stream)
    return answer


async def opening(call: Call, attempt: Attempt) -> tuple[Provider, Exchange]:
    """Who is asked, and what is known of the asking, within the limits of the target. Raises `RateLimited`, `NotConfigured`."""
    provider = call.snapshot.provider(attempt.target.provider)
    if call.snapshot.limits.for_targets:
        await throttle_target(call, attempt)
    if isinstance(provider, WireProvider):
        exchange = exchange_for(call, attempt, provider)
    else:
        exchange = await departing(call, attempt, provider)
    attempt.simulated = provider.simulated
    if ARMED:
        await reach("kernel.before_dispatch")
    return provider, exchange


async def _attempt(call: Call, attempt: Attempt) -> Answer:
    provider, exchange = await opening(call, attempt)
    # A model that calls no tools would pass over them in silence; the translation says so.
    carries = not call.peek.has_tools or exchange.profile.tool_calling == "native"
    if isinstance(provider, WireProvider) and carries and passes_through(call, provider) and not may_continue(call):
        attempt.passthrough = True
        return await _relayed(call, attempt, provider, exchange)
    return await _translated(call, attempt, provider, exchange)


def enter_end(call: Call) -> None:
    """The answer is complete: that is in the books before the client can see it."""
    if call.books is not None:
        call.books.answered(call)


# Passthrough


async def _relayed(call: Call, attempt: Attempt, provider: WireProvider, exchange: Exchange) -> Answer:
    dialect, peek = call.dialect, call.peek
    profile = exchange.profile
    body = dialect.patch(call.body, peek, exchange.model, usage=profile.include_usage, thinks=profile.reasoning)
    path = dialect.chat_path(exchange.model, stream=peek.stream)
    if not call.sse:
        path = path.partition("?")[0]
    if not peek.stream:
        reply = provider.send(path, body, exchange)
        whole = _whole(reply, attempt, provider=provider, exchange=exchange, meter=dialect.meter)
        return Answer(_JSON, body=await whole_answer(provider, exchange, whole))
    relay = dialect.relay(peek)
    attempt.metered = relay.metered
    opened = await first_content(attempt, provider, exchange, _open(provider, path, body, exchange, relay))
    attempt.keeps, attempt.discard = True, opened.reply.close
    if not exchange.profile.cancel_stops_billing:
        opened = opened._replace(chunks=Unbroken(opened.chunks))
    return Answer(call.stream_type, stream=_relay_rest(call, attempt, relay, opened))


async def _whole(
    reply: Awaitable[Reply],
    attempt: Attempt,
    *,
    provider: WireProvider,
    exchange: Exchange,
    meter: Callable[[bytes], Metered],
) -> bytes:
    """A whole answer, metered."""
    data = await provider.read(await reply, exchange)
    attempt.metered = metered = meter(data)
    if metered.error is not None:
        raise metered.error
    return data


class _Opened(NamedTuple):
    """A relayed stream past its commit point: the frames so far, and the reader of the rest."""

    reply: Reply
    held: bytes
    chunks: AsyncIterator[bytes]


async def _open(provider: WireProvider, path: str, body: bytes, exchange: Exchange, relay: Relay) -> _Opened:
    reply = await provider.send(path, body, exchange, stream=True)
    return await _relay_head(reply, relay)


async def _relay_head(reply: Reply, relay: Relay) -> _Opened:
    """Read until the first real content."""
    chunks = reply.chunks()
    held = b""
    metered = relay.metered
    try:
        async for data in chunks:
            out = relay.feed(data)
            held = held + out if held else out
            error = metered.error or metered.broken
            if error is not None:
                raise error
            if metered.committed or metered.finished:
                return _Opened(reply, held, chunks)
        held += relay.close()
        if not metered.finished:
            raise ProtocolError("the provider's stream ended before any content", kind=ErrorKind.PROTOCOL)
    except BaseException:
        reply.close()
        raise
    return _Opened(reply, held, chunks)


async def _relay_rest(call: Call, attempt: Attempt, relay: Relay, opened: _Opened) -> AsyncIterator[bytes]:
    outcome, metered, clean = call.outcome, relay.metered, call.snapshot.redactor.body
    outcome.first_content = time.perf_counter()
    metered.head = metered.sample = opened.held
    try:
        if metered.finished:
            enter_end(call)
        yield opened.held
        async for data in opened.chunks:
            out = relay.feed(data)
            if out:
                metered.deltas += relay.pieces(out)
                metered.sample = out
                if metered.finished:
                    enter_end(call)
                yield out if metered.error is None else clean(out)
            if metered.broken is not None:
                raise metered.broken
        tail = relay.close()
        if metered.finished:
            enter_end(call)
        if tail:
            yield tail if metered.error is None else clean(tail)
        _judge_end(outcome, metered)
    except ExecutionPlatformError as error:
        outcome.error = error
        array = None if call.sse else metered.sample
        yield call.dialect.error_frame(call.snapshot.redactor.error(error), call.id, array=array)
    finally:
        try:
            if isinstance(opened.chunks, Unbroken):
                await _read_to_usage(call, attempt, opened.chunks, relay.feed)
                relay.close()
        finally:
            attempt.leave()
            opened.reply.close()


async def _read_to_usage(call: Call, attempt: Attempt, rest: Unbroken[T], note: Callable[[T], object]) -> None:
    """Read what a caller who has left did not, where closing the connection would not stop its cost."""
    try:
        if not attempt.metered.finished and not isinstance(call.outcome.error, ProviderError):
            attempt.was_left = True
            await read_on(rest, note)
    finally:
        await rest.aclose()


def _judge_end(outcome: Outcome, metered: Metered) -> None:
    """Note the failure a relayed stream has told itself. Raises the one it has not."""
    if metered.broken is not None:
        raise metered.broken
    if metered.error is not None:
        outcome.error = metered.error
    elif not metered.finished:
        raise ProtocolError("the provider's stream was cut before its end", kind=ErrorKind.PROTOCOL)


# Translation


def downstream_for(call: Call, attempt: Attempt, provider: Provider) -> Downstream:
    """For whom the answer is encoded."""
    extra: dict[str, object] = {"provider": provider.name}
    fallback = call.outcome.run.fallback(attempt.target) if call.outcome.run is not None else None
    if fallback is not None:
        extra["fallback_from"] = fallback.target.provider
    if provider.simulated:
        extra["simulated"] = True
    if call.route is not None and call.route.persona is not None:
        extra["persona"] = call.route.persona.name
    return Downstream(
        attempt.target.model,
        call.id,
        int(time.time()),
        include_usage=call.peek.include_usage,
        sse=call.sse,
        extra=extra,
    )


async def _translated(call: Call, attempt: Attempt, provider: Provider, exchange: Exchange) -> Answer:
    watch = Watch(call, attempt)
    if not call.peek.stream:
        response = watch.response(await whole_answer(provider, exchange, _complete(call, provider, exchange)))
        encoded = call.dialect.encode_response(response, downstream_for(call, attempt, provider))
        attempt.losses.extend(encoded.losses)
        return Answer(_JSON, body=encoded.body)
    committed = await open_stream(call, attempt, provider, exchange)
    return Answer(call.stream_type, stream=_encode_rest(call, attempt, provider, committed, watch))


async def open_stream(call: Call, attempt: Attempt, provider: Provider, exchange: Exchange) -> Committed:
    """The provider's answer as events, past its commit point. A model that calls no tools calls them by text."""
    request = replace(canonical(call), stream=True)
    tier = tier_for(request, exchange)
    stream = provider.stream(request if tier is None else tier.request, exchange)
    if tier is not None:
        stream = tiered(tier, stream)
    committed = await first_content(attempt, provider, exchange, commit(stream, attempt.metered))
    if not exchange.profile.cancel_stops_billing:
        committed.rest = Unbroken(committed.rest)
    attempt.keeps, attempt.discard = True, committed.aclose
    return committed


async def _complete(call: Call, provider: Provider, exchange: Exchange) -> ChatResponse:
    """The provider's answer as a whole."""
    request = canonical(call)
    tier = tier_for(request, exchange)
    if tier is None:
        return await provider.complete(request, exchange)
    return tier.response(await provider.complete(tier.request, exchange))


async def _encode_rest(
    call: Call, attempt: Attempt, provider: Provider, committed: Committed, watch: Watch
) -> AsyncIterator[bytes]:
    outcome = call.outcome
    outcome.first_content = time.perf_counter()
    downstream = downstream_for(call, attempt, provider)
    encoder = call.dialect.stream_encoder(downstream)
    batches = events_of(call, attempt, committed) if may_continue(call) else committed.rest
    continued = 0
    try:
        if batches is committed.rest:
            data = encoder.send(watch.events(committed.take()))
            if attempt.metered.finished:
                enter_end(call)
            yield data
        async for batch in batches:
            mark = b""
            if outcome.continued != continued:
                continued = outcome.continued
                mark = _other_hand(call, downstream, watch)
            data = mark + encoder.send(watch.events(batch))
            del batch  # not kept while the client reads
            if outcome.metered.finished:
                enter_end(call)
            if data:
                yield data
            if outcome.error is not None:
                return
        yield encoder.close()
    except ExecutionPlatformError as error:
        outcome.error = error
        failed: list[Event] = [Failed(call.snapshot.redactor.error(error))]
        yield encoder.send(failed)
    finally:
        try:
            if isinstance(committed.rest, Unbroken):
                await _read_to_usage(call, attempt, committed.rest, watch.events)
        finally:
            attempt.leave()
            outcome.losses.extend(encoder.losses)
            await aclose(batches)
            await committed.aclose()


def _other_hand(call: Call, downstream: Downstream, watch: Watch) -> bytes:
    """Mark that another target goes on: a comment in the stream, and members of the native `done`."""
    run = call.outcome.run
    winner = run.winner if run is not None else None
    if run is None or winner is None:
        return b""
    watch.turn_to(winner)
    fallback = run.fallback(winner.target)
    downstream.extra["provider"] = winner.target.provider
    downstream.extra["continued"] = True
    if fallback is not None:
        downstream.extra["fallback_from"] = fallback.target.provider
    # Some readers take a comment for data; their dialect keeps the connection alive by other means.
    reads_comments = call.sse and call.dialect.heartbeat.startswith(b":")
    return comment(f"continued by {winner.target}") if reads_comments else b""
