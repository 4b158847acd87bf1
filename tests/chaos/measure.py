"""What the promises on time and load are measured by: an open loop, a gateway process, and the upstreams' meters."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chaos.load import Gun, Shot, quantile
from chaos.measured import Measured
from chaos.outages import OUTAGES, SECOND
from chaos.runner import play
from chaos.scenario import Expect, Link, Scenario
from chaos.stage import MODELS, Backstage, Post, Stage
from execution_platform.testing import Exchange, Script, Status

TIMES = {"connect": 3, "first_token": 4, "idle": 60, "total": 60}
"""The limits for which the promises are made."""
BOUNDS = {
    "refused": 2.0,
    "reset": 2.0,
    "tls_unknown": 2.0,
    "503": 2.0,
    "dropped": 5.0,
    "silent": 4.5,
    "head_then_silence": 4.5,
}
RATE = 40
LEAVERS = 300
SLOW_ONES = 200


def measure_all(told: Callable[[Measured], None]) -> list[Measured]:
    """Every measurement, one after the other; each row is told as soon as it is there."""
    backstage = Backstage()
    rows: list[Measured] = []
    try:
        for measure in (failover_times, outage_errors, outage_load, slow_neighbour, leavers, overload):
            for row in measure(backstage):
                rows.append(row)
                told(row)
    finally:
        backstage.close()
    return rows


def failover_times(backstage: Backstage) -> Iterator[Measured]:
    """First content by the kind of fault (R3), by SDKs and bare sockets."""
    for outage in OUTAGES:
        if outage.id not in BOUNDS:
            continue
        link = Link(
            says=outage.link.says,
            proxy=outage.link.proxy,
            listen=outage.link.listen,
            tls=outage.link.tls,
            settings={"timeouts": TIMES},
        )
        scenario = Scenario(id=outage.id, title=outage.title, chain=(link, SECOND), expect=Expect(), ways=("stream",))
        with ThreadPoolExecutor(8) as threads:
            result = play(scenario, backstage, threads)
        firsts = [verdict.first for verdict in result.verdicts if verdict.first is not None]
        slowest, bound = max(firsts, default=99.0), BOUNDS[outage.id]
        kept = slowest < bound and len(firsts) == len(result.verdicts)
        yield Measured(f"first content by failover: {outage.title}", f"{slowest:.2f} s", f"< {bound:g} s", kept)


@contextlib.contextmanager
def staged(backstage: Backstage, *chain: Link, **config: Any) -> Iterator[tuple[Stage, str]]:
    """One chain behind one gateway."""
    scenario = Scenario(id="measure", title="", chain=chain, clients=("openai_chat",), ways=("whole",), config=config)
    with Stage(scenario, backstage) as stage:
        yield stage, stage.open().url


def outage_errors(backstage: Backstage) -> Iterator[Measured]:
    """Errors in the first ten seconds of an outage and after them, and how soon traffic is back (R3)."""
    settings = {"timeouts": TIMES}
    with staged(backstage, Link(proxy=[[]], settings=settings), SECOND) as (stage, url):
        gun = Gun(url, "cell0", stream=True)
        post = stage.cells[0].posts[0]
        proxy = post.proxy
        if proxy is None:
            return

        async def go() -> tuple[list[Shot], list[Shot], float]:
            await gun.at_rate(RATE, 2)
            await asyncio.to_thread(stage.do, proxy.listen("refuse"))
            proxy.break_all()
            early = await gun.at_rate(RATE, 10)
            late = await gun.at_rate(RATE, 5)
            await asyncio.to_thread(stage.do, proxy.listen("serve"))
            before, back = len(post.exchanges), 0.0
            loop = asyncio.get_running_loop()
            healed = loop.time()
            while len(post.exchanges) - before < RATE and loop.time() - healed < 20:
                await gun.at_rate(RATE, 1)
            back = loop.time() - healed
            return early, late, back

        early, late, back = asyncio.run(go())
    for name, shots, bound in (("in the first 10 s of an outage", early, 1.0), ("after 10 s of an outage", late, 0.1)):
        share = 100 * sum(not shot.is_good for shot in shots) / len(shots)
        yield Measured(f"errors {name}, {len(shots)} streams", f"{share:.2f} %", f"< {bound:g} %", share < bound)
    yield Measured("traffic back after recovery", f"{back:.1f} s", "<= 10 s", back <= 10)


def outage_load(backstage: Backstage) -> Iterator[Measured]:
    """Requests at a failing upstream for each that was offered (R4), in an outage and a brown-out."""
    fails, fine = Script(Status(500)), Script()
    for name, says in (("in an outage", (fails,)), ("in a brown-out of 50 %", (fails, fine) * 600)):
        with staged(backstage, Link(says=says)) as (stage, url):
            shots = asyncio.run(Gun(url, "cell0").at_rate(RATE, 10))
            sent = len(stage.cells[0].posts[0].exchanges)
        factor = sent / len(shots)
        yield Measured(f"load on a failing upstream {name}", f"{factor:.2f} times", "<= 1.2 times", factor <= 1.2)


def slow_neighbour(backstage: Backstage) -> Iterator[Measured]:
    """The 99th percentile of one provider while another one answers after 30 seconds (R6)."""
    chain = (Link(says=(Script(delay=30.0),), settings={"timeouts": {"first_token": 60}}), SECOND)
    scenario = Scenario(id="measure", title="", chain=chain, clients=("openai_chat",), ways=("whole",))
    with Stage(scenario, backstage) as stage:
        slow, fast = stage.cells[0].posts
        url = stage.open().url

        async def go() -> tuple[list[Shot], list[Shot]]:
            gun, slow_gun = Gun(url, _named(fast)), Gun(url, _named(slow), patience=60)
            await gun.at_rate(RATE, 2)
            alone = await gun.at_rate(RATE, 8)
            waiting = [asyncio.create_task(slow_gun.fire(25.0)) for _ in range(SLOW_ONES)]
            while len(slow.exchanges) < SLOW_ONES:
                await asyncio.sleep(0.05)
            beside = await gun.at_rate(RATE, 8)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            # Before and after: what the machine does by itself is in both.
            again = await gun.at_rate(RATE, 8)
            return max(alone, again, key=_p99), beside

        alone, beside = asyncio.run(go())
    before, after = _p99(alone), _p99(beside)
    failed = sum(not shot.is_good for shot in beside)
    got = f"{before * 1000:.1f} -> {after * 1000:.1f} ms"
    what = f"p99 of a provider beside {SLOW_ONES} slow requests of another"
    yield Measured(what, got, "< 10 % more", after < before * 1.1 and not failed)


def _p99(shots: list[Shot]) -> float:
    return quantile([shot.seconds for shot in shots], 0.99)


def _named(post: Post) -> str:
    return f"{post.provider}/{MODELS[post.kind]}"


def leavers(backstage: Backstage) -> Iterator[Measured]:
    """From the client's leaving to the end of the upstream's connection (R16)."""
    for name, stream, says in (("a stream", True, Script(pace=0.05)), ("a whole answer", False, Script(delay=3.0))):
        with staged(backstage, Link(says=(says,))) as (stage, url):
            shots = asyncio.run(Gun(url, "cell0", stream=stream).leaving(LEAVERS, 0.4))
            post = stage.cells[0].posts[0]
            stage.do(post.upstream.wait_until(lambda meter: not meter.requests_open, within=10))
            ends = {_asked(one): one.closed_at or 0.0 for one in post.exchanges if one.end == "client"}
        seconds = [ends[shot.text] - shot.left_at for shot in shots if shot.text in ends]
        p99 = quantile(seconds, 0.99)
        what = f"client leaves {name} -> upstream closed, p99 of {len(seconds)}"
        yield Measured(what, f"{p99 * 1000:.0f} ms", "< 250 ms", p99 < 0.25 and len(seconds) > LEAVERS / 2)


def _asked(exchange: Exchange) -> str:
    """The text of a request, as the upstream got it."""
    body: Any = exchange.body
    return str(body["messages"][0]["content"])


def overload(backstage: Backstage) -> Iterator[Measured]:
    """Three times what the gateway may have in flight (R18): goodput, and how fast the others are told."""
    in_flight, latency = 20, 0.2
    capacity = in_flight / latency
    with staged(backstage, Link(says=(Script(delay=latency),)), limits={"in_flight": in_flight}) as (_, url):
        shots = asyncio.run(Gun(url, "cell0").at_rate(capacity * 3, 8))
    good = [shot for shot in shots if shot.is_good]
    refused = [shot for shot in shots if shot.status in {429, 503}]
    share = len(good) / 8 / capacity
    yield Measured("goodput at 3 times the load, of what is admitted", f"{100 * share:.0f} %", ">= 90 %", share >= 0.9)
    p99 = quantile([shot.seconds for shot in refused], 0.99)
    told = all(shot.retry_after for shot in refused) and bool(refused)
    yield Measured(
        f"refusals at 3 times the load, p99 of {len(refused)}",
        f"{p99 * 1000:.0f} ms",
        "< 50 ms with retry-after",
        told and p99 < 0.05,
    )
