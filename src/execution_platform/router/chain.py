"""The attempt loop: try the targets of a route in order until one commits.

First real content is the commit point. Before it a failure moves on to the next target when the error
table says so; after it nothing is tried again. There is one loop for every way in: the gateway's
kernel, streams and whole answers, and the in-process client.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from execution_platform.exceptions import ErrorKind, ExecutionPlatformError, NotConfigured, ProtocolError
from execution_platform.router.target import Target
from execution_platform.spi.events import Event, Failed, Finished, PartDelta, PartStarted
from execution_platform.spi.parts import TextPart, ThinkingPart

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """A try that failed before its commit point."""

    target: Target
    error: ExecutionPlatformError


async def first_to_commit(
    targets: Sequence[Target],
    attempt: Callable[[Target, bool], Awaitable[T]],
    *,
    most: int,
    failures: list[Failure],
) -> T:
    """The result of the first `attempt(target, last)` that does not fail, over at most `most` targets.

    Failures are appended to `failures`; the error of the last try is raised.
    """
    tried = targets[:most]
    if not tried:
        raise NotConfigured("no provider is left that could serve this request", code="no_candidate")
    for number, target in enumerate(tried):
        last = number == len(tried) - 1
        try:
            return await attempt(target, last)
        except ExecutionPlatformError as error:
            failures.append(Failure(target, error))
            if last or not error.failover:
                raise
    raise NotConfigured("no provider is left that could serve this request", code="no_candidate")


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


async def commit(stream: AsyncIterator[Sequence[Event]]) -> Committed:
    """Read until the first real content. Raises the stream's failure if that comes first, and closes it then."""
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
        # Not left to the collector: the error's traceback would keep the upstream's connection open.
        await aclose(stream)
        raise
    raise ProtocolError("the provider's answer is empty", kind=ErrorKind.PROTOCOL)


async def aclose(stream: AsyncIterator[object]) -> None:
    """Close an async generator, whoever iterates it."""
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()
