"""What a workflow has done, written down as it happens: one file, one line of JSON for each happening.

A line counts when it ends. What a crash left half written is cut off when the file is opened again, and the phase it was
about goes on from its run. One process at a time writes; the lock is the kernel's and goes with the process.
"""

import fcntl
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast
from uuid import uuid4

from execution_platform import _json
from execution_platform._failpoint import ARMED, reach
from execution_platform.exceptions import ConfigError, RouterError
from execution_platform.spi.usage import Usage
from execution_platform.workflow.checks import Checked

_ID = re.compile(r"wf_[0-9a-f]{32}\Z")
PhaseStatus = Literal["done", "unchecked", "stopped", "failed"]
"""`unchecked`: the run ended well and a check did not; `stopped`: a limit ended the run; `failed`: the run failed."""
Clock = Callable[[], datetime]


def utc() -> datetime:
    """Now."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a workflow was started with."""

    id: str
    document: Mapping[str, Any]
    inputs: Mapping[str, str]
    cwd: str
    configurations: Sequence[str]
    at: datetime
    url: str | None = None
    kind: Literal["opening"] = "opening"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A process begins to work on a configuration."""

    configuration: str
    at: datetime
    kind: Literal["session"] = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A phase has a run."""

    configuration: str
    phase: str
    run: str
    at: datetime
    kind: Literal["begun"] = "begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A phase is over."""

    configuration: str
    phase: str
    status: PhaseStatus
    at: datetime
    run: str | None = None
    """None: not even a run could begin."""
    reason: str = ""
    problem: str | None = None
    output: str = ""
    checks: Sequence[Checked] = ()
    seconds: float = 0.0
    """Of this process; what a killed one took is not known."""
    steps: int = 0
    usage: Usage = field(default_factory=Usage)
    """Of the whole run."""
    models: Sequence[str] = ()
    kind: Literal["ended"] = "ended"


Line = Session | Begun | Ended
_KINDS: Mapping[str, type[Line]] = {"session": Session, "begun": Begun, "ended": Ended}


@dataclass(slots=True)
class Story:
    """Everything a journal tells."""

    opening: Opening
    lines: list[Line] = field(default_factory=list[Line])

    def last(self, configuration: str) -> dict[str, Begun | Ended]:
        """The newest line about each phase of a configuration."""
        return {
            line.phase: line
            for line in self.lines
            if not isinstance(line, Session) and line.configuration == configuration
        }


class Journal:
    """The journal of one workflow, open for this process alone."""

    def __init__(self, descriptor: int, story: Story) -> None:
        self._descriptor = descriptor
        self.story = story

    @classmethod
    def create(cls, folder: Path, opening: Opening) -> Self:
        """A new one in `folder`, which is made if need be. Raises `ConfigError` when it cannot be."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(_path(folder, opening.id), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"the journal of the workflow cannot be made: {error.strerror}; set EP_WORKSPACE_ROOT to a folder you may "
                "write to"
            ) from None
        _lock(descriptor, opening.id)
        _append(descriptor, _json.dumps(opening))
        return cls(descriptor, Story(opening))

    @classmethod
    def open(cls, folder: Path, workflow_id: str) -> Self:
        """An existing one, to go on with. Raises `RouterError` when there is none, `ConfigError` when it is being written."""
        try:
            descriptor = os.open(_path(folder, workflow_id), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            raise _unknown(workflow_id) from None
        try:
            _lock(descriptor, workflow_id)
            data = _content(descriptor)
            story = _story(data)
            os.ftruncate(descriptor, data.rfind(b"\n") + 1)
            os.lseek(descriptor, 0, os.SEEK_END)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, story)

    def write(self, line: Line) -> None:
        """Write down, for good, what has happened."""
        _append(self._descriptor, _json.dumps(line))
        self.story.lines.append(line)

    async def ended(self, line: Ended) -> None:
        """Write down that a phase is over."""
        self.write(line)
        if ARMED:
            await reach("workflow.after_phase")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)


def new_id() -> str:
    """The id of a new workflow."""
    return f"wf_{uuid4().hex}"


def read(folder: Path, workflow_id: str) -> Story:
    """What a journal tells, whether or not somebody writes it. Raises `RouterError` when there is none."""
    try:
        data = _path(folder, workflow_id).read_bytes()
    except OSError:
        raise _unknown(workflow_id) from None
    return _story(data)


def stories(folder: Path) -> list[Story]:
    """All of them, the newest first."""
    found = [read(folder, path.stem) for path in folder.glob("wf_*.jsonl")]
    return sorted(found, key=lambda story: story.opening.at, reverse=True)


def _path(folder: Path, workflow_id: str) -> Path:
    if not _ID.match(workflow_id):
        raise _unknown(workflow_id)
    return folder / f"{workflow_id}.jsonl"


def _unknown(workflow_id: str) -> RouterError:
    return RouterError(f"there is no workflow {workflow_id}; see `ep workflow list`", code="not_found")


def _lock(descriptor: int, workflow_id: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"workflow {workflow_id} is worked on by another process; wait for its end") from None


def _content(descriptor: int) -> bytes:
    pieces: list[bytes] = []
    while piece := os.read(descriptor, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def _append(descriptor: int, line: bytes) -> None:
    left = memoryview(line + b"\n")
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def _story(data: bytes) -> Story:
    """The story of whole lines. Raises `ConfigError` for a file that is none."""
    try:
        first, *rest = [_json.loads(line) for line in data[: data.rfind(b"\n") + 1].splitlines()]
        story = Story(cast("Opening", _json.convert(first, Opening)))
        for value in rest:
            kind = _KINDS[str(cast("Mapping[str, object]", value)["kind"])]
            story.lines.append(cast("Line", _json.convert(value, kind)))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"the journal of the workflow cannot be read: {error}") from error
    return story
