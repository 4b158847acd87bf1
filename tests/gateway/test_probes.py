"""Active probes: what they find is shown and measured, and is no traffic."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from execution_platform.config.settings import Settings
from execution_platform.gateway.probes import Finding, Probes
from execution_platform.gateway.snapshots import SnapshotBuilder
from execution_platform.observability.metrics import Metrics
from execution_platform.testing import FakeUpstream, NoAnswer, Script, Status
from gateway.watching import metrics, series
from serving import serving, three_vendors, write_config

MODELS = ("gpt-4o", "claude-sonnet-4-5", "gemini-2.5-pro")


def probed(upstream: FakeUpstream, **probe: Any) -> dict[str, Any]:
    config = three_vendors(upstream)
    for provider in config["providers"].values():
        provider["probe"] = {"interval_seconds": 1, **probe}
    return config


class Clockwork:
    """Runs the probes of a configuration, one look for each `tick`."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        write_config(folder, config)
        self.folder = folder
        self.builder = SnapshotBuilder(Settings({"EP_CONFIG": str(folder / "platform.yaml")}))
        self.metrics = Metrics()
        self.told: list[tuple[str, dict[str, object]]] = []
        self.waits: list[float] = []
        self._gate = asyncio.Condition()
        self._ticks = 0
        self.probes = Probes(self.metrics, self._tell, sleep=self._sleep)

    def _tell(self, name: str, level: str = "info", **fields: object) -> None:
        self.told.append((name, fields))

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        async with self._gate:
            wanted = self._ticks + 1
            await self._gate.wait_for(lambda: self._ticks >= wanted)

    def follow(self, config: dict[str, Any] | None = None) -> None:
        if config is not None:
            write_config(self.folder, config)
        self.probes.follow(self.builder.build())

    async def tick(self, count: int) -> None:
        """One look of each of `count` providers, to its end."""
        await self._until(lambda: len(self.waits) >= count)
        before = len(self.waits)
        async with self._gate:
            self._ticks += 1
            self._gate.notify_all()
        await self._until(lambda: len(self.waits) >= before + count)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0)

    def series(self) -> dict[str, float]:
        return series(self.metrics.render())

    async def aclose(self) -> None:
        await self.probes.aclose()
        await self.builder.fleet.aclose()


def test_each_vendor_is_probed_by_its_listing_of_models(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(models=MODELS) as upstream:
            clockwork = Clockwork(tmp_path, probed(upstream))
            clockwork.follow()
            await clockwork.tick(3)
            for name, model in zip(("openai", "anthropic", "gemini"), MODELS, strict=True):
                found = clockwork.probes.finding(name)
                assert isinstance(found, Finding)
                assert (found.up, found.error, found.models) == (True, None, {model: True})
                assert clockwork.series()[f'ep_provider_up{{provider="{name}"}}'] == 1
                assert clockwork.series()[f'ep_provider_model_up{{model="{model}",provider="{name}"}}'] == 1
            assert sorted(exchange.path for exchange in upstream.meter) == [
                "/v1/models",
                "/v1/models",
                "/v1beta/models",
            ]
            assert {exchange.method for exchange in upstream.meter} == {"GET"}
            # The first look is soon, the later ones are spread.
            assert all(wait <= 1 for wait in clockwork.waits[:3])
            assert all(0.8 <= wait <= 1.2 for wait in clockwork.waits[3:])
            await clockwork.aclose()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("script", "error"),
    [(Script(Status(503)), "overloaded"), (Script(Status(401)), "auth"), (Script(faults=[NoAnswer()]), "timeout")],
)
def test_a_provider_that_does_not_answer_is_down_and_up_again_later(tmp_path: Path, script: Script, error: str) -> None:
    async def run() -> None:
        async with FakeUpstream(models=MODELS) as upstream:
            config = probed(upstream, timeout_seconds=0.2)
            config["providers"] = {"openai": config["providers"]["openai"]}
            clockwork = Clockwork(tmp_path, config)
            clockwork.follow()
            await clockwork.tick(1)
            upstream.script(script, operation="any")
            await clockwork.tick(1)
            found = clockwork.probes.finding("openai")
            assert found is not None
            assert (found.up, found.error) == (False, error)
            assert clockwork.series()['ep_provider_up{provider="openai"}'] == 0
            assert clockwork.series()['ep_provider_model_up{model="gpt-4o",provider="openai"}'] == 0
            upstream.clear()
            await clockwork.tick(1)
            assert [name for name, _ in clockwork.told] == ["provider_down", "provider_up"]
            assert clockwork.series()[f'ep_probes_total{{outcome="{error}",provider="openai"}}'] == 1
            await clockwork.aclose()

    asyncio.run(run())


def test_a_model_the_provider_no_longer_lists_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(models=MODELS) as upstream:
            config = probed(upstream)
            config["providers"] = {"openai": {**config["providers"]["openai"], "models": ["gpt-4o", "gpt-3"]}}
            clockwork = Clockwork(tmp_path, config)
            clockwork.follow()
            await clockwork.tick(1)
            found = clockwork.probes.finding("openai")
            assert found is not None
            assert found.models == {"gpt-4o": True, "gpt-3": False}
            assert found.as_json()["models"] == {"gpt-4o": "listed", "gpt-3": "not listed"}
            assert clockwork.series()['ep_provider_model_up{model="gpt-3",provider="openai"}'] == 0
            upstream.models = ("other",)
            await clockwork.tick(1)
            assert clockwork.series()['ep_provider_model_up{model="gpt-3",provider="openai"}'] == 1
            await clockwork.aclose()

    asyncio.run(run())


def test_probes_follow_the_configuration(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(models=MODELS) as upstream:
            config = probed(upstream)
            clockwork = Clockwork(tmp_path, config)
            clockwork.follow()
            await clockwork.tick(3)
            kept = clockwork.probes._looked["gemini"].task
            del config["providers"]["openai"]["probe"]
            del config["providers"]["anthropic"]
            clockwork.follow(config)
            assert clockwork.probes._looked.keys() == {"gemini"}
            assert clockwork.probes._looked["gemini"].task is kept
            assert clockwork.probes.finding("openai") is None
            shown = clockwork.series()
            assert not [name for name in shown if "_up{" in name and "gemini" not in name]
            await clockwork.aclose()

    asyncio.run(run())


def test_findings_are_shown_and_are_no_traffic(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(models=MODELS) as upstream:
            config = probed(upstream)
            config["providers"]["gemini"].pop("probe")
            async with serving(tmp_path, config) as gateway:
                await upstream.wait_until(lambda meter: len(meter) >= 2)
                state = gateway.gateway.state
                async with asyncio.timeout(5):
                    while not (state.probes.finding("openai") and state.probes.finding("anthropic")):
                        await asyncio.sleep(0.01)
                shown = (await gateway.get("/v1/health/providers")).json()["providers"]
                assert shown["openai"]["probe"]["up"] is True
                assert shown["openai"]["probe"]["models"] == {"gpt-4o": "listed"}
                assert shown["gemini"]["probe"] is None
                found = await metrics(gateway)
                assert found['ep_provider_up{provider="openai"}'] == 1
                assert not [name for name in found if name.startswith("ep_requests_total")]

    asyncio.run(run())


def test_a_path_of_its_own_only_has_to_answer(tmp_path: Path) -> None:
    async def run() -> None:
        async with FakeUpstream(models=MODELS) as upstream:
            config = probed(upstream, path="/models/gpt-4o")
            config["providers"] = {"openai": config["providers"]["openai"]}
            clockwork = Clockwork(tmp_path, config)
            clockwork.follow()
            await clockwork.tick(1)
            found = clockwork.probes.finding("openai")
            assert found is not None
            assert upstream.meter[0].path == "/v1/models/gpt-4o"
            assert found.models == {}
            await clockwork.aclose()

    asyncio.run(run())
