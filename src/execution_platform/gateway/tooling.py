"""The tools of one gateway process: those of the configuration in force, for the callers who may use them."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from execution_platform.config.exec import ExecConfig
from execution_platform.config.secret import Secret, SecretRef
from execution_platform.config.settings import Settings
from execution_platform.config.tools import ToolsConfig
from execution_platform.config.values import PersonaConfig
from execution_platform.exceptions import PermissionDenied, ToolDenied, ToolNotFound
from execution_platform.identity.principal import Principal
from execution_platform.identity.scope import holds
from execution_platform.observability.logging import Tell
from execution_platform.tool_bridge import ToolContext, ToolProtocol, ToolRegistry, ToolResult
from execution_platform.tool_bridge.aliases import canonical, to_platform, tool_names
from execution_platform.tool_bridge.busy import Busy
from execution_platform.tool_bridge.permissions import level_of
from execution_platform.tool_bridge.plugins import Toolset, builtin_tools
from execution_platform.tool_bridge.sandbox import Sandbox
from execution_platform.tool_bridge.sandbox.opening import open_sandbox
from execution_platform.tool_bridge.workspaces import workspace


class User(NamedTuple):
    """On whose behalf a tool is called."""

    principal: Principal
    persona: PersonaConfig | None = None

    def may_use(self, tool: str) -> bool:
        """Whether the key and the persona leave the tool open."""
        named = None if self.persona is None else tool_names(self.persona.tools)
        return _opens(self.principal, tool) and (named is None or tool in named)


def _opens(principal: Principal, tool: str) -> bool:
    """Whether a key may use a tool; its list may name it by an alias."""
    named = principal.scope.tools
    return holds(named, tool) or tool in {canonical(name) for name in named or ()}


class Tooling:
    """Keeps the registry at the configuration in force, and runs single calls for callers."""

    def __init__(
        self,
        settings: Settings,
        secret: Callable[[SecretRef], Secret],
        tell: Tell,
        *,
        clean: Callable[[str], str] | None = None,
    ) -> None:
        """`clean` takes secrets out of what tools give back."""
        self.registry = ToolRegistry(refused=self._note_refusal, clean=clean)
        self._root = settings.workspace_root
        self._secret = secret
        self._tell = tell
        self._config: ToolsConfig | None = None
        self._toolset: Toolset | None = None
        self._left: list[tuple[Toolset, Busy]] = []
        """Toolsets of earlier configurations with the calls they still have."""
        self._leaving: set[asyncio.Task[None]] = set()
        self._sandbox: tuple[ExecConfig, Sandbox] = (ExecConfig(), open_sandbox(ExecConfig()))
        self._at_terminal = False

    def serve_terminal(self) -> None:
        """Serve whoever sits at this machine: commands are there too where the configuration says nothing of them.

        Takes as long as `sandbox_for` unless `try_sandbox` went before.
        """
        config = self._config
        if config is not None and not self._at_terminal:
            self._at_terminal, self._config = True, None
            self.use(config)

    def try_sandbox(self) -> None:
        """Open the sandbox that `serve_terminal` needs; not for the event loop."""
        if self._config is not None:
            exec_ = self._config.exec
            self.sandbox_for(replace(exec_, enabled=True) if exec_.enabled is None else exec_)

    def use(self, config: ToolsConfig) -> None:
        """Serve new calls by `config`. Raises `ConfigError`."""
        if config == self._config:
            return
        used = replace(config, exec=self._decided(config.exec))
        own = builtin_tools(used, self.sandbox_for(used.exec), self._secret)
        calls = self.registry.configure(own.tools, seconds=config.seconds, absent=own.absent)
        before, self._toolset, self._config = self._toolset, own, config
        if before is not None:
            self._leave(before, calls)

    @property
    def left(self) -> int:
        """How many toolsets of earlier configurations are still open."""
        return len(self._left)

    def _leave(self, toolset: Toolset, calls: Busy) -> None:
        """Close a toolset when its last call ends."""
        leaving = (toolset, calls)
        self._left.append(leaving)

        async def close() -> None:
            await calls.over()
            await toolset.aclose()
            self._left.remove(leaving)

        task = asyncio.get_running_loop().create_task(close(), name="toolset leaves")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def aclose(self) -> None:
        """Close the connections of every toolset that is open."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        for toolset, _ in self._left:
            await toolset.aclose()
        self._left.clear()
        last, self._toolset = self._toolset, None
        if last is not None:
            await last.aclose()

    def sandbox_for(self, config: ExecConfig) -> Sandbox:
        """The sandbox commands run in. Opening another one takes about a second: not for the event loop while it serves."""
        config = self._decided(config)
        kept_for, sandbox = self._sandbox
        if kept_for != config:
            sandbox = open_sandbox(config)
            self._sandbox = (config, sandbox)
            if config.enabled and sandbox.unavailable is not None:
                self._tell("sandbox_unavailable", "error", reason=sandbox.unavailable)
        return sandbox

    def _decided(self, config: ExecConfig) -> ExecConfig:
        return replace(config, enabled=True) if config.enabled is None and self._at_terminal else config

    def find(self, name: str) -> ToolProtocol:
        """A tool by its name, or by another name of it. Raises `ToolNotFound`."""
        try:
            return self.registry.tool(name)
        except ToolNotFound:
            if canonical(name) == name:
                raise
            return self.registry.tool(canonical(name))

    async def invoke(self, user: User, name: str, args: Mapping[str, object], call_id: str) -> ToolResult:
        """Run one tool in the workspace of the caller's tenant, at the level of the persona.

        Raises `PermissionDenied` for a tool the key or the persona leaves out, and what `ToolRegistry.invoke` raises.
        """
        tool = self.find(name)
        if tool.name != name:
            args = to_platform(name, args).args
        if not user.may_use(tool.name):
            owner = "key" if not _opens(user.principal, tool.name) else "persona"
            raise PermissionDenied(f"this {owner} may not use tool {tool.name}", param="name")
        persona = user.persona
        context = ToolContext(
            workspace=workspace(self._root, user.principal.tenant),
            call_id=call_id,
            level=level_of(persona, tool.name),
            tenant=user.principal.tenant,
            persona=None if persona is None else persona.name,
        )
        return await self.registry.invoke(tool.name, args, context=context)

    def _note_refusal(self, tool: str, error: ToolDenied, context: ToolContext | None) -> None:
        """A line for the operator. The message may hold what a model wrote, so only its parts of ours are kept."""
        whose: dict[str, object] = {}
        if context is not None:
            whose = {
                "tenant": context.tenant,
                "persona": context.persona,
                "run_id": context.run_id,
                "call_id": context.call_id,
            }
        self._tell("tool_refused", "warning", tool=tool, code=error.code, reason=error.message[:300], **whose)
