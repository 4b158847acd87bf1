"""The examination of a provider: whether it does what its column of the matrix says.

::

    async with FakeUpstream() as upstream:
        column = read_column("mine", my_table)
        for scenario in SCENARIOS:
            async with my_provider(upstream.url) as provider:
                subject = Subject(provider, my_exchange(column.model_for(scenario)), dialect="openai_chat")
                problems = await examine(scenario, column, subject, upstream, way="stream")
                assert problems == []

A `Subject` is a provider of the SPI with the exchange it is called with; nothing here knows how it is built, so a package
that adds a provider examines it in the same way. A subject without a wire dialect, or one that is `live`, answers by
itself: then only what holds for any model's words is checked.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar, cast

from execution_platform.exceptions import ExecutionPlatformError, ProviderError
from execution_platform.spi.assemble import Accumulator
from execution_platform.spi.events import Event, Failed, PartDelta, TextDelta
from execution_platform.spi.loss import Loss
from execution_platform.spi.request import ChatRequest, EmbeddingsRequest
from execution_platform.spi.response import ChatResponse, EmbeddingsResponse
from execution_platform.testing.matrix import (
    Cell,
    Column,
    MatrixError,
    Row,
    capability_table,
    columns,
    markdown_table,
    read_column,
)
from execution_platform.testing.meter import Exchange as WireExchange
from execution_platform.testing.scenario import Expected, Scenario, Way
from execution_platform.testing.scenarios import SCENARIOS
from execution_platform.testing.script import Part, Script, Status, Thinking
from execution_platform.testing.upstream import FakeUpstream

__all__ = [
    "SCENARIOS",
    "Attempt",
    "Cell",
    "Column",
    "ExaminedProvider",
    "MatrixError",
    "Recording",
    "Row",
    "Scenario",
    "Subject",
    "capability_table",
    "columns",
    "examine",
    "judge",
    "markdown_table",
    "observe",
    "observed",
    "read_column",
]


LIVE_TOKENS = 32
"""Most a live model may write where the scenario sets no limit: enough to see that it answers."""


class Recording(Protocol):
    """What a provider is called with; it enters there what its translation lost."""

    losses: list[Loss]


E_contra = TypeVar("E_contra", bound=Recording, contravariant=True)
X = TypeVar("X", bound=Recording)


class ExaminedProvider(Protocol[E_contra]):
    """The part of a provider that is examined."""

    @property
    def simulated(self) -> bool:
        """Whether every answer says that it comes from no model."""
        ...

    def stream(self, request: ChatRequest, exchange: E_contra) -> AsyncIterator[Sequence[Event]]:
        """Answer as a stream of event batches."""
        ...

    async def complete(self, request: ChatRequest, exchange: E_contra) -> ChatResponse:
        """Answer as a whole."""
        ...

    async def embed(self, request: EmbeddingsRequest, exchange: E_contra) -> EmbeddingsResponse:
        """Turn texts into vectors."""
        ...

    async def count(self, request: ChatRequest, exchange: E_contra) -> int | None:
        """Count input tokens; None when it cannot."""
        ...


@dataclass(slots=True)
class Subject(Generic[X]):
    """A provider under examination. `live`: it answers by itself and the scripted upstream is not asked."""

    provider: ExaminedProvider[X]
    exchange: X
    dialect: str | None
    live: bool = False


@dataclass(slots=True)
class Attempt:
    """What one try gave."""

    response: ChatResponse | None = None
    vectors: Sequence[Sequence[float]] | None = None
    tokens: int | None = None
    error: ExecutionPlatformError | None = None
    losses: Sequence[Loss] = ()
    deltas: int = 0
    left: bool = False
    sent: WireExchange | None = None
    simulated: bool = False
    problems: list[str] = field(default_factory=list[str])


async def examine(
    scenario: Scenario, column: Column, subject: Subject[X], upstream: FakeUpstream, *, way: Way = "whole"
) -> list[str]:
    """Play a scenario and compare with the column's cell; gives a sentence for every difference."""
    attempt = await observe(scenario, column, subject, upstream, way=way)
    return judge(scenario, column.cells[scenario.id], attempt, subject)


async def observe(
    scenario: Scenario, column: Column, subject: Subject[X], upstream: FakeUpstream, *, way: Way = "whole"
) -> Attempt:
    """Play a scenario: script the upstream, ask the subject, collect what both ends saw."""
    upstream.reset()
    is_refused = column.cells[scenario.id].state == "refused"
    for script in reversed(_scripts(scenario, column, subject.dialect, is_refused=is_refused)):
        upstream.script(script, operation="any", once=True)
    attempt = Attempt(simulated=subject.provider.simulated)
    try:
        await _ask(scenario, subject, way, attempt)
    except ExecutionPlatformError as error:
        attempt.error = error
    attempt.losses = list(subject.exchange.losses)
    if len(upstream.meter):
        attempt.sent = upstream.meter[-1]
        if scenario.leaves:
            await _wait_for_end(upstream, attempt)
    attempt.problems += [str(problem) for problem in upstream.problems]
    upstream.problems.clear()
    return attempt


async def _wait_for_end(upstream: FakeUpstream, attempt: Attempt) -> None:
    try:
        await upstream.wait_closed(len(upstream.meter) - 1, within=2.0)
    except TimeoutError:
        attempt.problems.append("the connection to the upstream is still open after the caller left")


def _scripts(scenario: Scenario, column: Column, dialect: str | None, *, is_refused: bool) -> list[Script]:
    if is_refused:
        return [Script(Status(400, message=f"{scenario.id} is not supported"))]
    scripts = [scenario.reply] if isinstance(scenario.reply, Script) else list(scenario.reply)
    return [_as_vendor(script, column) if dialect == "openai_chat" else script for script in scripts]


def _as_vendor(script: Script, column: Column) -> Script:
    """The script with thinking where this vendor of a chat completion shows it."""
    parts: list[Part] = [
        Thinking(part.text, part.signature, part.chunks, openai_field=column.thinking_field)
        if isinstance(part, Thinking)
        else part
        for part in script.parts()
    ]
    if not any(isinstance(part, Thinking) for part in parts):
        return script
    return Script(parts, usage=script.usage, finish=script.finish)


async def _ask(scenario: Scenario, subject: Subject[X], way: Way, attempt: Attempt) -> None:
    request, provider, exchange = scenario.request, subject.provider, subject.exchange
    if isinstance(request, EmbeddingsRequest):
        attempt.vectors = (await provider.embed(request, exchange)).vectors
        return
    if scenario.operation == "count":
        attempt.tokens = await provider.count(request, exchange)
        return
    if subject.live and request.max_tokens is None:
        request = replace(request, max_tokens=LIVE_TOKENS)
    attempt.response = await _chat(request, subject, way, attempt, leaves=scenario.leaves)
    if scenario.then is not None and attempt.response is not None:
        attempt.response = await _chat(scenario.then(attempt.response), subject, way, attempt)


async def _chat(
    request: ChatRequest, subject: Subject[X], way: Way, attempt: Attempt, *, leaves: bool = False
) -> ChatResponse | None:
    if way == "whole":
        return await subject.provider.complete(request, subject.exchange)
    accumulator = Accumulator()
    batches = subject.provider.stream(request, subject.exchange)
    attempt.deltas = 0
    try:
        async for batch in batches:
            for event in batch:
                if isinstance(event, Failed):
                    raise event.error
                accumulator.feed(event)
                attempt.deltas += isinstance(event, PartDelta) and isinstance(event.delta, TextDelta)
            if leaves and attempt.deltas:
                attempt.left = True
                return None
    finally:
        if isinstance(batches, AsyncGenerator):
            await cast("AsyncGenerator[Sequence[Event]]", batches).aclose()
    return accumulator.result()


def judge(scenario: Scenario, cell: Cell, attempt: Attempt, subject: Subject[X]) -> list[str]:
    """What contradicts the cell."""
    problems = [*attempt.problems]
    if cell.state in {"unsupported", "refused"}:
        return [*problems, *_not_told(scenario, cell, attempt)]
    expected = _expected(scenario, subject)
    problems += _wrong(scenario, expected, attempt)
    told = attempt.simulated or any(loss.path.startswith(scenario.about) for loss in attempt.losses)
    if cell.state == "supported":
        problems += [f"lost in silence of the matrix: {loss.path}: {loss.what}" for loss in attempt.losses]
        if attempt.simulated:
            problems.append("the cell says supported but the provider only simulates")
    elif not told and expected.error is None:
        problems.append("the cell says simulated but neither a loss nor the answer tells so")
    if attempt.sent is not None and subject.dialect is not None and not subject.live:
        problems += scenario.wrong_in(subject.dialect, attempt.sent.body)
    return problems


def observed(scenario: Scenario, attempt: Attempt, subject: Subject[X]) -> Cell:
    """The cell that an attempt would justify; for filling in a new column, to be read with a critical eye."""
    for state in ("supported", "simulated"):
        if not judge(scenario, Cell(state), attempt, subject):
            return Cell(state)
    return Cell("unsupported", "; ".join(judge(scenario, Cell("supported"), attempt, subject)))


def _expected(scenario: Scenario, subject: Subject[X]) -> Expected:
    if (subject.live or subject.dialect is None) and scenario.live is not None:
        return scenario.live
    return scenario.expect


def _not_told(scenario: Scenario, cell: Cell, attempt: Attempt) -> list[str]:
    """Whether the caller of something unsupported is told."""
    error = attempt.error
    if cell.state == "refused":
        fine = isinstance(error, ProviderError) and error.upstream_status == 400
        return [] if fine else [f"the vendor's refusal is not passed on: {error!r}"]
    if scenario.operation == "count" and attempt.tokens is None:
        return []
    if attempt.sent is None and error is None and not scenario.about:
        # Nobody asked for it: it is something a model or a network does, and this provider has neither.
        return []
    if error is not None:
        words = f"{error.param or ''} {error.message}"
        is_clear = isinstance(error, ProviderError) is False and len(error.message) > 20
        return [] if is_clear else [f"the error does not say what is not supported: {words}"]
    if any(loss.path.startswith(scenario.about) for loss in attempt.losses) and scenario.about:
        return []
    return [f"unsupported ({cell.why}), and nothing tells the caller: no error, losses {[*attempt.losses]}"]


def _wrong(scenario: Scenario, expected: Expected, attempt: Attempt) -> list[str]:
    """What is wrong with the answer."""
    error = attempt.error
    if expected.error is not None:
        return _wrong_error(expected, error)
    if error is not None:
        return [f"{type(error).__name__}: {error.message}"]
    if scenario.leaves:
        end = attempt.sent.end if attempt.sent is not None else "client"
        return [] if attempt.left and end == "client" else [f"left: {attempt.left}, the upstream saw the end {end!r}"]
    if scenario.operation == "embed":
        count = len(attempt.vectors or ())
        sizes = {len(vector) for vector in attempt.vectors or ()}
        fine = count == expected.vectors and len(sizes) == 1
        return [] if fine else [f"{count} vectors of sizes {sizes}, expected {expected.vectors} of one size"]
    if scenario.operation == "count":
        return [] if attempt.tokens == expected.tokens else [f"{attempt.tokens} tokens, expected {expected.tokens}"]
    if attempt.response is None:
        return ["there is no answer"]
    is_told = attempt.sent is None or attempt.sent.told.input is not None
    problems = expected.problems(attempt.response, is_told=is_told)
    if attempt.deltas < expected.deltas:
        problems.append(f"text came in {attempt.deltas} pieces, expected {expected.deltas}")
    return problems


def _wrong_error(expected: Expected, error: ExecutionPlatformError | None) -> list[str]:
    if error is None:
        return [f"no error; expected one of kind {expected.error}"]
    problems = [f"{error!r} is of kind {error.kind}, expected {expected.error}"] if error.kind != expected.error else []
    if expected.retry_after is not None and error.retry_after != expected.retry_after:
        problems.append(f"retry_after is {error.retry_after}, expected {expected.retry_after}")
    return problems
