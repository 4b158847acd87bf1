"""One provider by its name."""

import pytest

from execution_platform.config.settings import Settings
from execution_platform.exceptions import NotConfigured, RouterError
from execution_platform.router import get_adapter
from execution_platform.spi import ChatRequest, LLMClient, Message
from execution_platform.testing import FakeUpstream, Script, Text
from loops import in_loop

ASK = ChatRequest([Message("user", "Design")])


@in_loop
async def test_a_provider_answers_by_its_name() -> None:
    async with FakeUpstream() as upstream:
        upstream.script(Script(Text("a design")))
        settings = Settings({"ANTHROPIC_API_KEY": "test", "ANTHROPIC_BASE_URL": upstream.url})
        async with get_adapter("claude", settings=settings) as client:
            adapter: LLMClient = client
            assert (await adapter.chat(ASK)).text == "a design"
        assert len(upstream.meter) == 1


@in_loop
async def test_auto_is_the_default_provider() -> None:
    async with get_adapter(settings=Settings({"EP_PROVIDER": "mock"})) as client:
        assert (await client.chat(ASK)).origin.provider == "mock"


def test_a_name_that_leads_nowhere_is_refused_with_the_nearest() -> None:
    with pytest.raises(RouterError, match="anthropic"):
        get_adapter("antropic", settings=Settings({}))


@in_loop
async def test_a_provider_without_its_key_says_so_when_it_is_called() -> None:
    async with get_adapter("openai", settings=Settings({})) as client:
        with pytest.raises(NotConfigured, match="OPENAI_API_KEY"):
            await client.chat(ASK)
