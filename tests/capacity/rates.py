"""Requests at a rate: beyond what the processor bears (R18), beside a slow provider (R6), through reloads (R20), for long (R19)."""

import asyncio
import random
import time
from collections.abc import Iterator
from statistics import median

from capacity.driver import Driver, Shot, quantile
from capacity.scene import MIB, Row, Scale, config, scene
from capacity.upstream import Ask

_LONG = Ask(frames=500)
"""A stream that has to be translated frame by frame: what makes the gateway's processor the bottleneck, and not the client's."""


_KEPT_SECONDS = 62
"""Until connections to upstreams that nobody needs are closed: only then is everything at rest."""


def overload(scale: Scale) -> Iterator[Row]:
    """Three times what this process can do at its best, with long streams that have to be translated."""
    with scene(scale) as stage:
        driver = Driver(stage.url, path="/v1/messages")
        request = driver.request(_LONG)
        seconds = scale.seconds(15)

        async def best() -> float:
            return max([len(_good(await driver.closed_loop(request, clients, 3))) / 3 for clients in (8, 32)])

        async def go() -> tuple[float, list[Shot], list[Shot], float]:
            await driver.closed_loop(request, 4, 2)
            peak = await best()
            begun = time.perf_counter()
            shots = await driver.at_rate(request, peak * 3, seconds, patience=5)
            spent = max(seconds, time.perf_counter() - begun - 5)
            after = await driver.at_rate(request, peak / 2, scale.seconds(5), patience=5)
            # Before and after: the machine may have become another one meanwhile.
            return (peak + await best()) / 2, shots, after, spent

        peak, shots, after, spent = asyncio.run(go())
    good = len([shot for shot in _good(shots) if shot.ended <= 5]) / spent
    share = good / peak
    got = f"{100 * share:.0f} % of {peak:.0f} a second"
    yield Row("R18", "goodput at 3 times the load its processor bears", got, ">= 90 %", share >= 0.9)
    refused = [shot for shot in shots if shot.status in {429, 503, 529}]
    p99 = quantile([shot.ended for shot in refused], 0.99)
    told = all(shot.header(b"retry-after") for shot in refused)
    what = f"the others are refused within, p99 of {len(refused):,}"
    yield Row("R18", what, f"{p99 * 1000:.0f} ms", "<= 50 ms, with retry-after", p99 <= 0.05 and told and bool(refused))
    lost = len(shots) - len(refused) - len(_good(shots))
    yield Row("R18", "neither answered nor refused", f"{lost}", "0", lost == 0)
    missing = sum(not shot.is_good for shot in after[len(after) // 2 :])
    yield Row("R18", "failed at half the load, right afterwards", f"{missing}", "0 after 5 s", missing == 0)


def _good(shots: list[Shot]) -> list[Shot]:
    return [shot for shot in shots if shot.is_good]


def neighbour(scale: Scale) -> Iterator[Row]:
    """One provider takes thirty seconds for an answer, five hundred are waited for; another one is asked 100 times a second."""
    count = scale.count(500)
    with scene(scale) as stage:
        slow, quick = Driver(stage.url, "openai/gpt-4o"), Driver(stage.url, "other/gpt-4o")
        waiting, asked = slow.request(Ask(delay=30), stream=False), quick.request(Ask(), stream=False)

        async def window() -> float:
            shots = await quick.at_rate(asked, 100, scale.seconds(4))
            return quantile([shot.ended for shot in shots], 0.99) if len(_good(shots)) == len(shots) else 99.0

        async def go() -> tuple[list[float], list[float]]:
            await window()
            alone: list[float] = []
            beside: list[float] = []
            # Turn by turn: what the machine does by itself is in both.
            for _ in range(3):
                alone.append(await window())
                tasks = [asyncio.ensure_future(slow.fire(waiting, patience=60)) for _ in range(count)]
                while (await asyncio.to_thread(stage.stats))["open"] < count:
                    await asyncio.sleep(0.05)
                beside.append(await window())
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                while (await asyncio.to_thread(stage.stats))["open"]:
                    await asyncio.sleep(0.05)
            return alone, beside

        alone, beside = asyncio.run(go())
    one, other = median(alone) * 1000, median(beside) * 1000
    what = f"p99 of a provider beside {count} waiting requests of another, median of 3"
    yield Row("R6", what, f"{one:.1f} -> {other:.1f} ms", "< 10 % more", other < one * 1.1)


def reloads(scale: Scale) -> Iterator[Row]:
    """A hundred new configurations in a minute, and thirty that cannot be used, at 200 requests a second."""
    count, broken, seconds = scale.count(100), scale.count(30), scale.seconds(60)
    with scene(scale) as stage:
        driver = Driver(stage.url)
        request = driver.request(Ask(delay=0.02), stream=False)

        async def change() -> tuple[int, int]:
            applied = refused = 0
            for number in range(count):
                stage.gateway.write(config(stage.upstream_url, limits={"depth": 30 + number % 30}))
                applied += await asyncio.to_thread(stage.post, "/v1/config/reload") == 200
                if number < broken:
                    stage.gateway.config_path.write_text(
                        f"version: 1\nproviders: {{openai: {{kind: nonsense{number}}}}}\n"
                    )
                    refused += await asyncio.to_thread(stage.post, "/v1/config/reload") == 422
                await asyncio.sleep(seconds / count)
            return applied, refused

        async def go() -> tuple[list[Shot], tuple[int, int]]:
            changing = asyncio.ensure_future(change())
            return await driver.at_rate(request, 200, seconds), await changing

        shots, (applied, refused) = asyncio.run(go())
    failed = sum(not shot.is_good for shot in shots)
    versions = {shot.header(b"x-ep-config") for shot in shots}
    yield Row("R20", f"{count} reloads, {len(shots):,} requests at 200 a second: failed", f"{failed}", "0", failed == 0)
    one_each = b"" not in versions and all(b"," not in version for version in versions)
    got = f"{applied} applied, {refused} broken ones refused, {len(versions)} versions seen"
    yield Row("R20", "of them", got, f"{count}, {broken}", (applied, refused) == (count, broken) and one_each)


def soak(scale: Scale) -> Iterator[Row]:
    """A mix at 150 requests a second: streams and whole answers, of which 10 % are left and 2 % fail upstream."""
    seconds, kept = scale.seconds(75), scale.seconds(_KEPT_SECONDS)
    with scene(scale, ledger={"request_days": 1}) as stage:
        driver = Driver(stage.url)
        order = random.Random(19)
        asks = [
            driver.request(Ask(delay=0.02, failing=0.02), stream=False),
            driver.request(Ask(frames=10, gap=0.02, failing=0.02)),
        ]

        async def mix(length: float) -> list[Shot]:
            loop, shots = asyncio.get_running_loop(), []
            begun = loop.time()
            for number in range(int(150 * length)):
                await asyncio.sleep(max(0.0, begun + number / 150 - loop.time()))
                leave = order.uniform(0.0, 0.15) if order.random() < 0.1 else None
                shots.append(asyncio.ensure_future(driver.fire(order.choice(asks), leave_after=leave)))
            return list(await asyncio.gather(*shots))

        async def go() -> tuple[list[Shot], list[tuple[float, int]], tuple[int, int], tuple[int, int]]:
            await mix(seconds / 5)
            await asyncio.sleep(kept)
            at_rest = stage.descriptors(), stage.threads()
            memory: list[tuple[float, int]] = []
            begun = time.perf_counter()
            running = asyncio.ensure_future(mix(seconds))
            while not running.done():
                memory.append((time.perf_counter() - begun, stage.resident()))
                await asyncio.wait((running,), timeout=0.5)
            shots = running.result()
            await asyncio.sleep(kept)
            return shots, memory, at_rest, (stage.descriptors(), stage.threads())

        shots, memory, before, after = asyncio.run(go())
    wrong = sum(shot.status not in {0, 200, 502, 503} for shot in shots)
    what = f"{len(shots):,} requests in {seconds:.0f} s, 10 % left, 2 % failing: other errors"
    yield Row("R19", what, f"{wrong}", "0", wrong == 0)
    first, last = _mean(memory[: len(memory) // 4]), _mean(memory[-len(memory) // 4 :])
    grown = 100 * (last - first) / first
    got = f"{grown:+.1f} %, {(last - first) / MIB / (seconds * 0.75 / 60):+.1f} MiB a minute"
    yield Row("R19", f"memory after its warm-up, from {first / MIB:.0f} MiB", got, "< 5 %", grown < 5)
    got = f"{before[0]} -> {after[0]}, {before[1]} -> {after[1]}"
    is_same = abs(after[0] - before[0]) <= 2 and abs(after[1] - before[1]) <= 2
    yield Row("R19", "descriptors and threads, at rest before and after", got, "+- 2", is_same)


def _mean(points: list[tuple[float, int]]) -> float:
    return sum(value for _, value in points) / max(1, len(points))


def overhead(scale: Scale) -> Iterator[Row]:
    """Whole answers at 100 a second by the gateway, and 50 a second past it."""
    with scene(scale) as stage:
        direct, driver = Driver(stage.upstream_url), Driver(stage.url)
        request = direct.request(Ask(), stream=False)

        async def added(seconds: float) -> tuple[float, float]:
            # At the same time: what the machine does by itself is in both.
            past, by = await asyncio.gather(direct.at_rate(request, 50, seconds), driver.at_rate(request, 100, seconds))
            times = [[shot.ended * 1000 for shot in shots] for shots in (by, past)]
            p50, p99 = (quantile(times[0], share) - quantile(times[1], share) for share in (0.5, 0.99))
            return p50, p99

        async def go() -> list[tuple[float, float]]:
            await added(1)
            return [await added(scale.seconds(4)) for _ in range(3)]

        p50, p99 = map(median, zip(*asyncio.run(go()), strict=True))
    what = "whole answers at 100 a second, added {}, median of 3"
    yield Row("R17", what.format("p50"), f"{p50:.1f} ms", "<= 3 ms", p50 <= 3)
    yield Row("R17", what.format("p99"), f"{p99:.1f} ms", "<= 15 ms", p99 <= 15)


def leavers(scale: Scale) -> Iterator[Row]:
    """Clients that leave at random moments, of streams and of whole answers (R16)."""
    count = scale.count(500)
    with scene(scale) as stage:
        driver = Driver(stage.url)
        for name, request in (
            ("a stream", driver.request(Ask(frames=200, gap=0.05))),
            ("a whole answer", driver.request(Ask(delay=20), stream=False)),
        ):

            async def go(request: bytes = request) -> list[float]:
                order, closed = random.Random(16), []
                for _ in range(max(1, count // 2 // 25)):
                    await asyncio.gather(
                        *(driver.fire(request, leave_after=order.uniform(0.1, 0.3)) for _ in range(25))
                    )
                    left = time.perf_counter()
                    while (await asyncio.to_thread(stage.stats))["open"]:
                        await asyncio.sleep(0.005)
                    closed.append(time.perf_counter() - left)
                return closed

            worst = max(asyncio.run(go()))
            what = f"25 clients leave {name}: the last upstream is closed"
            yield Row("R16", what, f"{worst * 1000:.0f} ms", "<= 250 ms", worst <= 0.25)
