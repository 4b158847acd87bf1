"""The one handler of every LLM path.

Order: headers → principal → body → strict JSON → peek → plan → execute → head → body. Whatever fails
before the head leaves as an error in the caller's dialect; afterwards the kernel ends the stream
itself. When the client leaves, the call is cancelled, which closes the upstream.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from execution_platform import _json
from execution_platform._failpoint import ARMED, reach
from execution_platform.dialects.base import Peek
from execution_platform.dialects.take import Taker
from execution_platform.exceptions import ExecutionPlatformError, InvalidRequest, ProviderError, UnprocessableRequest
from execution_platform.gateway.departure import on_departure
from execution_platform.gateway.errors import InternalError, ending, error_body, error_headers, status_of
from execution_platform.gateway.headers import answer_headers, header_value
from execution_platform.gateway.http import (
    ClientGone,
    HeaderList,
    Receive,
    Scope,
    Send,
    SlowRequest,
    check_headers,
    read_body,
    send_body,
)
from execution_platform.gateway.matrix import permit
from execution_platform.gateway.repeats import KEY, Once
from execution_platform.gateway.responses import RESPONSES
from execution_platform.gateway.routes import Match, query_value
from execution_platform.gateway.state import State
from execution_platform.gateway.streaming import StreamOut
from execution_platform.identity.principal import Principal
from execution_platform.observability import correlation
from execution_platform.runtime.agent.chat import answer_with_tools, with_tools
from execution_platform.runtime.answer import Answer
from execution_platform.runtime.auxiliary import count_tokens, embed
from execution_platform.runtime.call import Call
from execution_platform.runtime.execute import execute
from execution_platform.runtime.guard import guarded_frames, reservation_of
from execution_platform.runtime.observe import settle
from execution_platform.runtime.plan import plan
from execution_platform.runtime.snapshot import Snapshot
from execution_platform.runtime.throttle import settle_limits, throttle

_GONE = 499
_LONGEST_RUN = 128
_FORWARDED = frozenset({b"anthropic-version", b"anthropic-beta"})
_NOTHING: Mapping[str, str] = MappingProxyType({})


async def serve(state: State, match: Match, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request of an LLM path."""
    started = time.perf_counter()
    call: Call | None = None
    out: StreamOut | None = None
    once: Once | None = None
    status = _GONE
    headers = dict(scope["headers"])
    request_id = correlation.request_id(headers.get(b"x-request-id"))
    # `_open` reads the same snapshot: nothing is awaited in between. Its providers live until this request is over.
    generation = state.snapshot.generation
    generation.enter()
    try:
        check_headers(scope, headers)
        call = await _open(state, match, scope, headers, receive, request_id)
        call.started = started
        call.books = state.books
        if KEY in headers:
            once = await state.repeats.enter(call, scope, receive, send)
            send = once.send
        if once is not None and once.kept is not None:
            status = await once.replay()
        else:
            if call.peek.stream:
                out = StreamOut(state, call, send)
                out.open()
            status = await _answer(state, call, out, receive, send, scope=scope)
    except ClientGone:
        pass
    except ExecutionPlatformError as error:
        status = await _refuse(state, match, call, out, error, send, request_id)
    except asyncio.CancelledError:
        if not state.drain.ended:
            raise
        status = await _refuse(state, match, call, out, ending(), send, request_id)
    except Exception as error:  # noqa: BLE001 - the ASGI edge: the last resort, in the caller's dialect
        state.log_failure(error, request_id)
        failure = InternalError(f"the gateway failed; the cause is in its log under request id {request_id}")
        status = await _refuse(state, match, call, out, failure, send, request_id)
    finally:
        try:
            if once is not None:
                await once.leave()
        finally:
            _close(state, call, out)
            state.record(scope, match.spec, call, request_id, status, started)
            generation.leave()


def _close(state: State, call: Call | None, out: StreamOut | None) -> None:
    """Let go of what the request held."""
    if out is not None:
        out.close()
    if call is not None:
        state.admission.leave()
        state.books.close(call)
        settle_limits(call)


async def _open(
    state: State, match: Match, scope: Scope, headers: dict[bytes, bytes], receive: Receive, request_id: str
) -> Call:
    """The authenticated and admitted call with its body read and checked. What is returned has to leave."""
    admission, priority = state.admission, match.spec.priority
    admission.check(priority)
    snapshot = state.snapshot
    principal = state.recognise(headers) or await state.identify(scope, headers)
    permit(principal, match.spec.access)
    body = await read_body(scope, receive, headers, snapshot.config.limits.body)
    admission.enter(priority)
    try:
        call = _call(snapshot, match, scope, headers, request_id, principal, body)
    except BaseException:
        admission.leave()
        raise
    call.deadline = state.loop.time() + state.deadline_seconds(call.peek.stream)
    return call


def _call(
    snapshot: Snapshot,
    match: Match,
    scope: Scope,
    headers: dict[bytes, bytes],
    request_id: str,
    principal: Principal,
    body: bytes,
) -> Call:
    dialect = match.spec.dialect
    try:
        body = _json.read(body, max_depth=snapshot.config.limits.depth)
    except _json.JsonError as error:
        refusal = UnprocessableRequest if dialect.name == "native" else InvalidRequest
        raise refusal(f"the request body is not usable JSON: {error}", code="invalid_json") from None
    peek = dialect.peek(body) if match.spec.operation == "chat" else Peek(model=_model_of(body))
    if match.spec.streams is not None:
        peek = replace(peek, stream=match.spec.streams)
    elif dialect.name == "native" and headers.get(b"accept") == b"application/json":
        peek = replace(peek, stream=False)
    query: bytes = scope["query_string"]
    persona = headers.get(b"x-ep-persona")
    named = query_value(query, "personaId", "persona") if dialect.name == "native" else None
    return Call(
        request_id,
        principal,
        dialect,
        body,
        peek,
        snapshot,
        operation=match.spec.operation,
        path_model=match.model,
        persona=named or (persona.decode("latin-1") if persona else None),
        provider=query_value(query, "provider") if dialect.name == "native" else None,
        run=_run_of(headers),
        sse=match.sse,
        trace=correlation.trace(headers.get(b"traceparent")),
        headers=headers,
        forwarded=_forwarded(headers),
        loss_policy=principal.loss_policy or snapshot.config.loss_policy,
        repeats=headers.get(b"x-stainless-retry-count", b"0") == b"0",
    )


def _forwarded(headers: dict[bytes, bytes]) -> Mapping[str, str]:
    """The client's headers that a provider of the same dialect may get."""
    if _FORWARDED.isdisjoint(headers):
        return _NOTHING
    return {name.decode(): headers[name].decode("latin-1") for name in sorted(_FORWARDED) if name in headers}


def _run_of(headers: dict[bytes, bytes]) -> str:
    """The run a request says it is part of. Raises `InvalidRequest`."""
    given = headers.get(b"x-ep-run")
    if given is None:
        return ""
    name = given.decode("latin-1")
    if len(name) > _LONGEST_RUN or not name.isascii() or not name.isprintable():
        raise InvalidRequest(f"x-ep-run must be at most {_LONGEST_RUN} printable ASCII characters", param="x-ep-run")
    return name


def _model_of(body: bytes) -> str | None:
    """The `model` member of a body that is not a chat."""
    return Taker(_json.loads(body)).str("model")


async def _answer(
    state: State, call: Call, out: StreamOut | None, receive: Receive, send: Send, *, scope: Scope
) -> int:
    """Run the call while watching for the client to leave. Raises `ClientGone` when it does."""
    task = asyncio.current_task(state.loop)
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        if task is not None:
            task.cancel()

    # A request that names itself goes on without its client, which may come back for the answer.
    forget = _stay if KEY in call.headers else on_departure(scope, receive, leave)
    try:
        keeping = await state.responses.enter(call) if call.dialect is RESPONSES else None
        answer = await _run(state, call)
        if keeping is not None:
            answer = await keeping.answer(answer)
        answer = state.bookkeeping.requests.keep_answer(call, answer)
        await _send(call, out, answer, send)
    except asyncio.CancelledError:
        if not gone:
            raise
        if task is not None:
            task.uncancel()
        raise ClientGone from None
    finally:
        forget()
    return 200


def _stay() -> None:
    """Nothing was arranged, so there is nothing to undo."""


async def _run(state: State, call: Call) -> Answer:
    if ARMED:
        await reach("kernel.before_plan")
    plan(call)
    if call.operation == "chat":
        tools = with_tools(call, state.running.workshop)
        if tools is not None:
            return await answer_with_tools(call, tools, state.running.workshop)
    if call.snapshot.limits.for_callers:
        await throttle(call)
    if call.operation == "chat":
        reserver = None if call.books is None else call.books.reserver
        asked = None if reserver is None else reserver.ahead(call)
        if asked is not None:
            await asked
        answer = _guarded(call, await execute(call))
        state.shadows.follow(call)
        return answer
    return await (embed(call) if call.operation == "embeddings" else count_tokens(call))


def _guarded(call: Call, answer: Answer) -> Answer:
    """A stream under a budget ends when what is held for it runs out."""
    if answer.stream is None or reservation_of(call) is None:
        return answer
    return replace(answer, stream=guarded_frames(call, answer.stream))


async def _send(call: Call, out: StreamOut | None, answer: Answer, send: Send) -> None:
    if answer.body is not None:
        settle(call)
        if call.books is not None:
            call.books.close(call)
        await send_body(send, 200, answer_headers(call, answer.content_type), answer.body)
    elif out is not None:
        await out.run(answer)
        settle(call)


async def _refuse(
    state: State,
    match: Match,
    call: Call | None,
    out: StreamOut | None,
    error: ExecutionPlatformError,
    send: Send,
    request_id: str,
) -> int:
    """Send an error in the caller's dialect, as a frame when the head has left; the status that was sent."""
    dialect = match.spec.dialect
    state.metrics.refused.labels(error.code if error.raised_by == "gateway" else "provider").inc()
    if call is not None and out is not None and out.begun:
        call.outcome.error = error
        await out.fail(error)
        return 200
    status = status_of(state.snapshot.redactor.error(error), dialect)
    headers: HeaderList = error_headers(error)
    if call is not None:
        call.outcome.error = error
        headers.extend(answer_headers(call, None))
    else:
        headers.append((b"x-request-id", request_id.encode()))
        headers.append((b"x-ep-config", state.snapshot.version.encode()))
    if isinstance(error, SlowRequest) or state.drain.ended:
        headers.append((b"connection", b"close"))
    if isinstance(error, ProviderError) and error.request_id:
        headers.append((b"x-ep-upstream-request-id", header_value(error.request_id)))
    await send_body(send, status, headers, error_body(error, dialect, request_id, state.snapshot.redactor))
    return status
