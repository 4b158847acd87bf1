"""A database for one test, opened and closed with it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from execution_platform.config.secret import Secret
from execution_platform.storage.address import address
from execution_platform.storage.engine import Storage
from execution_platform.storage.migrations import prepare


@asynccontextmanager
async def opened(url: str, *, empty: bool = False) -> AsyncIterator[Storage]:
    """The storage at `url`, with all tables unless `empty`."""
    storage = Storage(address(Secret(url), Path()))
    try:
        if not empty:
            await prepare(storage)
        yield storage
    finally:
        await storage.close()
