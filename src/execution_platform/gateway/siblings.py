"""The workers of one address know each other: a scrape, which reaches any of them, tells of all, and so does a change."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

from execution_platform import _json
from execution_platform.observability.exposition import Family, families, packed, render, unpacked
from execution_platform.observability.metrics import Metrics

_SECONDS = 1.0
"""A worker that is busy longer is missing from the page."""
_LONGEST = 16 * 1024 * 1024
"""Bytes of what one asks another."""
_METRICS = b"metrics"
Answer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class Siblings:
    """One worker among its siblings. Each listens on a Unix socket in a folder that only this user can enter.

    One line is asked on a connection: a word, and behind a space a JSON object; what comes back ends with the connection.
    """

    def __init__(self, folder: Path, number: int, count: int, metrics: Metrics) -> None:
        self._folder = folder
        self._number = number
        self._count = count
        self._metrics = metrics
        self._answers: dict[bytes, Answer] = {}
        self._server: asyncio.Server | None = None

    def _path(self, number: int) -> Path:
        return self._folder / f"worker-{number}.sock"

    def answer(self, word: str, answer: Answer) -> None:
        """Answer what siblings ask under `word`."""
        self._answers[word.encode()] = answer

    async def start(self) -> None:
        """Listen for the siblings."""
        path = self._path(self._number)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._tell, path, limit=_LONGEST)

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            self._path(self._number).unlink(missing_ok=True)

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            word, _, words = (await reader.readline()).strip().partition(b" ")
            if word == _METRICS:
                writer.write(packed(families(self._metrics.registry)))
            elif word in self._answers:
                message = cast("dict[str, Any]", _json.loads(words))
                writer.write(_json.dumps(await self._answers[word](message)))
            await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    async def render(self) -> bytes:
        """The metrics of all workers that answer in time."""
        told = await self._ask_all(_METRICS, _SECONDS)
        workers = {str(number): found for number, data in told.items() if (found := _families(data)) is not None}
        workers[str(self._number)] = families(self._metrics.registry)
        return render(dict(sorted(workers.items())))

    async def ask(self, word: str, message: Mapping[str, Any], seconds: float) -> list[Mapping[str, Any] | None]:
        """What each of the others answers; None of one that is starting, ending or too busy."""
        told = await self._ask_all(word.encode() + b" " + _json.dumps(message), seconds)
        return [cast("dict[str, Any]", _json.loads(data)) if data else None for data in told.values()]

    async def _ask_all(self, line: bytes, seconds: float) -> dict[int, bytes | None]:
        others = [number for number in range(self._count) if number != self._number]
        told = await asyncio.gather(*(self._ask(number, line, seconds) for number in others))
        return dict(zip(others, told, strict=True))

    async def _ask(self, number: int, line: bytes, seconds: float) -> bytes | None:
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(self._path(number))
                try:
                    writer.write(line + b"\n")
                    return await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return None


def _families(data: bytes | None) -> list[Family] | None:
    if not data:
        return None
    try:
        return unpacked(data)
    except ValueError:
        return None
