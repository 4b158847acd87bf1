"""Toolsets that a reload leaves behind: calls under way end well, and then what they used is closed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from execution_platform.config.settings import Settings
from execution_platform.config.tools import HttpToolsConfig, ToolsConfig
from execution_platform.gateway.tooling import Tooling
from execution_platform.tool_bridge import ToolContext
from loops import in_loop, until
from tooling import revealed
from websites import reply, site


def quiet(name: str, level: str = "info", **fields: object) -> None:
    del name, level, fields


@in_loop
async def test_a_toolset_is_closed_when_its_last_call_ends(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    def answer(path: str, body: bytes) -> AsyncIterator[bytes]:
        del body

        async def pieces() -> AsyncIterator[bytes]:
            if path == "/slow":
                await go_on.wait()
            yield reply(b"hello from " + path.encode(), "text/plain")

        return pieces()

    async with site(answer) as there:
        place = f"127.0.0.1:{there.port}"
        tooling = Tooling(Settings({"EP_WORKSPACE_ROOT": str(tmp_path)}), revealed, quiet)
        tooling.use(ToolsConfig(http=HttpToolsConfig(internal=(place,))))
        context = ToolContext(tmp_path, "call-1")
        slow = asyncio.ensure_future(
            tooling.registry.invoke("http_fetch", {"url": f"{there.url}/slow"}, context=context)
        )
        await until(lambda: there.requests)
        tooling.use(ToolsConfig(http=HttpToolsConfig(internal=(place,)), seconds=29))
        tooling.use(ToolsConfig(http=HttpToolsConfig(internal=(place,)), seconds=28))
        await until(lambda: tooling.left == 1)
        assert not slow.done()
        fast = await tooling.registry.invoke("http_fetch", {"url": f"{there.url}/fast"}, context=context)
        assert "/fast" in str(fast.output)
        go_on.set()
        assert "/slow" in str((await slow).output)
        await until(lambda: tooling.left == 0)
        await tooling.aclose()
