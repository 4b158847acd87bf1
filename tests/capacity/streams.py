"""Many streams at once: how they end with the process (R2), what a thousand of them cost (R17)."""

import asyncio
import signal
import time
from collections.abc import Iterator
from itertools import pairwise

import uvloop

from capacity.driver import Driver, Shot, quantile
from capacity.scene import MIB, Row, Scale, scene
from capacity.upstream import Ask

_DRAIN = {"accept_seconds": 0.5, "soft_seconds": 12, "hard_seconds": 30, "fast_seconds": 0.5}
"""The limits of a process that ends, one tenth of the shipped ones."""


def drain(scale: Scale) -> Iterator[Row]:
    """SIGTERM among streams of 0.05 to 2.5 seconds: none is dropped, and nobody new is sent here."""
    count = scale.count(1000)
    with scene(scale, drain=_DRAIN) as stage:
        driver = Driver(stage.url)

        async def go() -> tuple[list[Shot], float, Shot]:
            # Half of them are a second old at the signal, the rest have just begun.
            asks = [Ask(frames=10, gap=(0.05 + 2.45 * number / count) / 10) for number in range(count)]
            early = [asyncio.ensure_future(driver.fire(driver.request(ask))) for ask in asks[::2]]
            await asyncio.sleep(1.0)
            late = [asyncio.ensure_future(driver.fire(driver.request(ask))) for ask in asks[1::2]]
            # Every connection has been taken and every request read.
            while (await asyncio.to_thread(stage.stats))["open"] < count // 2 - count // 20:
                await asyncio.sleep(0.02)
            signalled = time.perf_counter()
            stage.gateway.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
            while await asyncio.to_thread(stage.ready) == 200:
                await asyncio.sleep(0.01)
            red = time.perf_counter() - signalled
            shots = list(await asyncio.gather(*early, *late))
            await asyncio.to_thread(stage.gateway.wait, 35)
            return shots, red, await driver.fire(driver.request(Ask()))

        shots, red, after = uvloop.run(go())
        status = stage.gateway.process.returncode  # type: ignore[union-attr]
    dropped = sum(not shot.is_good for shot in shots)
    yield Row("R2 T4", f"SIGTERM among {len(shots):,} streams, limits 1:10: dropped", f"{dropped}", "0", dropped == 0)
    yield Row("R2", "SIGTERM: readiness is red after", f"{red * 1000:.0f} ms", "<= 1 s", red <= 1.0)
    told = (
        "ended with 0, later connections refused"
        if (status, after.status) == (0, 0)
        else f"status {status}, {after.status}"
    )
    yield Row("R2", "after the last stream the process has", told, "ended", (status, after.status) == (0, 0))


def crowd(scale: Scale) -> Iterator[Row]:
    """A thousand streams of two events a second, fifty new ones a second, compared with a fifth as many past the gateway."""
    count, per_second, frames = scale.count(1000), 50, 40
    ask = Ask(frames=max(4, int(frames * min(1, scale.share * 2))), gap=0.5)
    with scene(scale) as stage:
        direct = Driver(stage.upstream_url)
        driver = Driver(stage.url)

        async def go() -> tuple[list[Shot], list[Shot], int]:
            most, seconds = 0, count / per_second
            # At the same time: what the machine does by itself is in both.
            running = asyncio.gather(
                direct.at_rate(direct.request(ask), per_second / 5, seconds, patience=90),
                driver.at_rate(driver.request(ask), per_second, seconds, patience=90),
            )
            while not running.done():
                most = max(most, await asyncio.to_thread(stage.resident))
                await asyncio.wait((running,), timeout=0.5)
            base, shots = running.result()
            return base, shots, most

        base, shots, most = uvloop.run(go())
    failed = sum(not shot.is_good for shot in shots)
    yield Row("R17", f"{len(shots):,} streams at once: failed", f"{failed}", "0", failed == 0)
    first = _p99([shot.first for shot in shots]) - _p99([shot.first for shot in base])
    yield Row(
        "R17", "time to the first event, p99, added at 50 new streams a second", _ms(first), "<= 60 ms", first <= 0.06
    )
    late = _p99(_lateness(shots, ask.gap)) - _p99(_lateness(base, ask.gap))
    yield Row("R17", "time between two events, p99, added", _ms(late), "<= 25 ms", late <= 0.025)
    yield Row("R17", "memory of the process", f"{most / MIB:.0f} MiB", "<= 150 MiB", most <= 150 * MIB)


def _p99(values: list[float]) -> float:
    return quantile(values, 0.99)


def _lateness(shots: list[Shot], gap: float) -> list[float]:
    """By how much each event came later after the one before than it was sent."""
    return [max(0.0, later - earlier - gap) for shot in shots for earlier, later in pairwise(shot.arrivals)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
