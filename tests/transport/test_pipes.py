"""Writing to a child that may be gone."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from execution_platform.transport.pipes import write_pipe

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_child_reads_what_is_written(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def run() -> bytes:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
        assert child.stdin is not None
        assert child.stdout is not None
        await write_pipe(child.stdin, b"hello")
        child.stdin.close()
        said = await child.stdout.read()
        await child.wait()
        return said

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(run()) == b"hello"


@pytest.mark.parametrize("loop", LOOPS)
def test_a_child_that_has_ended_is_a_broken_pipe_on_every_loop(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def run() -> None:
        child = await asyncio.create_subprocess_exec("true", stdin=asyncio.subprocess.PIPE)
        assert child.stdin is not None
        await child.wait()
        # The loop hears of the end of the pipe by itself, or by the first write.
        for _ in range(100):
            await write_pipe(child.stdin, b"hello")
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=loop) as runner, pytest.raises(ConnectionError):
        runner.run(run())
