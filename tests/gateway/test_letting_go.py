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
from execution_platform.runtime.call import Call
from execution_platform.testing import Cut, FakeUpstream, Script, Stall, Status, Text
from gateway.watching import streaming, until
from serving import Served, chat_body, serving

Ask = Callable[[Served, str, bool], Awaitable[None]]


def kept() -> Counter[str]:
    """What is alive of requests once all that can be collected is."""
    gc.collect()
    of_requests = (Call, Attempt, Run, ExecutionPlatformError)
    return Counter(kind.__name__ for kind in map(type, gc.get_objects()) if issubclass(kind, of_requests))


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


ENDS: dict[str, tuple[list[Script | Status], Ask]] = {
    "answered": ([Script(Text("one two")), Script(Text("one two"))], whole),
    "all failed": ([Status(500), Status(500)], whole),
    "refused": ([Status(400), Status(400)], whole),
    "failed over": ([Status(500), Script(Text("one two"))], whole),
    "cut": ([Script(Text("one two"), faults=[Cut(after=1, of="content")])] * 2, whole),
    "left": ([Script(Text("one two"), faults=[Stall(after=1, of="content")])] * 2, leave),
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
            for name, upstream, script in zip("ab", (first, second), scripts, strict=True):
                upstream.script(script if isinstance(script, Script) else Script(script), model="*")
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
                await ask(gateway, client, stream)
                await finished(gateway)
                before = kept()
                for _ in range(4):
                    await ask(gateway, client, stream)
                await finished(gateway)
                assert first.meter
                assert kept() <= before

    asyncio.run(run())
