"""Execution: the targets of the plan are tried in order until one commits, by passthrough or by translation.

In: a planned `Call`. Out: an `Answer` whose first real content has arrived, so that status 200 is true.
A failure before that is raised and becomes an HTTP error in the caller's dialect; a failure after it
ends the stream with the dialect's error event, never with a clean end.
"""

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from execution_platform._failpoint import ARMED, reach
from execution_platform.dialects.base import Downstream, Relay
from execution_platform.exceptions import (
    ErrorKind,
    ExecutionPlatformError,
    ProtocolError,
    ProviderError,
    TimeoutError,  # noqa: A004 - the house's own, which is also the builtin one
)
from execution_platform.providers.base import Exchange, Provider, WireProvider, depart
from execution_platform.router.chain import Committed, aclose, commit, first_to_commit
from execution_platform.router.target import Target
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.call import Call
from execution_platform.runtime.observe import Watch
from execution_platform.runtime.plan import passes_through
from execution_platform.runtime.request import canonical
from execution_platform.spi.events import Event, Failed
from execution_platform.transport.http import Reply

_JSON = "application/json"


async def execute(call: Call) -> Answer:
    """Answer a chat call that `plan` has given a route."""
    route = call.route
    targets: Sequence[Target] = route.targets if route is not None else ()

    async def attempt(target: Target, last: bool) -> Answer:  # noqa: FBT001 - the loop's own signature
        return await _attempt(call, target, last=last)

    return await first_to_commit(targets, attempt, most=call.snapshot.max_attempts, failures=call.outcome.failures)


def exchange_for(call: Call, target: Target, provider: Provider) -> Exchange:
    """The exchange of one try."""
    headers: dict[str, str] = {}
    if provider.dialect is call.dialect and isinstance(provider, WireProvider):
        allowed = provider.spec.forward
        headers.update((name, value) for name, value in call.forwarded.items() if name in allowed)
    if call.trace is not None:
        headers["traceparent"] = call.trace.header
    entry = None if call.books is None else call.books.begin(call, target)
    return Exchange(
        target.model,
        call.snapshot.profile(target),
        call.loss_policy,
        headers,
        call.deadline,
        call.outcome.losses,
        entry=entry,
    )


@contextmanager
def entered(exchange: Exchange) -> Generator[None]:
    """Tell the books when the try fails."""
    try:
        yield
    except ExecutionPlatformError as error:
        _enter_failure(exchange, error)
        raise


def enter_end(call: Call) -> None:
    """The answer is complete: that is in the books before the client can see it."""
    if call.books is not None:
        call.books.answered(call)


def _enter_failure(exchange: Exchange, error: ExecutionPlatformError) -> None:
    if exchange.entry is not None:
        exchange.entry.failed(error)


async def _attempt(call: Call, target: Target, *, last: bool) -> Answer:
    provider = call.snapshot.provider(target.provider)
    exchange = exchange_for(call, target, provider)
    call.outcome.losses.clear()
    if ARMED:
        await reach("kernel.before_dispatch")
    begun = time.perf_counter()
    try:
        # A model that calls no tools would pass over them in silence; the translation says so.
        carries = not call.peek.has_tools or exchange.profile.tool_calling == "native"
        if isinstance(provider, WireProvider) and carries and passes_through(call, provider):
            call.outcome.passthrough = True
            answer = await _relayed(call, provider, exchange, last=last)
        else:
            call.outcome.passthrough = False
            if not isinstance(provider, WireProvider):
                await depart(exchange)
            answer = await _translated(call, target, provider, exchange, last=last)
    except ExecutionPlatformError as error:
        _enter_failure(exchange, error)
        raise
    finally:
        seconds = time.perf_counter() - begun
        call.outcome.upstream_seconds += seconds
    call.snapshot.latencies.note(target, seconds)
    call.outcome.target = target
    call.outcome.simulated = provider.simulated
    call.outcome.told = exchange.told
    return answer


def _first_token_limit(call: Call, provider: Provider, *, last: bool) -> float | None:
    """Event-loop time by which the first content must be there; the last try has no limit but the call's own."""
    if last or not isinstance(provider, WireProvider):
        return call.deadline
    limit = asyncio.get_running_loop().time() + provider.timeouts.first_token
    return limit if call.deadline is None else min(limit, call.deadline)


def _too_late(provider: Provider, exchange: Exchange) -> TimeoutError:
    return TimeoutError(
        f"{provider.name} sent no content in time", kind=ErrorKind.TIMEOUT, provider=provider.name, model=exchange.model
    )


def named(error: ProviderError, provider: Provider, exchange: Exchange) -> ProviderError:
    """`error` with the provider and model it comes from."""
    error.provider, error.model = error.provider or provider.name, error.model or exchange.model
    return error


def _stream_type(call: Call) -> str:
    """What a streamed answer is called: Gemini's JSON array is no event stream."""
    return call.dialect.stream_type if call.sse else _JSON


# Passthrough


async def _relayed(call: Call, provider: WireProvider, exchange: Exchange, *, last: bool) -> Answer:
    dialect, peek = call.dialect, call.peek
    body = dialect.patch(call.body, peek, exchange.model, usage=exchange.profile.include_usage)
    path = dialect.chat_path(exchange.model, stream=peek.stream)
    if not call.sse:
        path = path.partition("?")[0]
    if not peek.stream:
        reply = await provider.send(path, body, exchange)
        data = await provider.read(reply, exchange)
        call.outcome.metered = metered = dialect.meter(data)
        if metered.error is not None:
            raise named(metered.error, provider, exchange)
        return Answer(_JSON, body=data)
    relay = dialect.relay(peek)
    call.outcome.metered = relay.metered
    limit = _first_token_limit(call, provider, last=last)
    try:
        async with asyncio.timeout_at(limit):
            reply = await provider.send(path, body, exchange, stream=True)
            held, chunks = await _relay_head(reply, relay)
    except ProviderError as error:
        raise named(error, provider, exchange) from error.__cause__
    except builtins.TimeoutError as error:
        raise _too_late(provider, exchange) from error
    return Answer(_stream_type(call), stream=_relay_rest(call, reply, relay, held, chunks))


async def _relay_head(reply: Reply, relay: Relay) -> tuple[bytes, AsyncIterator[bytes]]:
    """Read until the first real content; the frames so far and the reader of the rest."""
    chunks = reply.chunks()
    held = b""
    metered = relay.metered
    try:
        async for data in chunks:
            out = relay.feed(data)
            held = held + out if held else out
            if metered.error is not None:
                raise metered.error
            if metered.committed or metered.finished:
                return held, chunks
        held += relay.close()
        if not metered.finished:
            raise ProtocolError("the provider's stream ended before any content", kind=ErrorKind.PROTOCOL)
    except BaseException:
        reply.close()
        raise
    return held, chunks


async def _relay_rest(
    call: Call, reply: Reply, relay: Relay, held: bytes, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    outcome, metered, clean = call.outcome, relay.metered, call.snapshot.redactor.body
    outcome.first_content = time.perf_counter()
    metered.head = held
    if metered.finished:
        enter_end(call)
    try:
        yield held
        async for data in chunks:
            out = relay.feed(data)
            if out:
                metered.deltas += out.count(b"data: ") or 1
                metered.sample = out
                if metered.finished:
                    enter_end(call)
                yield out if metered.error is None else clean(out)
        tail = relay.close()
        if metered.finished:
            enter_end(call)
        if tail:
            yield tail if metered.error is None else clean(tail)
        if metered.error is not None:
            outcome.error = metered.error
        elif not metered.finished:
            raise ProtocolError("the provider's stream was cut before its end", kind=ErrorKind.PROTOCOL)
    except ExecutionPlatformError as error:
        outcome.error = error
        yield call.dialect.error_frame(call.snapshot.redactor.error(error), call.id)
    finally:
        reply.close()


# Translation


def downstream_for(call: Call, exchange: Exchange, provider: Provider) -> Downstream:
    """For whom the answer is encoded."""
    extra: dict[str, object] = {"provider": provider.name}
    if call.outcome.failures:
        extra["fallback_from"] = call.outcome.failures[0].target.provider
    if provider.simulated:
        extra["simulated"] = True
    if call.route is not None and call.route.persona is not None:
        extra["persona"] = call.route.persona.name
    return Downstream(
        exchange.model, call.id, int(time.time()), include_usage=call.peek.include_usage, sse=call.sse, extra=extra
    )


async def _translated(call: Call, target: Target, provider: Provider, exchange: Exchange, *, last: bool) -> Answer:
    request = canonical(call)
    watch = Watch(call, target)
    limit = _first_token_limit(call, provider, last=last)
    if not call.peek.stream:
        try:
            async with asyncio.timeout_at(call.deadline):
                response = watch.response(await provider.complete(request, exchange))
        except ProviderError:
            raise
        except builtins.TimeoutError as error:
            raise _too_late(provider, exchange) from error
        encoded = call.dialect.encode_response(response, downstream_for(call, exchange, provider))
        exchange.losses.extend(encoded.losses)
        return Answer(_JSON, body=encoded.body)
    stream = provider.stream(replace(request, stream=True), exchange)
    try:
        async with asyncio.timeout_at(limit):
            committed = await commit(stream)
    except ProviderError:
        raise
    except builtins.TimeoutError as error:
        raise _too_late(provider, exchange) from error
    return Answer(_stream_type(call), stream=_encode_rest(call, provider, exchange, committed, watch))


async def _encode_rest(
    call: Call, provider: Provider, exchange: Exchange, committed: Committed, watch: Watch
) -> AsyncIterator[bytes]:
    outcome = call.outcome
    outcome.first_content = time.perf_counter()
    encoder = call.dialect.stream_encoder(downstream_for(call, exchange, provider))
    try:
        first = encoder.send(watch.events(committed.held))
        if outcome.metered.finished:
            enter_end(call)
        yield first
        async for batch in committed.rest:
            data = encoder.send(watch.events(batch))
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
        exchange.losses.extend(encoder.losses)
        await aclose(committed.rest)
