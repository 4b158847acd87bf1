"""`claude_code_sdk` on the Execution Platform: the same names, served by the `claude` command beside it.

It needs nothing but the standard library, since it runs in the caller's own Python. Text messages have `.text`, `.content`,
`.message_type` and `.type`; no other message has `.text`. A failure is a message of type `error`, never text.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claude_code_sdk._own import Calls, SdkMcpServer, SdkMcpTool, create_sdk_mcp_server, first_line, own_tools, tool

__all__ = [
    "ClaudeCodeOptions",
    "ClaudeMessage",
    "SdkMcpServer",
    "SdkMcpTool",
    "create_sdk_mcp_server",
    "query",
    "query_simple",
    "sync_query",
    "tool",
]
_LINE = 64 * 1024 * 1024
_WRITES = frozenset({"Write", "Edit"})


@dataclass
class ClaudeCodeOptions:
    """What the agent may do, and where. `timeout` is in seconds and is kept."""

    model: str | None = None
    system_prompt: str | None = None
    max_tokens: int = 4096
    temperature: float = 0.7
    cwd: str | os.PathLike[str] | None = None
    permission_mode: str = "acceptEdits"
    continue_conversation: bool = False
    allowed_tools: list[str] | str | None = None
    disallowed_tools: list[str] | str | None = None
    max_turns: int | None = None
    append_system_prompt: str | None = None
    mcp_servers: dict[str, Any] = field(default_factory=dict[str, Any])
    """Servers of `create_sdk_mcp_server`, whose tools run in this program."""
    timeout: float = 600


@dataclass
class ClaudeMessage:
    """Something the agent said or did: `text`, `tool_use`, `tool_result`, `file_created`, `done` or `error`."""

    message_type: str
    content: Any = ""
    role: str = "assistant"
    file_path: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def type(self) -> str:
        """The same as `message_type`."""
        return self.message_type

    def __getattr__(self, name: str) -> Any:
        if name == "text" and self.__dict__.get("message_type") == "text":
            return self.content
        if name in {"name", "input"} and self.__dict__.get("message_type") == "tool_use":
            return self.metadata[name]
        raise AttributeError(f"a message of type {self.__dict__.get('message_type')!r} has no {name}")


async def query(
    prompt: str, options: ClaudeCodeOptions | None = None, *, transport: Any = None
) -> AsyncIterator[ClaudeMessage]:
    """Let an agent work on `prompt`, and tell what it says and does. The last message is `done` or `error`."""
    given = options or getattr(transport, "options", None) or ClaudeCodeOptions()
    cwd = Path(given.cwd or getattr(transport, "cwd", None) or Path.cwd())
    before = _files(cwd)
    own = own_tools(given.mcp_servers)
    process = await asyncio.create_subprocess_exec(
        *_command(given),
        *(["--caller-tools"] if own else []),
        "--",
        prompt,
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE if own else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    complaints = asyncio.ensure_future(process.stderr.read())  # type: ignore[union-attr]
    result: dict[str, Any] | None = None
    calls = Calls(own, process.stdin)
    if process.stdin is not None:
        process.stdin.write(first_line(own))
    try:
        async with asyncio.timeout(given.timeout):
            async for line in process.stdout:  # type: ignore[union-attr]
                value = json.loads(line)
                if calls.hear(value):
                    continue
                if value.get("type") == "result":
                    result = value
                for message in _messages(value):
                    yield message
            status = await process.wait()
    except TimeoutError:
        yield ClaudeMessage("error", f"Timeout after {given.timeout:g} seconds", "system")
        return
    finally:
        await calls.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
        said = (await complaints).decode(errors="replace").strip()
    created = sorted(_files(cwd).items() - before.items())
    for path, _ in created:
        yield ClaudeMessage("file_created", path, "system", path)
    if status != 0 or result is None or result.get("is_error"):
        yield ClaudeMessage(
            "error", said or (result or {}).get("result") or f"claude ended with status {status}", "system"
        )
        return
    told: dict[str, Any] = {
        "exit_code": status,
        "files_created": [path for path, _ in created],
        "working_directory": str(cwd),
    }
    usage: dict[str, Any] = result.get("usage") or {}
    told["tokens_used"] = int(usage.get("input_tokens") or 0) + int(usage.get("output_tokens") or 0)
    told["total_cost_usd"] = result.get("total_cost_usd")
    yield ClaudeMessage("done", "", "system", metadata=told)


def _command(options: ClaudeCodeOptions) -> list[str]:
    found = shutil.which("claude")
    if found is None:
        raise FileNotFoundError('the command `claude` is not on PATH; set it with: eval "$(ep hive env)"')
    words = [
        found,
        "--print",
        "--verbose",
        "--output-format",
        "stream-json",
        "--permission-mode",
        options.permission_mode,
    ]
    lists = (("--allowed-tools", options.allowed_tools), ("--disallowed-tools", options.disallowed_tools))
    for flag, names in lists:
        if names is not None:
            words += [flag, names if isinstance(names, str) else ",".join(names)]
    system = "\n\n".join(text for text in (options.system_prompt, options.append_system_prompt) if text)
    for flag, value in (
        ("--model", options.model),
        ("--append-system-prompt", system),
        ("--max-turns", options.max_turns),
    ):
        if value:
            words += [flag, str(value)]
    return words


def _messages(value: dict[str, Any]) -> list[ClaudeMessage]:
    found: list[ClaudeMessage] = []
    if value.get("type") not in {"assistant", "user"}:
        return found
    for block in value["message"]["content"]:
        if block["type"] == "text":
            found.append(ClaudeMessage("text", block["text"]))
        elif block["type"] == "tool_use":
            path = block["input"].get("file_path") if block["name"] in _WRITES else None
            told = {"name": block["name"], "input": block["input"], "id": block["id"]}
            found.append(ClaudeMessage("tool_use", json.dumps(block["input"]), "assistant", path, told))
        elif block["type"] == "tool_result":
            told = {"tool_use_id": block["tool_use_id"], "is_error": block["is_error"]}
            found.append(ClaudeMessage("tool_result", block["content"], "user", None, told))
    return found


def _files(folder: Path) -> dict[str, float]:
    """The files below a folder and when they changed; hidden folders are not looked into."""
    found: dict[str, float] = {}
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(here, name)
            try:
                found[str(path)] = path.stat().st_mtime
            except OSError:
                continue  # it went while we looked
    return found


async def query_simple(prompt: str, options: ClaudeCodeOptions | None = None) -> str:
    """The text of the answer. Raises `RuntimeError` with what failed."""
    texts: list[str] = []
    async for message in query(prompt, options):
        if message.message_type == "text":
            texts.append(message.content)
        elif message.message_type == "error":
            raise RuntimeError(message.content)
    return "".join(texts)


def sync_query(prompt: str, options: ClaudeCodeOptions | None = None) -> list[ClaudeMessage]:
    """All messages, for callers without an event loop."""

    async def collect() -> list[ClaudeMessage]:
        return [message async for message in query(prompt, options)]

    return asyncio.run(collect())
