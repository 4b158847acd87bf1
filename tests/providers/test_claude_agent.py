"""The Claude agent runtime where its package is not installed; with it: tests/clients."""

import asyncio
from pathlib import Path

import pytest

from execution_platform.providers import claude_agent
from execution_platform.providers.agent_process import environment
from serving import serving

PROVIDER = {"kind": "claude_agent", "api_key": "sk-ant-agent-canary-1", "models": ["claude-sonnet-4-5"]}


def test_without_its_package_the_provider_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claude_agent, "program", lambda: None)

    async def ask() -> tuple[int, str]:
        async with serving(tmp_path, {"providers": {"agent": PROVIDER}}) as served:
            body = {"model": "agent/claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]}
            got = await served.post("/v1/chat/completions", body)
            return got.status, got.json()["error"]["message"]

    status, message = asyncio.run(ask())
    assert status == 503
    assert "pip install 'execution-platform[claude-agent]'" in message


def test_the_runtime_gets_named_variables_only(tmp_path: Path) -> None:
    outer = {"OPENAI_API_KEY": "secret", "EP_DATABASE_URL": "secret", "HOME": "/root", "LANG": "C.UTF-8"}
    environ = environment(tmp_path, "key", "http://127.0.0.1:1", None, outer)
    assert "secret" not in environ.values()
    assert (environ["HOME"], environ["LANG"]) == (str(tmp_path), "C.UTF-8")
