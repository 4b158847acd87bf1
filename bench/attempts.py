"""What retries, breakers, cool-downs and bulkheads cost a request that nothing happens to: the attempt loop with a try that does nothing."""

import asyncio
import time

from execution_platform.resilience.board import Board, UpstreamPolicy
from execution_platform.router.attempt import Attempt
from execution_platform.router.chain import Run, first_to_commit
from execution_platform.router.target import Target

_REQUESTS = 20_000
_ROUNDS = 5


async def _nothing(_: Attempt) -> None:
    """A try that is at its first content at once."""


async def _with(targets: list[Target], board: Board) -> float:
    started = time.process_time()
    for _ in range(_REQUESTS):
        run = Run(board, "default", 3, None, stream=True)
        await first_to_commit(targets, _nothing, run)
    return time.process_time() - started


async def _without() -> float:
    started = time.process_time()
    for _ in range(_REQUESTS):
        await _nothing(None)  # type: ignore[arg-type]
    return time.process_time() - started


def added_microseconds(count: int) -> float:
    """CPU microseconds that the machinery adds to a request with so many targets, the least of some rounds."""
    targets = [Target(f"provider{number}", "model") for number in range(count)]

    async def measure() -> float:
        board = Board({target.provider: UpstreamPolicy() for target in targets})
        return min([await _with(targets, board) - await _without() for _ in range(_ROUNDS)])

    return asyncio.run(measure()) / _REQUESTS * 1e6
