"""The sandbox of a configuration: made, tried, and put to use only if it held."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from execution_platform.config.exec import ExecConfig
from execution_platform.exceptions import SandboxUnavailable
from execution_platform.tool_bridge.sandbox.bubblewrap import Bubblewrap
from execution_platform.tool_bridge.sandbox.interfaces import Limits, Sandbox
from execution_platform.tool_bridge.sandbox.null import NoSandbox
from execution_platform.tool_bridge.sandbox.self_check import probed

OFF = "commands are switched off at this gateway; its operator can set tools.exec.enabled: true"


def open_sandbox(config: ExecConfig, folder: Path | None = None) -> Sandbox:
    """The sandbox, after an attempt to get out of it; one that runs nothing where that succeeds, or nothing can be run.

    The attempt takes about a second, in an event loop of its own; `folder` is where its files are put meanwhile.
    """
    if not config.enabled:
        return NoSandbox(OFF)
    try:
        tried = _bubblewrap(config)
        with ThreadPoolExecutor(1, "sandbox-probe") as thread:
            found = thread.submit(lambda: asyncio.run(probed(tried, folder=folder))).result()
        # What waits for a free place belongs to one event loop, so the one to be used is another.
        return _bubblewrap(config) if found is tried else found
    except SandboxUnavailable as error:
        return NoSandbox(error.message)


def _bubblewrap(config: ExecConfig) -> Bubblewrap:
    return Bubblewrap(limits_of(config), concurrency=config.concurrency, visible=config.visible, private=config.private)


def limits_of(config: ExecConfig) -> Limits:
    """The limits of every command."""
    return Limits(
        seconds=config.seconds,
        cpu_seconds=config.cpu_seconds,
        memory=config.memory,
        processes=config.processes,
        file_size=config.file_size,
        scratch=config.scratch,
        workspace=config.workspace,
        output=config.output,
    )
