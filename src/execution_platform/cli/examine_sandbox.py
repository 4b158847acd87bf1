"""Whether commands of models can run here, and what somebody inside would reach."""

from collections.abc import Iterator

from execution_platform.cli.finding import Finding
from execution_platform.config.exec import ExecConfig
from execution_platform.tool_bridge.sandbox.opening import open_sandbox


def sandbox(config: ExecConfig) -> Iterator[Finding]:
    """Where commands are switched on, the escape that a gateway tries at its start."""
    if not config.enabled:
        yield Finding("sandbox", "ok", "commands of models are switched off (tools.exec.enabled)")
        return
    reason = open_sandbox(config).unavailable
    if reason is None:
        yield Finding("sandbox", "ok", "commands of models run in bubblewrap; every attempt to get out failed")
    else:
        remedy = "See docs/how-to/run-commands-safely.md; until then the tools that run programs are not offered."
        yield Finding("sandbox", "fail", reason, remedy)
