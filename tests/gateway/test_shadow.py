"""Shadow traffic: copies that nobody sees, whatever becomes of them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.runtime.call import Call
from execution_platform.runtime.execute import execute
from execution_platform.runtime.shadow import Shadows
from execution_platform.testing import Cut, FakeUpstream, NoAnswer, Script, Status, Text
from gateway.watching import Log, metrics, streaming
from serving import MODELS, Served, chat_body, serving, three_vendors

OPENAI, ANTHROPIC, GEMINI = MODELS.values()
CLIENTS = ["openai_chat", "anthropic", "gemini", "native"]


def shadowed(upstream: FakeUpstream, percent: float = 100, **more: Any) -> dict[str, Any]:
    model = {"targets": [{"model": OPENAI}], "shadow": {"model": ANTHROPIC, "percent": percent}}
    return three_vendors(upstream, models={"fast": model}, **more)


async def over(gateway: Served, upstream: FakeUpstream, requests: int) -> None:
    """Until so many requests have come to the upstream and no copy is under way."""
    await upstream.wait_until(lambda meter: len(meter) >= requests)
    async with asyncio.timeout(5):
        while len(gateway.gateway.state.shadows):
            await asyncio.sleep(0)


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_copy_is_sent_and_its_answer_is_seen_by_nobody(tmp_path: Path, dialect: str, stream: bool) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, shadowed(upstream)) as gateway:
            log = Log(gateway, tmp_path)
            upstream.script(Script(Text("real")), model="gpt-4o")
            upstream.script(Script(Text("shadow")), model="claude-sonnet-4-5")
            got = await gateway.post(*chat_body(dialect, "hi", "fast", stream=stream))
            assert got.status == 200
            assert b"real" in got.body
            assert b"shadow" not in got.body
            assert got.header("x-ep-provider") == "openai"
            await over(gateway, upstream, 2)
            assert [exchange.model for exchange in upstream.meter] == ["gpt-4o", "claude-sonnet-4-5"]
            shown = await metrics(gateway)
            assert shown['ep_shadow_requests_total{outcome="ok"}'] == 1
            assert sum(value for name, value in shown.items() if name.startswith("ep_requests_total")) == 1
            (line,) = log.events("shadow")
            assert line["shadow_of"] == got.header("x-request-id")
            assert (line["provider"], line["model"]) == ("anthropic", "claude-sonnet-4-5")
            assert line["output_tokens"] > 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "script", [Script(Status(500)), Script(Text("a b c"), faults=[Cut(after=1)]), Script(faults=[NoAnswer()])]
)
def test_a_copy_that_fails_is_noted_and_troubles_nobody(tmp_path: Path, script: Script) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, shadowed(upstream)) as gateway:
            state = gateway.gateway.state
            upstream.script(script, model="claude-sonnet-4-5")
            for _ in range(2):
                got = await gateway.post(*chat_body("openai_chat", "hi", "fast", stream=True))
                assert got.status == 200
            await upstream.wait_until(lambda meter: len(meter) >= 4)
            if not script.faults or not isinstance(script.faults[0], NoAnswer):
                await over(gateway, upstream, 4)
                assert (await metrics(gateway))['ep_shadow_requests_total{outcome="error"}'] == 2
        assert len(state.shadows) == 0

    asyncio.run(run())


def test_a_client_that_leaves_does_not_end_the_copy(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, shadowed(upstream)) as gateway:
            gate = upstream.gate("pace")
            upstream.script(Script(Text("one two three"), pace_gate=gate), model="gpt-4o")
            gate.step(3)
            async with streaming(gateway, *chat_body("openai_chat", "hi", "fast", stream=True)) as stream:
                await stream.until(b"one")
            await upstream.wait_closed(0)
            await over(gateway, upstream, 2)
            assert (await metrics(gateway))['ep_shadow_requests_total{outcome="ok"}'] == 1

    asyncio.run(run())


def test_a_failed_request_is_not_copied(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, shadowed(upstream)) as gateway:
            upstream.script(Script(Status(400)), model="gpt-4o")
            assert (await gateway.post(*chat_body("openai_chat", "hi", "fast"))).status == 400
            assert len(gateway.gateway.state.shadows) == 0
            assert [exchange.model for exchange in upstream.meter] == ["gpt-4o"]

    asyncio.run(run())


def test_copies_beyond_the_bound_are_dropped_and_counted(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, shadowed(upstream)) as gateway:
            state = gateway.gateway.state
            state.shadows = Shadows(execute, most=1, dropped=state.metrics.experiments.shadows.labels("dropped").inc)
            gate = upstream.gate("pace")
            upstream.script(Script(Text("one two"), pace_gate=gate), model="claude-sonnet-4-5")
            for _ in range(3):
                assert (await gateway.post(*chat_body("openai_chat", "hi", "fast"))).status == 200
            assert (await metrics(gateway))['ep_shadow_requests_total{outcome="dropped"}'] == 2
            gate.release()
            await over(gateway, upstream, 4)

    asyncio.run(run())


def test_what_a_persona_requires_holds_for_copies_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            personas = {
                "open": {"prefer": ["fast"], "system": "Be brief."},
                "seer": {"prefer": ["fast"], "requires": {"region": "eu"}},
            }
            config = shadowed(upstream, personas=personas)
            config["providers"]["openai"]["profiles"] = {"*": {"region": "eu"}}
            async with serving(tmp_path, config) as gateway:
                assert (await gateway.post(*chat_body("openai_chat", "hi", "persona/seer"))).status == 200
                assert len(upstream.meter) == 1
                assert (await gateway.post(*chat_body("openai_chat", "hi", "persona/open"))).status == 200
                await over(gateway, upstream, 3)
                assert "Be brief." in str(upstream.meter[2].body)
                explained = (await gateway.post("/v1/explain", {"model": "persona/open"})).json()
                assert explained["shadow"] == {"model": ANTHROPIC, "percent": 100.0}
                assert (await gateway.post("/v1/explain", {"model": "persona/seer"})).json()["shadow"] is None

    asyncio.run(run())


def test_only_the_share_that_is_asked_for_is_copied(tmp_path: Path) -> None:
    class Chance:
        def __init__(self) -> None:
            self.values = [0.1, 0.3, 0.24999, 0.25]

        def random(self) -> float:
            return self.values.pop(0)

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, shadowed(upstream, 25)) as gateway:
            state = gateway.gateway.state
            state.shadows = Shadows(execute, rng=Chance())  # type: ignore[arg-type]
            for _ in range(4):
                await gateway.post(*chat_body("openai_chat", "hi", "fast"))
            await over(gateway, upstream, 6)
            assert sum(exchange.model == "claude-sonnet-4-5" for exchange in upstream.meter) == 2

    asyncio.run(run())


def test_a_copy_holds_nothing_of_what_its_original_holds(tmp_path: Path) -> None:
    async def run() -> None:
        copies: list[Call] = []
        async with FakeUpstream() as upstream:
            limits = {"keys": {"*": {"requests": 2}}}
            async with serving(tmp_path, shadowed(upstream, rate_limits=limits)) as gateway:
                state = gateway.gateway.state
                state.shadows = Shadows(execute, done=lambda copy, seconds: copies.append(copy))
                for _ in range(2):
                    assert (await gateway.post(*chat_body("openai_chat", "hi", "fast"))).status == 200
                await over(gateway, upstream, 4)
                assert (await gateway.post(*chat_body("openai_chat", "hi", "fast"))).status == 429
        assert [copy.admission for copy in copies] == [None, None]
        assert [len(copy.target_admissions) for copy in copies] == [0, 0]
        assert all(copy.shadow_of == copy.id.removesuffix("-shadow") for copy in copies)

    asyncio.run(run())
