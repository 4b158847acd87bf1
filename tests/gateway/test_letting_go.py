"""Nothing of a request is kept when it is over, however it ended: a process that serves failures for weeks stays as small as it was."""

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.router.attempt import Attempt
from execution_platform.router.chain import Run
from execution_platform.runtime import books
from execution_platform.runtime.call import Call
from execution_platform.spi.events import PartDelta
from execution_platform.testing import Cut, FakeUpstream, Gate, Script, Stall, Status, Text
from gateway.watching import streaming, with_pulse
from loops import until
from serving import MODELS, Served, chat_body, serving, three_vendors

Ask = Callable[[Served, str, bool], Awaitable[None]]


def kept() -> Counter[str]:
    """What is alive of requests once all that can be collected is."""
    gc.collect()
    of_requests = (Call, Attempt, Run, ExecutionPlatformError)
    return Counter(kind.__name__ for kind in map(type, gc.get_objects()) if issubclass(kind, of_requests))


def told() -> int:
    """How many events with a piece of an answer are alive once all that can be collected is."""
    gc.collect()
    return sum(isinstance(each, PartDelta) for each in gc.get_objects())


async def finished(gateway: Served) -> None:
    """Return when nothing is under way any more."""
    await until(lambda: not gateway.gateway.state.admission.in_flight)


async def whole(gateway: Served, client: str, stream: bool) -> None:
    path, body = chat_body(client, "hello", "persona/dev", stream=stream)
    await gateway.post(path, body)


async def leave(gateway: Served, client: str, stream: bool) -> None:
    path, body = chat_body(client, "hello", "persona/dev", stream=stream)
    if stream:
        async with streaming(gateway, path, body) as answer:
            await answer.until(b"one")
    else:
        asked = asyncio.create_task(gateway.post(path, body))
        await until(lambda: gateway.gateway.state.admission.in_flight)
        asked.cancel()
        await asyncio.wait((asked,))


def faulty(kind: type[Cut | Stall], stream: bool) -> Script:
    """An answer that is cut or falls silent: a stream behind its first word, a whole one before it, where it is one piece."""
    return Script(Text("one two"), faults=[kind(after=int(stream), of="content")])


ENDS: dict[str, tuple[Callable[[bool], list[Script]], Ask]] = {
    "answered": (lambda _: [Script(Text("one two"))] * 2, whole),
    "all failed": (lambda _: [Script(Status(500))] * 2, whole),
    "refused": (lambda _: [Script(Status(400))] * 2, whole),
    "failed over": (lambda _: [Script(Status(500)), Script(Text("one two"))], whole),
    "cut": (lambda stream: [faulty(Cut, stream)] * 2, whole),
    "left": (lambda stream: [faulty(Stall, stream)] * 2, leave),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", ["openai_chat", "anthropic"])
@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_kept_of_a_request_that_is_over(end: str, client: str, stream: bool, tmp_path: Path) -> None:
    """R19."""
    scripts, ask = ENDS[end]

    async def run() -> None:
        async with FakeUpstream() as first, FakeUpstream() as second:
            providers = {}
            for name, upstream, script in zip("ab", (first, second), scripts(stream), strict=True):
                upstream.script(script, model="*")
                providers[name] = {
                    "kind": "openai_compatible",
                    "base_url": f"{upstream.url}/v1",
                    "models": ["m"],
                    "free": True,
                    "circuit_breaker": {"failure_threshold": 1000},
                }
            config = {
                "retry": {"base_seconds": 0.001},
                "providers": providers,
                "personas": {"dev": {"prefer": ["a/m", "b/m"]}},
            }
            async with serving(tmp_path, config) as gateway:
                before = kept()
                for _ in range(4):
                    await ask(gateway, client, stream)
                await finished(gateway)
                assert first.meter
                # What the last one leaves to the next turns of the loop is not kept.
                await until(lambda: kept() <= before)

    asyncio.run(run())


def test_who_watches_streams_does_not_keep_the_last_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tickers for heartbeats and checkpoints run for ever: what they looked at last has to go all the same."""
    monkeypatch.setattr(books, "TICK_SECONDS", 0.001)

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            await with_pulse(gateway, 0.005)
            upstream.script(faulty(Stall, stream=True))
            before = kept()
            path, body = chat_body("openai_chat", "hello", MODELS["openai_chat"], stream=True)
            async with streaming(gateway, path, body) as answer:
                await answer.until(b"one")
                await answer.until(b"\n: ")
                await until(lambda: all(each.ticks > 2 for each in gateway.gateway.state.books.running.values()))
            await finished(gateway)
            await until(lambda: kept() <= before)

    asyncio.run(run())


def test_events_that_were_passed_on_are_not_kept_while_the_rest_is_awaited(tmp_path: Path) -> None:
    """Thousands of streams wait at any time: what each has told already would fill the memory, and the collector's time."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            before = told()
            gate = Gate()
            stalls = [Stall(after=1, of="content", gate=gate), Stall(after=2, of="content")]
            upstream.script(Script(Text("one two three"), faults=stalls))
            path, body = chat_body("anthropic", "hello", MODELS["openai_chat"], stream=True)
            async with streaming(gateway, path, body) as answer:
                # One batch that was held back until the stream was sure, and one that came later.
                await answer.until(b"one")
                gate.release()
                await answer.until(b"two")
                await until(lambda: told() <= before)
                assert gateway.gateway.state.admission.streams == 1, "it is not the end of the stream that let them go"

    asyncio.run(run())
