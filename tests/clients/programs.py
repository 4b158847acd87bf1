"""The vendors' command-line clients: where they are, and how each is pointed at a gateway with nothing of this machine's.

`make clients` installs them and says in EP_CLIENTS where.
"""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from execution_platform.testing import Call

FOLDER = os.environ.get("EP_CLIENTS", "")
KEY = "ep-clients-key-00000001"
MADE = "made by a tool"
SHELL = f"echo {MADE} > made.txt; cat made.txt"


@dataclass
class Program:
    """One client: its command line, environment and files in a fresh home."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def run(self, home: Path, work: Path, prompt: str, *, within: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run it to its end; all it started is gone then."""
        for name, content in self.files.items():
            path = home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "TERM": "dumb", **self.environ}
        process = subprocess.Popen(
            [*self.command, prompt],
            env={name: value.replace("{home}", str(home)) for name, value in environ.items()},
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=within)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def binary(name: str) -> str:
    """The program's file."""
    return str(Path(FOLDER).absolute() / "node" / "node_modules" / ".bin" / name)


def installed(name: str) -> bool:
    """Whether `make clients` has put it there."""
    return bool(FOLDER) and Path(binary(name)).exists()


def claude(url: str, model: str) -> Program:
    """Claude Code."""
    return Program(
        "claude",
        (binary("claude"), "--model", model, "--output-format", "json", "--allowedTools", "Bash,Write", "-p"),
        {
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CONFIG_DIR": "{home}/.claude",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        },
    )


def codex(url: str, model: str) -> Program:
    """OpenAI's Codex."""
    config = f"""model = "{model}"
model_provider = "platform"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.platform]
name = "platform"
base_url = "{url}/v1"
env_key = "PLATFORM_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
    options = ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    environ = {"CODEX_HOME": "{home}/.codex", "PLATFORM_KEY": KEY}
    return Program("codex", (binary("codex"), *options), environ, {".codex/config.toml": config})


def gemini(url: str, model: str) -> Program:
    """The Gemini CLI."""
    settings = {
        "privacy": {"usageStatisticsEnabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}},
    }
    environ = {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": KEY, "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    command = (binary("gemini"), "-m", model, "--yolo", "-p")
    return Program("gemini", command, environ, {".gemini/settings.json": json.dumps(settings)})


def opencode(url: str, model: str) -> Program:
    """opencode."""
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "platform",
        "options": {"baseURL": f"{url}/v1", "apiKey": KEY},
        "models": {model: {"name": model}},
    }
    environ = {
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    }
    command = (binary("opencode"), "run", "-m", f"platform/{model}")
    config = json.dumps({"provider": {"platform": provider}})
    return Program("opencode", command, environ, {".config/opencode/opencode.json": config})


PROGRAMS = {"claude": claude, "codex": codex, "gemini": gemini, "opencode": opencode}
SHELL_CALLS = {
    "claude": Call("Bash", {"command": SHELL, "description": "make a file"}),
    "codex": Call("exec_command", {"cmd": SHELL}),
    "gemini": Call("run_shell_command", {"command": SHELL, "description": "make a file"}),
    "opencode": Call("bash", {"command": SHELL, "description": "make a file"}),
}
