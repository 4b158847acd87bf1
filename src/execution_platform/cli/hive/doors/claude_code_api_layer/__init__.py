"""`claude_code_api_layer` on the Execution Platform: the blocking client of the `claude` command, with nothing but the standard library."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["ClaudeCLIClient"]
_FILES = ["Write", "Edit", "Read"]


class ClaudeCLIClient:
    """Asks the `claude` command, and tells how it went as a dictionary; it raises nothing."""

    def __init__(self, cwd: str | os.PathLike[str] | None = None, **_: Any) -> None:
        self.cwd = Path(cwd) if cwd is not None else Path.cwd()

    def query(
        self,
        prompt: str,
        output_format: str = "text",
        allowed_tools: list[str] | None = None,
        disallowed_tools: list[str] | None = None,
        skip_permissions: bool = False,  # noqa: FBT001, FBT002 - the published signature
        timeout: float = 300,
    ) -> dict[str, Any]:
        """`{"success": True, "output", "format"}`, or `{"success": False, "error", …}`."""
        found = shutil.which("claude")
        if found is None:
            return {
                "success": False,
                "error": 'the command `claude` is not on PATH; set it with: eval "$(ep hive env)"',
            }
        words = [found, "--print", "--output-format", output_format]
        if skip_permissions:
            words.append("--dangerously-skip-permissions")
        for flag, names in (("--allowed-tools", allowed_tools), ("--disallowed-tools", disallowed_tools)):
            if names is not None:
                words += [flag, ",".join(names)]
        return self._run([*words, "--", prompt], output_format, timeout)

    def _run(self, words: list[str], output_format: str, timeout: float) -> dict[str, Any]:
        try:
            done = subprocess.run(  # noqa: S603 - the command on PATH, arguments as a list
                words,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"success": False, "error": f"Timeout after {timeout:g} seconds"}
        except OSError as error:
            return {"success": False, "error": str(error)}
        if done.returncode != 0:
            message = done.stderr.strip() or done.stdout.strip() or f"claude ended with status {done.returncode}"
            return {"success": False, "error": message, "returncode": done.returncode}
        try:
            output = _read(done.stdout, output_format)
        except ValueError as error:
            return {"success": False, "error": f"the answer is not JSON: {error}", "raw_output": done.stdout}
        return {"success": True, "output": output, "format": output_format}

    def create_code(self, task: str, **options: Any) -> dict[str, Any]:
        """Let the agent write code."""
        return self.query(task, allowed_tools=_FILES, skip_permissions=True, **options)

    def analyze_code(self, task: str, **options: Any) -> dict[str, Any]:
        """Let the agent read code."""
        return self.query(task, allowed_tools=["Read"], skip_permissions=True, **options)

    def create_template(self, task: str, **options: Any) -> dict[str, Any]:
        """Let the agent write a template."""
        return self.query(task, allowed_tools=_FILES, skip_permissions=True, **options)

    def improve_code(self, task: str, **options: Any) -> dict[str, Any]:
        """Let the agent change code."""
        return self.query(task, allowed_tools=_FILES, skip_permissions=True, **options)


def _read(text: str, output_format: str) -> Any:
    if output_format == "json":
        return json.loads(text)
    if output_format == "stream-json":
        return [json.loads(line) for line in text.splitlines() if line]
    return text.rstrip("\n")
