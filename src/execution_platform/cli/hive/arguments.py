"""The command line of the vendor's agent, as far as its callers use it. What cannot be honoured is refused, never passed over."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn, cast

from execution_platform.client._runs import Mode
from execution_platform.tool_bridge.aliases import aliases, tool_names

Form = Literal["text", "json", "stream-json"]
PERSONA = "backend_developer"
_PERSONA_MODEL = "persona/"
_OWN = "mcp__"
_REFUSED = ("--mcp-config", "--continue", "--resume", "--add-dir", "--settings")
_MODES = ("default", "acceptEdits", "plan", "bypassPermissions")


class UsageError(ValueError):
    """The command line cannot be served; the message says which part and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the caller wants."""

    prompt: str | None
    """None: it comes on standard input."""
    form: Form
    persona: str
    model: str | None
    system: str | None
    tools: tuple[str, ...] | None
    mode: Mode
    steps: int | None
    calls_back: bool = False
    """The caller has tools of its own and answers on standard input."""
    allowed: frozenset[str] | None = None
    """As the caller wrote them; None for all."""
    disallowed: frozenset[str] = frozenset()

    def offers(self, name: str) -> bool:
        """Whether a tool of the caller's own is among those it lists: by its name, or by its server's, `mcp__server`."""
        names = {name, name.rpartition("__")[0]}
        return (self.allowed is None or bool(names & self.allowed)) and not names & self.disallowed


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="claude", description="Work on a task with an agent of the Execution Platform.", add_help=True
    )
    parser.add_argument("-v", "--version", action="store_true", help="Say what this is.")
    parser.add_argument("-p", "--print", action="store_true", help="Answer and leave, as always here.")
    parser.add_argument("--output-format", choices=("text", "json", "stream-json"), default="text")
    parser.add_argument("--verbose", action="store_true", help="Accepted; stream-json always tells every message.")
    parser.add_argument("--dangerously-skip-permissions", action="store_true", help="Ask for nothing.")
    parser.add_argument("--permission-mode", choices=_MODES, default=None)
    parser.add_argument(
        "--allowed-tools", "--allowedTools", "--tools", default=None, help="Names; others are not offered."
    )
    parser.add_argument("--disallowed-tools", "--disallowedTools", default=None, help="Names that are not offered.")
    parser.add_argument(
        "--model", default=None, help="provider/model or persona/name; other names are left to the persona."
    )
    parser.add_argument("--fallback-model", default=None, help="Accepted; the persona's chain is the fallback.")
    parser.add_argument("--system-prompt", default=None)
    parser.add_argument("--append-system-prompt", default=None)
    parser.add_argument("--max-turns", type=int, default=None)
    parser.add_argument("--session-id", default=None, help="Accepted; a run has an id of its own.")
    parser.add_argument("--caller-tools", action="store_true", help=argparse.SUPPRESS)
    for name in _REFUSED:
        parser.add_argument(name, nargs="?", const="", default=None, help=argparse.SUPPRESS)
    parser.add_argument("prompt", nargs="?", default=None)
    return parser


def parse(words: Sequence[str], environ: Mapping[str, str]) -> Wanted | None:
    """What a command line wants; None for the version. Raises `UsageError`."""
    given = _parser().parse_args(list(words))
    if given.version:
        return None
    for name in _REFUSED:
        if getattr(given, name.removeprefix("--").replace("-", "_")) is not None:
            raise UsageError(f"{name} is not served here; configure it in platform.yaml, or leave it out")
    model = cast("str | None", given.model)
    persona = environ.get("EP_HIVE_PERSONA") or PERSONA
    if model is not None and model.startswith(_PERSONA_MODEL):
        persona, model = model.removeprefix(_PERSONA_MODEL), None
    elif model is not None and "/" not in model:
        model = None  # a vendor's name: the persona's chain decides who answers
    tools = _tools(given.allowed_tools, given.disallowed_tools)
    system = "\n\n".join(text for text in (given.system_prompt, given.append_system_prompt) if text)
    return Wanted(
        prompt=given.prompt,
        form=given.output_format,
        persona=persona,
        model=environ.get("EP_HIVE_MODEL") or model,
        system=system or None,
        tools=tools,
        mode=_mode(given, allowed=given.allowed_tools is not None),
        steps=given.max_turns,
        calls_back=given.caller_tools,
        allowed=None if given.allowed_tools is None else _words(given.allowed_tools),
        disallowed=_words(given.disallowed_tools or ""),
    )


def _tools(allowed: str | None, disallowed: str | None) -> tuple[str, ...] | None:
    """The tools to offer, in our names; None leaves them to the persona."""
    wanted = _without_own(tool_names(_plain(allowed)))
    refused = frozenset(tool_names(_plain(disallowed)) or ())
    if wanted is None and refused:
        wanted = tuple(alias.tool for alias in aliases().values())
    return None if wanted is None else tuple(name for name in wanted if name not in refused)


def _words(names: str) -> frozenset[str]:
    return frozenset((_plain(names) or "").replace(",", " ").split())


def _without_own(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The platform's tools among them: those of servers in the caller's program are asked of it."""
    return None if names is None else tuple(name for name in names if not name.startswith(_OWN))


def _plain(names: str | None) -> str | None:
    """Names without patterns of arguments: `Bash(git:*)` is the tool, which the sandbox confines."""
    if names is None:
        return None
    out, depth = "", 0
    for letter in names:
        depth += (letter == "(") - (letter == ")")
        out += letter if depth == 0 and letter != ")" else ""
    return out


def _mode(given: argparse.Namespace, *, allowed: bool) -> Mode:
    """The mode of the run. Tools that the caller lists run without questions, as the vendor's do; nobody could answer them."""
    if given.dangerously_skip_permissions:
        return "bypassPermissions"
    if given.permission_mode is not None:
        return cast("Mode", given.permission_mode)
    return "bypassPermissions" if allowed else "default"
