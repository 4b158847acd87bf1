"""A run as it is watched in a terminal: the words of the model as they come, and a line for each call and each event."""

import sys
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from execution_platform import _json
from execution_platform.cli.output import console, plain

if TYPE_CHECKING:
    from execution_platform.client import RunEvent

_WIDEST = 120
COMMANDS_REFUSED = "commands_refused"
"""What a run is told to be before it begins, where its commands would ask and nobody is there."""


def is_attended() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def confirm(tool: str, arguments: object, reason: str) -> bool:
    """Ask whether a call may run; no, where nobody can be asked."""
    if not is_attended():
        return False
    shown = _json.pretty(cast("Mapping[str, object]", arguments))
    sys.stderr.write(plain(f"\n{reason}:\n{tool} {shown}\nAllow it? [y/N] "))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def notice(event: "RunEvent") -> str | None:
    """What is told on standard error whoever reads standard output: a run that lacks what its persona counts on."""
    return line_of(event) if event.event in _NOTICES else None


class Progress:
    """Shows the events of one run."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = console(stderr=True)
        self._mid_line = False

    def show(self, event: "RunEvent") -> None:
        """One more event."""
        if self._quiet and event.event not in _NOTICES:
            return
        if event.event == "token":
            self._say(str(event.data.get("text", "")))
            return
        line = line_of(event)
        if line is not None:
            self._tell(line, dim=event.event not in _LOUD)

    def _say(self, text: str) -> None:
        sys.stdout.write(plain(text))
        sys.stdout.flush()
        self._mid_line = bool(text) and not text.endswith("\n")

    def _tell(self, line: str, *, dim: bool) -> None:
        from rich.text import Text

        if self._mid_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._mid_line = False
        self._console.print(Text(plain(line), style="dim" if dim else "bold"))


_NOTICES = frozenset({"tools_missing", COMMANDS_REFUSED})
_LOUD = _NOTICES | {"approval_required", "outcome_unknown", "error"}
_LINES: Mapping[str, str] = {
    "turn_started": "· turn {turn}: {provider}/{model}",
    "provider_changed": "· moved from {from} to {to} ({reason})",
    "agent_started": "· {persona} works on: {task}",
    "agent_finished": "· the other agent is done ({reason})",
    "approval_decided": "· {decision}",
    "outcome_unknown": "! nobody knows whether {name} took effect before the interruption; it was not repeated",
    "run_resumed": "· goes on after {turns} turns",
    "turn_restarted": "· the answer broke off ({code}); asked again",
    "waiting": "· waits {seconds} s for a limit ({code})",
    "error": "! {error}",
    COMMANDS_REFUSED: "! {reason}",
}


def line_of(event: "RunEvent") -> str | None:
    """What an event says in one line; None where it says nothing to people."""
    data = event.data
    inner = cast("Mapping[str, object]", data.get("data") or {})
    if event.event == "tool_call":
        return _cut(f"→ {inner.get('name')} {_json.dumps(inner.get('args')).decode()}")
    if event.event == "tool_result":
        mark = "✗" if inner.get("is_error") else "✓"
        return _cut(f"{mark} {inner.get('name')} {inner.get('result')}")
    if event.event == "done":
        return "" if data.get("stop_reason") == "stop" else f"! stopped: {data.get('stop_reason')}"
    if event.event == "tools_missing":
        tools = cast("Mapping[str, str]", data["tools"])
        return "! without " + ", ".join(tools) + ": " + "; ".join(dict.fromkeys(tools.values()))
    form = _LINES.get(event.event)
    return None if form is None else _cut(form.format_map(defaultdict(lambda: "?", data)))


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDEST else flat[: _WIDEST - 1] + "…"
