"""Runs in the caller's own program: any `LLMClient` is asked, without a gateway, books or a journal."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from execution_platform.config.values import PermissionLevel, PermissionMode, PersonaConfig
from execution_platform.exceptions import RouterError
from execution_platform.runtime.agent.agent import Agent, Ears, End, asked_of
from execution_platform.runtime.agent.limits import Limits
from execution_platform.runtime.agent.reach import permits_of
from execution_platform.runtime.agent.setting import Setting
from execution_platform.runtime.agent.told import Emit, Note, Told
from execution_platform.spi.clients import LLMClient
from execution_platform.spi.request import ChatRequest
from execution_platform.tool_bridge.approval import Approval, Approver, Hook, Permit
from execution_platform.tool_bridge.context import ToolContext
from execution_platform.tool_bridge.protocol import ToolResult
from execution_platform.tool_bridge.registry import ToolRegistry, process_registry


class ClientModel:
    """An `LLMClient` as the model of a run."""

    def __init__(self, client: LLMClient) -> None:
        self._client = client

    async def turn(self, request: ChatRequest, number: str) -> AsyncGenerator[Sequence[Told]]:
        """One answer; see `Model`."""
        yield [Note("turn_started", {"turn": number})]
        async for event in self._client.chat(request).events():
            yield [event]


async def quiet(batch: Sequence[Told]) -> None:
    """Nobody listens."""
    del batch


@dataclass(slots=True, kw_only=True)
class LocalRun:
    """How `run_agent` works."""

    workspace: Path
    tools: ToolRegistry = field(default_factory=process_registry)
    mode: PermissionMode = "default"
    levels: Mapping[str, PermissionLevel] = field(default_factory=dict[str, PermissionLevel])
    limits: Limits = field(default_factory=Limits)
    hooks: Sequence[Hook] = ()
    approver: Approver | None = None
    emit: Emit = quiet


async def run_agent(client: LLMClient, task: str | ChatRequest, run: LocalRun, *, tools: Sequence[str]) -> End:
    """Let the model behind `client` work on `task` with the registered tools named in `tools`.

    Raises what the model failed with; tools that fail tell the model so.
    """
    persona = PersonaConfig(name="", chain=(), tools=tuple(tools), permissions=run.levels)
    permits = permits_of(run.tools, persona, None)

    async def invoke(name: str, arguments: Mapping[str, object], context: ToolContext) -> ToolResult:
        return await run.tools.invoke(name, arguments, context=context)

    setting = Setting(
        run_id=f"run_{uuid4().hex}",
        model=ClientModel(client),
        invoke=invoke,
        approval=Approval(run.mode, run.hooks, run.approver),
        workspace=run.workspace,
        emit=run.emit,
        permits_for=_nobody_else,
        limits=run.limits,
    )
    request = asked_of(None, task, permits) if isinstance(task, str) else task
    if request.tools is None:
        request = replace(request, tools=asked_of(None, "", permits).tools)
    return await Agent(setting, permits, Ears()).run_within(request)


def _nobody_else(persona: str) -> Mapping[str, Permit]:
    raise RouterError(f"persona {persona!r}: a run in this process has one agent", code="not_found")
