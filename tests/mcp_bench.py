"""MCP servers in tests: the real ones where they are installed, the misbehaving one, and what is needed to use them."""

import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import evil_mcp
from execution_platform import _json
from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.written.mcp import RawMcp, resolve_mcp
from execution_platform.tool_bridge import ToolContext, ToolRegistry
from execution_platform.tool_bridge.mcp import McpServers
from execution_platform.tool_bridge.provenance import Provenance

PLACES = "MCP_TEST_SERVERS"
"""Directories of installed servers, separated by colons; those of `make mcp-servers` unless set."""
_OWN = Path(__file__).parents[1] / ".mcp-servers"


def installed(name: str) -> str:
    """The path of a real server's program; skips the test where it is not installed."""
    given = os.environ.get(PLACES) or f"{_OWN}:{_OWN / 'venv'}"
    for place in given.split(":"):
        for folder in ("node_modules/.bin", "bin"):
            path = Path(place) / folder / name
            if path.exists():
                return str(path)
    pytest.skip(f"{name} is not installed: make mcp-servers, or name its directory in {PLACES}")


def program(name: str, *args: str, **more: Any) -> dict[str, Any]:
    """A real server as the configuration has it. Node servers run in the sandbox, where that is."""
    path = installed(name)
    if shutil.which("bwrap") is None or "node_modules" not in path:
        return {"command": path, "args": list(args), "sandbox": False, **more}
    root = path[: path.index("/node_modules")]
    return {"command": path, "args": list(args), "read": [root], **more}


def revealed(reference: SecretRef) -> Secret:
    """Literal secrets only."""
    assert reference.literal is not None
    return reference.literal


@dataclass
class Evil:
    """The misbehaving server: what it lists, and which calls reached it."""

    script: Path

    def lists(self, *tools: Mapping[str, Any]) -> None:
        """From now on it has these tools."""
        beside = self.script.with_suffix(".new")
        beside.write_bytes(_json.dumps({"tools": list(tools)}))
        beside.replace(self.script)

    @property
    def calls(self) -> list[str]:
        """The tools that were called."""
        noted = self.script.with_suffix(".calls")
        return noted.read_text().split() if noted.exists() else []

    @property
    def refusals(self) -> list[str]:
        """The codes with which its own requests were refused."""
        noted = self.script.with_suffix(".refusals")
        return noted.read_text().split() if noted.exists() else []

    def config(self, **more: Any) -> dict[str, Any]:
        """The server as the configuration has it."""
        args = ["-I", str(Path(evil_mcp.__file__)), str(self.script)]
        return {"command": sys.executable, "args": args, "sandbox": False, **more}


def evil_server(folder: Path, *tools: Mapping[str, Any]) -> Evil:
    """One that lists these tools."""
    folder.mkdir(exist_ok=True)
    evil = Evil(folder / "evil.json")
    evil.lists(*tools)
    return evil


@dataclass
class Bench:
    """Servers, and a registry with their tools."""

    servers: McpServers
    registry: ToolRegistry
    workspace: Path
    told: list[tuple[str, Mapping[str, object]]] = field(default_factory=list[tuple[str, Mapping[str, object]]])

    async def call(
        self,
        tool: str,
        /,
        *,
        tenant: str = "default",
        run: str | None = None,
        seen: Provenance | None = None,
        **args: object,
    ) -> Any:
        """The result of one call."""
        context = ToolContext(
            self.workspace, "call-1", tenant=tenant, run_id=run, provenance=Provenance() if seen is None else seen
        )
        return (await self.registry.invoke(tool, args, context=context)).output

    @property
    def names(self) -> set[str]:
        """The tools there are."""
        return {tool.name for tool in self.registry.tools()}


@asynccontextmanager
async def bench(
    root: Path, servers: Mapping[str, Any], *, secret: Callable[[SecretRef], Secret] = revealed
) -> AsyncGenerator[Bench]:
    """The servers, listed once, with definitions looked at before every call."""
    registry = ToolRegistry(installed=False)
    workspace = root / "workspace"
    workspace.mkdir(exist_ok=True)
    told: list[tuple[str, Mapping[str, object]]] = []

    def tell(name: str, level: str = "info", **fields: object) -> None:
        del level
        told.append((name, fields))

    made = McpServers(
        root,
        secret,
        tell,
        pepper=lambda: "the pepper of a test",
        taken=lambda: [tool.name for tool in registry.tools()],
        offered=lambda offer: registry.offer(offer.tools, offer.absent),
        fresh_seconds=0.0,
    )
    config = resolve_mcp(RawMcp.model_validate({"servers": servers}), "127.0.0.1", [])
    made.use(config.servers)
    try:
        await made.look()
        yield Bench(made, registry, workspace, told)
    finally:
        await made.aclose()
