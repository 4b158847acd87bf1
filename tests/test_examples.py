"""The sample programs run as a user runs them: as programs, without keys or against two vendors' wires."""

import asyncio
import os
import sys
from pathlib import Path

from execution_platform.testing import FakeUpstream, Script, Status, Text
from serving import serving

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SECONDS = 60.0


async def program(name: str, *arguments: str, folder: Path, said: str = "", **environ: str) -> tuple[int, str, str]:
    """Run an example; its exit code, output and error output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / name), *arguments, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environ},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(said.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(), err.decode()


def vendors(upstream: FakeUpstream) -> dict[str, str]:
    """The environment of somebody with keys of two vendors."""
    return {
        "ANTHROPIC_API_KEY": "sk-ant-example",
        "ANTHROPIC_BASE_URL": upstream.url,
        "OPENAI_API_KEY": "sk-example",
        "OPENAI_BASE_URL": f"{upstream.url}/v1",
    }


def test_generate_answers_without_a_key_when_providers_are_simulated(tmp_path: Path) -> None:
    code, out, err = asyncio.run(program("generate.py", "Draw a bridge", folder=tmp_path, EP_PROVIDER="mock"))
    assert (code, out) == (0, "[simulated anthropic] Draw a bridge\n")
    assert "tokens]" in err


def test_generate_streams_a_vendors_answer(tmp_path: Path) -> None:
    async def story() -> tuple[int, str]:
        async with FakeUpstream() as upstream:
            upstream.script(Script(Text("a bridge of stone")))
            code, out, _ = await program("generate.py", "Draw a bridge", folder=tmp_path, **vendors(upstream))
            assert [exchange.dialect for exchange in upstream.meter.exchanges] == ["anthropic"]
            return code, out

    assert asyncio.run(story()) == (0, "a bridge of stone\n")


def test_generate_says_what_is_missing_when_nobody_can_answer(tmp_path: Path) -> None:
    code, out, err = asyncio.run(program("generate.py", folder=tmp_path))
    assert (code, out) == (1, "")
    assert "Set a provider's key" in err


def test_generate_says_the_nearest_persona(tmp_path: Path) -> None:
    code, _, err = asyncio.run(program("generate.py", "--persona", "archtect", folder=tmp_path, EP_PROVIDER="mock"))
    assert code == 1
    assert "architect" in err


def test_design_implement_review_goes_through_two_providers(tmp_path: Path) -> None:
    async def story() -> str:
        async with FakeUpstream() as upstream:
            upstream.script(*(Script(Text(text)) for text in ("THE DESIGN", "THE CODE", "THE REVIEW")))
            code, out, err = await program(
                "design_implement_review.py", "A bridge", folder=tmp_path, **vendors(upstream)
            )
            assert code == 0, err
            dialects = [exchange.dialect for exchange in upstream.meter.exchanges]
            bodies = [exchange.raw_body.decode() for exchange in upstream.meter.exchanges]
            assert dialects == ["anthropic", "openai_chat", "anthropic"]
            assert "A bridge" in bodies[0]
            assert "THE DESIGN" in bodies[1]
            assert "THE CODE" in bodies[2]
            return out

    out = asyncio.run(story())
    assert "== architect (anthropic/claude-sonnet-4-5)\nTHE DESIGN" in out
    assert "== code_writer_openai (openai/gpt-4o)\nTHE CODE" in out
    assert "THE REVIEW" in out


def test_design_implement_review_survives_the_failure_of_one_provider(tmp_path: Path) -> None:
    async def story() -> str:
        async with FakeUpstream() as upstream:
            upstream.script(Status(529), *(Script(Text(text)) for text in ("design", "code", "review")))
            _, out, _ = await program("design_implement_review.py", folder=tmp_path, **vendors(upstream))
            return out

    assert "== architect (openai/gpt-4o)" in asyncio.run(story())


def test_a_conversation_carries_what_was_said_before(tmp_path: Path) -> None:
    async def story() -> tuple[int, str]:
        async with FakeUpstream() as upstream, serving(tmp_path, environ=vendors(upstream)) as served:
            upstream.script(Script(Text("Two rivers.")), Script(Text("The longer one.")))
            code, out, err = await program(
                "conversation.py", "--url", served.url, "--persona", "architect",
                folder=tmp_path, said="How many rivers?\nWhich one?\n\nnever asked\n",
            )  # fmt: skip
            assert err == ""
            assert len(upstream.meter) == 2
            second = upstream.meter[1].raw_body.decode()
            assert all(text in second for text in ("How many rivers?", "Two rivers.", "Which one?"))
            return code, out

    assert asyncio.run(story()) == (0, "Two rivers.\nThe longer one.\n")


def test_a_conversation_says_when_there_is_no_gateway(tmp_path: Path) -> None:
    code, _, err = asyncio.run(
        program("conversation.py", "--url", "http://127.0.0.1:9", folder=tmp_path, said="Hello\n")
    )
    assert code == 1
    assert "cannot reach http://127.0.0.1:9" in err


def test_the_example_configuration_answers_from_the_vendor_whose_key_is_there(tmp_path: Path) -> None:
    async def story() -> str:
        async with FakeUpstream() as upstream:
            upstream.script(Script(Text("from the vendor")))
            environ = {**vendors(upstream), "EP_CONFIG": str(EXAMPLES / "platform.yaml")}
            _, out, _ = await program("generate.py", folder=tmp_path, **environ)
            return out

    assert asyncio.run(story()) == "from the vendor\n"
