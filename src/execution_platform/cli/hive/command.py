"""The drop-in `claude` command."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from execution_platform import __version__
from execution_platform.cli.hive.arguments import UsageError, Wanted, parse
from execution_platform.cli.hive.caller import CallerProgram
from execution_platform.cli.hive.transcript import Transcript
from execution_platform.cli.outcome import Exit
from execution_platform.exceptions import ExecutionPlatformError

if TYPE_CHECKING:
    from execution_platform.client import RunEvent
    from execution_platform.workflow.worker import Hear

_URLS = ("EP_GATEWAY_URL", "GATEWAY_URL")


def main(words: Sequence[str] | None = None) -> int:
    """Serve one command line; the exit status, 0 only when the agent is done."""
    try:
        wanted = parse(sys.argv[1:] if words is None else words, os.environ)
        if wanted is None:
            sys.stdout.write(f"{__version__} (Execution Platform)\n")
            return Exit.OK
        return asyncio.run(_work(wanted, _prompt(wanted), os.environ))
    except UsageError as error:
        sys.stderr.write(f"claude: {error}\n")
        return Exit.USAGE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _prompt(wanted: Wanted) -> str:
    if wanted.calls_back and (wanted.prompt is None or wanted.form != "stream-json"):
        raise UsageError("--caller-tools needs the prompt as the last argument, and --output-format stream-json")
    prompt = wanted.prompt if wanted.prompt is not None else sys.stdin.read()
    if not prompt.strip():
        raise UsageError("there is no prompt: give it as the last argument or on standard input")
    return prompt


async def _work(wanted: Wanted, prompt: str, environ: Mapping[str, str]) -> int:
    from execution_platform.cli.running import work
    from execution_platform.cli.snapshot import read_settings
    from execution_platform.workflow.worker import Asked

    cwd = Path.cwd()
    own = await CallerProgram(_write).tools(wanted) if wanted.calls_back else ()
    transcript = Transcript(wanted, cwd, _write)
    asked = Asked(
        persona=wanted.persona,
        task=prompt,
        workspace=cwd,
        mode=wanted.mode,
        model=wanted.model,
        limits={} if wanted.steps is None else {"steps": wanted.steps},
        system=wanted.system,
        tools=wanted.tools,
        own=own,
    )
    url = next((environ[name] for name in _URLS if environ.get(name)), None)
    try:
        result = await work(read_settings(None), asked, url, _hearing(transcript))
    except ExecutionPlatformError as error:
        transcript.fail(error.message)
        sys.stderr.write(f"claude: {error.message} ({error.code})\n")
        return Exit.FAILED
    transcript.end(result)
    if result.status == "done":
        return Exit.OK
    sys.stderr.write(f"claude: the run {result.id} was not finished: {result.reason}\n")
    return Exit.FAILED


def _hearing(transcript: Transcript) -> "Hear":
    from execution_platform.cli.progress import notice

    def hear(event: "RunEvent") -> None:
        told = notice(event)
        if told is not None:
            sys.stderr.write(f"claude: {told}\n")
        transcript.show(event)

    return hear


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
