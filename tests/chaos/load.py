"""Load for measurements: requests at a fixed rate, whatever becomes of the ones before (open loop), on bare asyncio sockets.

A closed loop would wait for slow answers and so hide the very delays that are to be measured.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from execution_platform import _json
from serving import chat_body


@dataclass(slots=True)
class Shot:
    """One request of a load."""

    begun: float
    status: int = 0
    first: float = 0.0
    """Seconds to the first byte of the body."""
    seconds: float = 0.0
    is_whole: bool = False
    retry_after: bool = False
    left_at: float = 0.0
    text: str = ""
    """What was asked, by which the upstream's books know it again."""

    @property
    def is_good(self) -> bool:
        """An answer from its beginning to its end."""
        return self.status == 200 and self.is_whole


class Gun:
    """Sends one kind of request to a gateway."""

    def __init__(self, url: str, model: str, *, stream: bool = False, patience: float = 20.0) -> None:
        split = urlsplit(url)
        self._address = (str(split.hostname), int(split.port or 80))
        self._model = model
        self._stream = stream
        self._patience = patience

    def _request(self, text: str) -> bytes:
        path, body = chat_body("openai_chat", text, self._model, stream=self._stream)
        data = _json.dumps(body)
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        return head.encode() + b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(data), data)

    async def fire(self, leave_after: float | None = None, *, reset: bool = False, text: str = "hello") -> Shot:
        """One request on a connection of its own; the client leaves after so many seconds."""
        shot = Shot(time.monotonic(), text=text)
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            reader, writer = await asyncio.open_connection(*self._address)
            try:
                writer.write(self._request(text))
                if leave_after is None:
                    async with asyncio.timeout(self._patience):
                        await self._read(reader, shot)
                else:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(leave_after):
                            await self._read(reader, shot)
            finally:
                shot.left_at = time.monotonic()
                writer.transport.abort() if reset else writer.close()
        shot.seconds = time.monotonic() - shot.begun
        return shot

    async def _read(self, reader: asyncio.StreamReader, shot: Shot) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        shot.status = int(head.split(b" ", 2)[1])
        shot.retry_after = b"\r\nretry-after:" in head.lower()
        body = await reader.read(65536)
        shot.first = time.monotonic() - shot.begun
        while data := await reader.read(65536):
            body += data
        shot.is_whole = b"[DONE]" in body if self._stream else bool(body)

    async def at_rate(self, per_second: float, seconds: float) -> list[Shot]:
        """Requests at even distances, for so long."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        shots: list[asyncio.Task[Shot]] = []
        for number in range(int(per_second * seconds)):
            wait = begun + number / per_second - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            shots.append(asyncio.create_task(self.fire()))
        return list(await asyncio.gather(*shots))

    async def leaving(self, count: int, most: float, seed: int = 7) -> list[Shot]:
        """Clients that leave at random, half of them by a reset."""
        order = random.Random(seed)
        moments = [(order.uniform(0.02, most), order.random() < 0.5) for _ in range(count)]
        shots: list[Shot] = []
        for start in range(0, count, 25):
            batch = enumerate(moments[start : start + 25], start)
            shots += await asyncio.gather(
                *(self.fire(moment, reset=reset, text=f"leaver {number}") for number, (moment, reset) in batch)
            )
        return shots


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies; 0 of nothing."""
    found = sorted(values)
    return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0
