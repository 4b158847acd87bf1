"""Whether commands of models can run here, and what somebody inside would reach."""

from collections.abc import Iterator
from dataclasses import replace

from execution_platform.cli.finding import Finding
from execution_platform.config.exec import ExecConfig
from execution_platform.tool_bridge.sandbox.opening import open_sandbox

_HELD = "in bubblewrap; every attempt to get out failed"


def sandbox(config: ExecConfig) -> Iterator[Finding]:
    """Unless commands are switched off, the escape that is tried before any is run."""
    if config.enabled is False:
        yield Finding("sandbox", "ok", "commands of models are switched off (tools.exec.enabled: false)")
        return
    reason = open_sandbox(replace(config, enabled=True)).unavailable
    if reason is not None:
        remedy = "See docs/how-to/run-commands-safely.md; until then the tools that run programs are not offered."
        yield Finding("sandbox", "warn" if config.enabled is None else "fail", reason, remedy)
    elif config.enabled:
        yield Finding("sandbox", "ok", f"commands of models run {_HELD}")
    else:
        where = "a gateway offers none (tools.exec.enabled is not set), `ep run` asks before each"
        yield Finding("sandbox", "ok", f"commands of models can run {_HELD}; {where}")
