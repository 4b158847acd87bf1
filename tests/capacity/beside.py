"""What others see of a process that bears something: clients that never read (R15), a provider that is slow (R6).

Two processes are asked at the same time, of which one bears it, and then the other: what the machine does by itself is in both.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import uvloop

from capacity.driver import Driver, Shot, quantile
from capacity.scene import MIB, Row, Scale, Scene, config, scene
from capacity.upstream import Ask
from child import ChildGateway

_WINDOW = 1.2
"""Seconds: so short that most windows are without a pause of the machine."""


class _Others:
    """Those who ask two processes for short answers, window by window."""

    def __init__(self, pair: tuple[Scene, Scene], model: str, per_second: float, seconds: float) -> None:
        self._drivers = [Driver(stage.url, model) for stage in pair]
        self._pair = pair
        self._request = self._drivers[0].request(Ask(), stream=False)
        self._per_second, self._seconds = per_second, seconds
        self._windows: list[tuple[list[Shot], list[Shot]]] = []
        """What those saw who asked the process that bears nothing, and the others at the same time."""

    async def window(self) -> list[list[Shot]]:
        """Both, for so long."""
        return await asyncio.gather(
            *(driver.at_rate(self._request, self._per_second, self._seconds) for driver in self._drivers)
        )

    async def ask(self, windows: int, bearing: Scene) -> None:
        """So many windows, while this process bears something."""
        for _ in range(windows):
            one, other = await self.window()
            self._windows.append((other, one) if bearing is self._pair[0] else (one, other))

    def row(self, promise: str, what: str) -> Row:
        """The p99 without and with it, in the window with the median of their ratios: less than a tenth more, and nobody failed."""
        pairs = [tuple(_p99(shots) for shots in both) for both in self._windows]
        one, other = sorted(pairs, key=lambda pair: pair[1] / pair[0])[len(pairs) // 2]
        failed = sum(not shot.is_good for _, beside in self._windows for shot in beside)
        return Row(
            promise,
            f"{what}, median of {len(pairs)}",
            f"{one * 1000:.1f} -> {other * 1000:.1f} ms, {failed} failed",
            "0 failed, < 10 % more",
            not failed and other < one * 1.1,
        )


def _p99(shots: list[Shot]) -> float:
    return quantile([shot.ended for shot in shots], 0.99)


@contextlib.contextmanager
def _pair(scale: Scale, **more: object) -> Iterator[tuple[Scene, Scene]]:
    """Two processes with this configuration before one upstream."""
    with scene(scale, **more) as one, ChildGateway(config(one.upstream_url, **more)) as second:
        yield one, Scene(second, one.upstream_url, scale)


def readers(scale: Scale) -> Iterator[Row]:
    """Clients that ask for sixteen megabytes and read nothing, until they are closed: after a minute, as shipped."""
    count, bound = scale.count(500), max(10.0, scale.seconds(60))
    with _pair(scale, limits={"write_seconds": bound}) as pair:
        others = _Others(pair, "fast", 150, _WINDOW)

        async def bear(stage: Scene) -> tuple[int, float]:
            """By how much memory grows, and how long they stay."""
            driver = Driver(stage.url)
            wanted = driver.request(Ask(frames=1000, pad=16_000))
            most = before = await asyncio.to_thread(stage.resident)
            stuck = [await driver.never_read(wanted) for _ in range(count)]
            begun = time.perf_counter()
            # Until all buffers on the way are full.
            await asyncio.sleep(2)
            asking = asyncio.ensure_future(others.ask(int((bound - 6) / _WINDOW), stage))
            while (await asyncio.to_thread(stage.stats))["open"] and time.perf_counter() - begun < 2 * bound:
                most = max(most, await asyncio.to_thread(stage.resident))
                await asyncio.sleep(0.1)
            closed = time.perf_counter() - begun
            await asking
            for transport in stuck:
                transport.abort()
            return most - before, closed

        async def go() -> list[tuple[int, float]]:
            await others.window()
            return [await bear(stage) for stage in pair]

        grown, closed = map(max, zip(*uvloop.run(go()), strict=True))
    got = f"+{grown / MIB:.0f} MiB"
    yield Row("R15 T6", f"{count} clients that never read: memory", got, "< 100 MiB", grown < 100 * MIB)
    most = bound + 5
    what = f"the last of them is closed, the bound being {bound:g} s, after"
    yield Row("R15 T6", what, f"{closed:.1f} s", f"<= {most:g} s", closed <= most)
    yield others.row("R15", "p99 of others meanwhile")


def neighbour(scale: Scale) -> Iterator[Row]:
    """One provider takes a minute for an answer, five hundred are waited for; another one is asked 100 times a second."""
    count = scale.count(500)
    with _pair(scale) as pair:
        others = _Others(pair, "other/gpt-4o", 100, scale.seconds(3))

        async def open_at_the_upstream(wanted: int) -> None:
            while (await asyncio.to_thread(pair[0].stats))["open"] != wanted:
                await asyncio.sleep(0.05)

        async def go() -> None:
            await others.window()
            for stage in pair:
                driver = Driver(stage.url, "openai/gpt-4o")
                waiting = driver.request(Ask(delay=60), stream=False)
                tasks = [asyncio.ensure_future(driver.fire(waiting, patience=60)) for _ in range(count)]
                await open_at_the_upstream(count)
                await others.ask(17, stage)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await open_at_the_upstream(0)

        uvloop.run(go())
    yield others.row("R6", f"p99 of a provider beside {count} waiting requests of another")
