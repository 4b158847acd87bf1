"""A machine without the embedded model's packages, and models that call no tools."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from execution_platform.config.problems import ConfigProblems
from execution_platform.exceptions import ConfigError
from execution_platform.providers import embedded
from execution_platform.providers.local.packages import Availability
from serving import Got, chat_body, serving

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def post(folder: Path, model: str | None, config: dict[str, Any] | None = None, **members: Any) -> Got:
    async def run() -> Got:
        async with serving(folder, config) as gateway:
            path, body = chat_body("openai_chat", "hello", model or "")
            if model is None:
                del body["model"]
            return await gateway.post(path, {**body, **members})

    return asyncio.run(run())


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Availability(chat=False, embeddings=False, missing=("xllamacpp",))
    monkeypatch.setattr(embedded, "available", lambda: missing)


@pytest.mark.usefixtures("bare_machine")
def test_the_mock_answers_where_the_packages_are_missing(tmp_path: Path) -> None:
    got = post(tmp_path, None)
    assert got.status == 200
    assert got.header("x-ep-provider") == "mock"
    assert got.header("x-ep-simulated") == "true"


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize("model", ["embedded", "embedded/smollm2-135m-instruct", "smollm2-135m-instruct"])
def test_the_missing_model_by_name_is_503_with_the_remedy(model: str, tmp_path: Path) -> None:
    got = post(tmp_path, model)
    assert got.status == 503
    assert got.json()["error"]["code"] == "provider_not_configured"
    assert "ep doctor" in got.json()["error"]["message"]


@pytest.mark.usefixtures("bare_machine")
def test_a_file_that_asks_for_the_missing_model_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, ConfigProblems), match="xllamacpp"):
        post(tmp_path, None, {"providers": {"local": {"kind": "embedded"}}})


@pytest.mark.skipif(not embedded.available().chat, reason="the embedded model is not installed")
def test_a_model_that_calls_no_tools_by_itself_is_told_of_them_in_words(tmp_path: Path) -> None:
    told = post(tmp_path, "embedded/smollm2-135m-instruct", tools=[TOOL], max_tokens=1)
    plain = post(tmp_path, "embedded/smollm2-135m-instruct", max_tokens=1)
    assert (told.status, plain.status) == (200, 200), told.body
    asked = [got.json()["usage"]["prompt_tokens"] for got in (told, plain)]
    assert asked[0] > asked[1] + 20
