"""The workers of one address know each other's metrics, so that a scrape, which reaches any of them, tells of all."""

import asyncio
from pathlib import Path

from execution_platform.observability.exposition import Family, families, packed, render, unpacked
from execution_platform.observability.metrics import Metrics

_SECONDS = 1.0
"""A worker that is busy longer is missing from the page."""


class Siblings:
    """One worker among its siblings. Each listens on a Unix socket in a folder that only this user can enter."""

    def __init__(self, folder: Path, number: int, count: int, metrics: Metrics) -> None:
        self._folder = folder
        self._number = number
        self._count = count
        self._metrics = metrics
        self._server: asyncio.Server | None = None

    def _path(self, number: int) -> Path:
        return self._folder / f"worker-{number}.sock"

    async def start(self) -> None:
        """Listen for the siblings."""
        path = self._path(self._number)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._tell, path)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._path(self._number).unlink(missing_ok=True)

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(packed(families(self._metrics.registry)))
            await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    async def render(self) -> bytes:
        """The metrics of all workers that answer in time."""
        others = [number for number in range(self._count) if number != self._number]
        told = await asyncio.gather(*(self._ask(number) for number in others))
        workers = {str(number): found for number, found in zip(others, told, strict=True) if found is not None}
        workers[str(self._number)] = families(self._metrics.registry)
        return render(dict(sorted(workers.items())))

    async def _ask(self, number: int) -> list[Family] | None:
        """What one sibling tells; None when it is starting, ending or too busy."""
        try:
            async with asyncio.timeout(_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path(number))
                try:
                    return unpacked(await reader.read())
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            return None
