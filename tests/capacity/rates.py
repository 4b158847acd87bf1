"""Requests at a rate: beyond what the processor bears (R18), through reloads (R20), for long (R19)."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

import uvloop

from capacity.driver import Driver, Shot, quantile
from capacity.scene import MIB, Row, Scale, config, scene
from capacity.upstream import Ask

_LONG = Ask(frames=500)
"""A stream that has to be translated frame by frame: what makes the gateway's processor the bottleneck, and not the client's."""


_KEPT_SECONDS = 62
"""Until connections to upstreams that nobody needs are closed: only then is everything at rest."""


def overload(scale: Scale) -> Iterator[Row]:
    """A minute of three times what this process can do at its best, with long streams that have to be translated."""
    turns = scale.count(20)
    with scene(scale) as stage:
        driver = Driver(stage.url, path="/v1/messages")
        request = driver.request(_LONG)

        async def best() -> float:
            begun = time.perf_counter()
            good = len(_good(await driver.closed_loop(request, 8, scale.seconds(1))))
            return good / (time.perf_counter() - begun)

        async def go() -> tuple[list[float], list[list[Shot]], list[Shot]]:
            await driver.closed_loop(request, 4, 2)
            peaks, beyond = [await best()], []
            # Turn by turn: the machine becomes another one within seconds.
            for _ in range(turns):
                beyond.append(await driver.at_rate(request, peaks[-1] * 3, scale.seconds(3), patience=5))
                peaks.append(await best())
            beyond.append(await driver.at_rate(request, peaks[-1] * 3, scale.seconds(3), patience=5))
            return peaks, beyond, await driver.at_rate(request, peaks[-1] / 2, scale.seconds(5), patience=5)

        peaks, beyond, after = uvloop.run(go())
    shares = [_goodput(shots) * 2 / sum(around) for shots, around in zip(beyond, pairwise(peaks), strict=False)]
    share = median(shares)
    got = f"{100 * share:.0f} % of {median(peaks):.0f} a second"
    yield Row(
        "R18", f"goodput at 3 times the load its processor bears, median of {turns}", got, ">= 90 %", share >= 0.9
    )
    shots = [shot for some in beyond for shot in some]
    refused = [shot for shot in shots if shot.status in {429, 503, 529}]
    p99 = quantile([shot.ended for shot in refused], 0.99)
    told = all(shot.header(b"retry-after") for shot in refused)
    what = f"the others are refused within, p99 of {len(refused):,}"
    yield Row("R18", what, f"{p99 * 1000:.0f} ms", "<= 50 ms, with retry-after", p99 <= 0.05 and told and bool(refused))
    lost = len(shots) - len(refused) - len(_good(shots))
    yield Row("R18", "neither answered nor refused", f"{lost}", "0", lost == 0)
    missing = sum(not shot.is_good for shot in after[len(after) // 2 :])
    yield Row("R18", "failed at half the load, right afterwards", f"{missing}", "0 after 5 s", missing == 0)


def _goodput(shots: list[Shot]) -> float:
    """Answers a second, from the first request to the last answer."""
    good = _good(shots)
    return len(good) / (max(shot.begun + shot.ended for shot in good) - shots[0].begun) if good else 0.0


def _good(shots: list[Shot]) -> list[Shot]:
    return [shot for shot in shots if shot.is_good]


def _failures(shots: list[Shot]) -> str:
    """How many, and of which status; 0 is a connection without an answer, 200 an answer without its end."""
    each = Counter(shot.status for shot in shots)
    return f"{len(shots)}" + "".join(f", {count} with {status}" for status, count in sorted(each.items()))


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

        shots, (applied, refused) = uvloop.run(go())
    failed = [shot for shot in shots if not shot.is_good]
    versions = {shot.header(b"x-ep-config") for shot in shots}
    what = f"{count} reloads, {len(shots):,} requests at 200 a second: failed"
    yield Row("R20", what, _failures(failed), "0", not failed)
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

        shots, memory, before, after = uvloop.run(go())
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

        p50, p99 = map(median, zip(*uvloop.run(go()), strict=True))
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

            worst = max(uvloop.run(go()))
            what = f"25 clients leave {name}: the last upstream is closed"
            yield Row("R16", what, f"{worst * 1000:.0f} ms", "<= 250 ms", worst <= 0.25)
