"""The input of a child process, the same on every event loop."""

import asyncio


async def write_pipe(pipe: asyncio.StreamWriter, data: bytes) -> None:
    """Write `data` and wait until there is room again. Raises `ConnectionError` when the child reads no more.

    asyncio drops what is written to a closed pipe; uvloop raises a `RuntimeError`, which nobody who waits for a child that
    may be gone expects.
    """
    if pipe.is_closing():
        raise BrokenPipeError("the child reads no more")
    pipe.write(data)
    await pipe.drain()
