"""`ep config diff`: files, versions of a real gateway, and one against the other."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from execution_platform.cli.main import app
from execution_platform.cli.outcome import Exit
from execution_platform.testing import FakeUpstream
from serving import MODELS, serving, three_vendors, write_config

OPENAI, ANTHROPIC, _ = MODELS.values()
CHANGE = {"path": "personas.dev.chain", "from": [OPENAI], "to": [ANTHROPIC]}


def ep(*args: str) -> Result:
    return CliRunner().invoke(app, ["config", "diff", *args])


def changes(result: Result) -> Any:
    assert result.exit_code == 0, result.output + result.stderr
    return json.loads(result.stdout)["changes"]


def persona(target: str, upstream: FakeUpstream) -> dict[str, Any]:
    return three_vendors(upstream, personas={"dev": {"prefer": [target]}})


@pytest.fixture
def two_files(tmp_path: Path) -> tuple[str, str]:
    upstream = FakeUpstream(port=1)
    for name, target in (("one", OPENAI), ("two", ANTHROPIC)):
        (tmp_path / name).mkdir()
        write_config(tmp_path / name, persona(target, upstream))
    return str(tmp_path / "one" / "platform.yaml"), str(tmp_path / "two" / "platform.yaml")


def test_two_files_are_compared(two_files: tuple[str, str]) -> None:
    assert changes(ep(*two_files, "--json")) == [CHANGE]
    shown = ep(*two_files)
    assert "personas.dev.chain" in shown.stdout
    assert ep(two_files[0], two_files[0]).stdout == "No difference.\n"


def test_a_secret_is_in_no_comparison(two_files: tuple[str, str]) -> None:
    text = Path(two_files[0]).read_text().replace("sk-openai-canary-1", "sk-openai-canary-9")
    Path(two_files[1]).write_text(text)
    assert "canary" not in ep(*two_files, "--json").stdout


def test_a_running_gateway_is_compared_with_its_files_another_file_and_its_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with FakeUpstream() as upstream:
            keys = {"keys": [{"name": "boss", "key": "sk-ep-boss-0123456789", "admin": True}]}
            one, two = {**persona(OPENAI, upstream), **keys}, {**persona(ANTHROPIC, upstream), **keys}
            async with serving(tmp_path, one) as gateway:
                first = gateway.gateway.state.snapshot.version

                async def ask(*args: str) -> Result:
                    return await asyncio.to_thread(ep, *args, "--url", gateway.url, "--json")

                assert (await ask()).exit_code == Exit.REFUSED
                monkeypatch.setenv("EP_API_KEY", "sk-ep-boss-0123456789")
                assert changes(await ask()) == []
                write_config(tmp_path, two)
                assert changes(await ask()) == [CHANGE]
                assert changes(await ask(str(tmp_path / "platform.yaml"))) == [CHANGE]
                await gateway.post("/v1/config/reload", {}, x_api_key="sk-ep-boss-0123456789")
                assert changes(await ask()) == []
                assert changes(await ask(first)) == [CHANGE]
                assert changes(await ask("current", first)) == [{**CHANGE, "from": [ANTHROPIC], "to": [OPENAI]}]
                unknown = await ask("0000", first)
                assert unknown.exit_code == Exit.USAGE
                assert "not kept" in unknown.stderr

    asyncio.run(run())


def test_a_gateway_that_does_not_run_is_unreachable() -> None:
    assert ep("--url", "http://127.0.0.1:1").exit_code == Exit.UNREACHABLE
