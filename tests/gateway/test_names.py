"""A name that is nearly a model's name is nobody's."""

import asyncio
from pathlib import Path

import pytest

from execution_platform.testing import FakeUpstream
from gateway.books import stored
from serving import MODELS, chat_body, serving, three_vendors

NEARLY = [
    "gpt-4o ", " gpt-4o", "GPT-4O", "Gpt-4o", "gpt-4\u043e", "gpt-4*", "*", "gpt-4o*", "default", "gpt_4o", "\uff47pt-4o",
    "gpt-4o\u200b", "gpt-4o\u00ad", "models/gpt-4o", "openai.gpt-4o", "OPENAI/gpt-4o", "0penai/gpt-4o", "\u043epenai/gpt-4o",
    "/gpt-4o", "//openai/gpt-4o", "gpt-4o/", "persona/", "openai /gpt-4o", " openai/gpt-4o", "openai\\gpt-4o", "gpt-4o\n",
    "gpt-4o,claude-sonnet-4-5", "gpt-4o@latest", "null", "None", "any", "all",
]  # fmt: skip


@pytest.mark.parametrize("client", ["openai_chat", "anthropic", "native"])
def test_a_name_that_is_nearly_right_is_404_and_never_another_model(client: str, tmp_path: Path) -> None:
    """P10: no pattern, no case, no homoglyph, no default."""

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream)) as gateway:
            assert len(NEARLY) >= 20
            for name in NEARLY:
                got = await gateway.post(*chat_body(client, "hi", name))
                assert got.status == 404, (name, got.body)
            assert len(upstream.meter) == 0

    asyncio.run(run())


def test_the_books_name_the_model_that_the_provider_was_asked_for(tmp_path: Path) -> None:
    """P10: by its own name, a bare one, an alias, a persona or a logical model."""
    config = {
        "aliases": {"quick": "openai/gpt-4o"},
        "personas": {"dev": {"prefer": ["gemini/gemini-2.5-pro"]}},
        "models": {"both": {"targets": [{"model": "anthropic/claude-sonnet-4-5"}]}},
    }

    async def run() -> None:
        async with FakeUpstream() as upstream, serving(tmp_path, three_vendors(upstream, **config)) as gateway:
            for name in [*MODELS.values(), "gpt-4o", "quick", "persona/dev", "both"]:
                got = await gateway.post(*chat_body("openai_chat", "hi", name))
                assert got.status == 200, (name, got.body)
            rows = await stored(gateway)
            assert [row["model"] for row in rows] == [exchange.model for exchange in upstream.meter.exchanges]

    asyncio.run(run())
