"""What tests of the gateway look at besides answers: its log, its metrics, and the events of a stream."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from execution_platform.gateway.pulse import Pulse
from execution_platform.observability.logging import LineLog
from serving import Served


async def with_pulse(gateway: Served, seconds: float) -> None:
    """The same gateway with a quicker heartbeat."""
    state = gateway.gateway.state
    await state.pulse.stop()
    state.pulse = Pulse(seconds)
    state.pulse.start()


class Log:
    """The gateway's log in a file, instead of the standard output of the test run."""

    def __init__(self, gateway: Served, folder: Path) -> None:
        self.path = folder / "gateway.log"
        self._file = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._state = gateway.gateway.state
        self._state.log = LineLog(self._file)

    def text(self) -> str:
        """All that has been logged."""
        self._state.log.close()
        return self.path.read_text()

    def events(self, name: str = "request") -> list[dict[str, Any]]:
        """The lines of one kind, read as JSON."""
        return [line for line in map(json.loads, self.text().splitlines()) if line["event"] == name]

    async def requests(self, count: int) -> list[dict[str, Any]]:
        """The access log's lines, once there are `count`: a line is written after the last byte has left."""
        async with asyncio.timeout(5):
            while len(found := self.events()) < count:
                await asyncio.sleep(0)
        return found


def series(text: bytes) -> dict[str, float]:
    """Prometheus text by name and labels, without what moves by itself."""
    found = {}
    for line in text.decode().splitlines():
        if not line.startswith("#") and "_created" not in line:
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


async def metrics(gateway: Served, **headers: str) -> dict[str, float]:
    """The metrics as they are now."""
    got = await gateway.get("/metrics", **headers)
    assert got.status == 200, got.body
    return series(got.body)


def total(found: dict[str, float], name: str, **labels: str) -> float:
    """The sum over the series of a metric that have these labels."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        value
        for key, value in found.items()
        if re.match(rf"{name}(\{{|$)", key) and all(label in key for label in wanted)
    )


class Stream:
    """A streamed answer that is read piece by piece."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.seen = b""

    async def until(self, text: bytes) -> bytes:
        """Read until `text` has come; all that has come so far."""
        async with asyncio.timeout(10):
            while text not in self.seen:
                data = await self.response.content.readany()
                assert data, f"the stream ended without {text!r}: {self.seen!r}"
                self.seen += data
        return self.seen

    async def rest(self) -> bytes:
        """Read to the end; the whole answer."""
        self.seen += await self.response.read()
        return self.seen


@asynccontextmanager
async def streaming(gateway: Served, path: str, body: Any, **headers: str) -> AsyncIterator[Stream]:
    """An answer whose head has come. Leaving early closes the connection."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with gateway.http.post(gateway.url + path, json=body, headers=sent) as response:
        yield Stream(response)
