"""The transport some callers make themselves; it only carries what it was given."""

from typing import Any


class SubprocessCLITransport:
    """Prompt, options and path of a command. The path is not used: the `claude` command on PATH answers."""

    def __init__(
        self, prompt: Any = None, options: Any = None, cli_path: Any = None, cwd: Any = None, **_: Any
    ) -> None:
        self.prompt = prompt
        self.options = options
        self.cli_path = cli_path
        self.cwd = cwd
