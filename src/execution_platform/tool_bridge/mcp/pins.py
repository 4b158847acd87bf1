"""What the tools of other people's servers were when they were approved (M8).

Theory of operation
-------------------
A tool's definition is read by the model, so whoever can change it can give the model orders. The whole definition as the server
sends it is kept, with its SHA-256, in one file of the workspace; what a model is told comes from that file and from nowhere
else. A server that is listed for the first time is taken as it is, since the operator has just configured it. From then on a
definition that differs in any member, and a tool that was not there, are in quarantine until somebody approves them. A server
that keeps its definition and changes what it does is not noticed: no client could.

The file may be written by several processes and by the command line; a lock beside it keeps them apart, and readers see the
old or the new file, whole.
"""

import fcntl
import hashlib
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, cast

from execution_platform import _json
from execution_platform.exceptions import ConfigError
from execution_platform.tool_bridge.approval import canonical
from execution_platform.tool_bridge.mcp.names import full_name, refusal, skeleton

Definition = Mapping[str, object]
"""A tool as the server sends it."""
FILE: Final = "mcp/approved.json"


@dataclass(frozen=True, slots=True)
class Pin:
    """One approved definition."""

    sha256: str
    definition: Definition


class Judged(NamedTuple):
    """What a listing says against what was approved."""

    approved: Mapping[str, Pin]
    """Tools that are as they were approved, by the server's own name of them."""
    changed: Mapping[str, str]
    """Tools in quarantine: name → why."""
    refused: Mapping[str, str]
    """Tools that cannot be approved at all: name → why."""


def digest(definition: Definition) -> str:
    """The SHA-256 of a whole definition, in hexadecimal; the order of its members does not count."""
    return hashlib.sha256(canonical(definition)).hexdigest()


class Pins:
    """The approved definitions of one installation, by server."""

    def __init__(self, root: Path) -> None:
        self._path = root / FILE
        self._seen: tuple[int, int] | None = None
        self._pins: Mapping[str, Mapping[str, Pin]] = {}

    def of(self, server: str) -> Mapping[str, Pin] | None:
        """The approved tools of a server; None for one that was never listed."""
        self.refresh()
        return self._pins.get(server)

    def refresh(self) -> bool:
        """Take over what others have written; whether there was something. Raises `ConfigError` for a file that is none of ours."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            changed, self._pins, self._seen = bool(self._pins), {}, None
            return changed
        seen = (status.st_mtime_ns, status.st_ino)
        if seen == self._seen:
            return False
        self._pins, self._seen = self._read(), seen
        return True

    def judge(self, server: str, listed: Sequence[Definition], taken: Iterable[str] = ()) -> Judged:
        """Hold a listing to what was approved, and approve it where nothing was. `taken` are names of other tools."""
        sound, refused = _sound(server, listed, taken)
        known = self.of(server)
        if known is None:
            known = self.approve(server, sound)
        approved: dict[str, Pin] = {}
        changed: dict[str, str] = {}
        for name, definition in sound.items():
            pin = known.get(name)
            if pin is None:
                changed[name] = "it was not there when the server was approved"
            elif pin.sha256 != digest(definition):
                changed[name] = "its definition is not the one that was approved"
            else:
                approved[name] = pin
        changed.update(
            {name: f"{refused[name]}, which it had not when it was approved" for name in refused if name in known}
        )
        return Judged(approved, changed, refused)

    def approve(self, server: str, definitions: Mapping[str, Definition]) -> Mapping[str, Pin]:
        """Keep these definitions as the approved ones, in the place of those of before."""
        pins = {name: Pin(digest(given), given) for name, given in definitions.items()}
        with self._locked():
            self._write({**self._read(), server: pins})
        self.refresh()
        return pins

    def forget(self, server: str) -> None:
        """Know nothing of a server any more."""
        with self._locked():
            self._write({name: pins for name, pins in self._read().items() if name != server})
        self.refresh()

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> Mapping[str, Mapping[str, Pin]]:
        try:
            kept = cast("dict[str, dict[str, dict[str, object]]]", _json.loads(self._path.read_bytes()))
            return {
                server: {
                    name: Pin(cast("str", pin["sha256"]), cast("Definition", pin["definition"]))
                    for name, pin in pins.items()
                }
                for server, pins in kept.items()
            }
        except FileNotFoundError:
            return {}
        except (_json.JsonError, KeyError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"{FILE} in the workspace cannot be read as approved MCP tools; restore it, or remove it and approve the "
                "servers again with `ep mcp approve`",
                code="mcp_pins_damaged",
            ) from error

    def _write(self, pins: Mapping[str, Mapping[str, Pin]]) -> None:
        kept = {
            server: {name: {"sha256": pin.sha256, "definition": pin.definition} for name, pin in sorted(tools.items())}
            for server, tools in sorted(pins.items())
        }
        beside = self._path.with_suffix(".new")
        beside.write_text(_json.pretty(kept), encoding="utf-8")
        beside.chmod(0o600)
        beside.replace(self._path)


def _sound(
    server: str, listed: Sequence[Definition], taken: Iterable[str]
) -> tuple[dict[str, Definition], dict[str, str]]:
    """The tools that may be approved, and why the others may not. Of two that look alike neither may."""
    sound: dict[str, Definition] = {}
    refused: dict[str, str] = {}
    looks = Counter(skeleton(full_name(server, str(each.get("name")))) for each in listed)
    others = {skeleton(name): name for name in taken}
    for definition in listed:
        name = str(definition.get("name"))
        look = skeleton(full_name(server, name))
        reason = refusal(server, definition)
        if reason is None and looks[look] > 1:
            reason = "its name looks like that of another of its tools"
        if reason is None and look in others:
            reason = f"its name looks like {others[look]}"
        if reason is None:
            sound[name] = definition
        else:
            refused[name] = reason
    return sound, refused
