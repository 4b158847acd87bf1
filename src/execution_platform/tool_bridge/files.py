"""The files of a workspace, as tools use them: read, written, listed and removed through descriptors, protected paths never.

Every function blocks and belongs into a thread. Nothing waits for a reader or writer: pipes and devices are refused. A file is
replaced as a whole by a rename, after its bytes are on the disk, so that nobody ever sees half of it, and a crash leaves the
old one or the new one.
"""

import errno
import os
import secrets
import stat
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, Self

from execution_platform.exceptions import InvalidToolArguments, ToolDenied, ToolError
from execution_platform.tool_bridge.beneath import Beneath, kind_of, not_regular, open_beneath, told
from execution_platform.tool_bridge.protected import ProtectedPaths

LARGEST: Final = 10 * 1024 * 1024
"""Bytes of a file that is read or written."""
_MODE: Final = 0o644
_DEEPEST: Final = 64
_STRIPES: Final = 64
_TEMPORARY: Final = ".ep-"
_BLOCK: Final = 1024 * 1024


class Found(NamedTuple):
    """One entry of a tree."""

    path: str
    kind: str
    size: int
    modified: float
    """Seconds since 1970."""
    protected: bool


class Loaded(NamedTuple):
    """A file's bytes, and its mode."""

    data: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class FileRules:
    """What all workspaces of a process share: the protected paths, and locks so that two edits of one file do not lose one."""

    protected: ProtectedPaths = field(default_factory=ProtectedPaths)
    locks: tuple[threading.Lock, ...] = field(
        default_factory=lambda: tuple(threading.Lock() for _ in range(_STRIPES)), repr=False
    )


class Files:
    """One workspace, while the context lasts. Paths are given as the model wrote them. Methods raise `ToolError`s."""

    def __init__(self, workspace: Path, rules: FileRules) -> None:
        self._beneath = Beneath(workspace)
        self._rules = rules

    def __enter__(self) -> Self:
        self._beneath.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._beneath.__exit__(None, None, None)

    def path(self, text: str) -> str:
        """The path relative to the workspace, if tools may touch it."""
        path = self._beneath.inside(text)
        self._rules.protected.check(path)
        return path

    def load(self, text: str) -> Loaded:
        """The bytes of a regular file of at most `LARGEST` bytes."""
        path = self.path(text)
        opened = self._beneath.open(path, os.O_RDONLY)
        try:
            with told(path):
                return _read(opened, path)
        finally:
            os.close(opened)

    def stat(self, text: str) -> Found:
        """What is at a path."""
        path = self.path(text)
        opened = self._beneath.open(path, os.O_PATH)
        try:
            return _found(path, os.fstat(opened))
        finally:
            os.close(opened)

    @contextmanager
    def changing(self, text: str) -> Generator[None]:
        """Keeps other changes of the same file in this process waiting."""
        with self._rules.locks[hash(self.path(text)) % _STRIPES]:
            yield

    def store(self, text: str, data: bytes, *, mode: int | None = None) -> bool:
        """Replace or make a file, with the directories above it; whether it is new."""
        path = self.path(text)
        if len(data) > LARGEST:
            raise InvalidToolArguments(
                f"args.content: {len(data)} bytes; a file written by a tool has at most {LARGEST}. Write it in parts.",
                param="args.content",
            )
        with self._beneath.parent(path, create=True) as place:
            before = _replaceable(place.directory, place.name, path)
            kept = before if mode is None else mode
            temporary = _TEMPORARY + secrets.token_hex(8)
            with told(path):
                _write(place.directory, temporary, data, _MODE if kept is None else kept)
                try:
                    os.rename(temporary, place.name, src_dir_fd=place.directory, dst_dir_fd=place.directory)
                except OSError:
                    os.unlink(temporary, dir_fd=place.directory)
                    raise
                os.fsync(place.directory)
        return before is None

    def remove(self, text: str, *, recursive: bool) -> int:
        """Remove a file, a link itself, an empty directory, or with `recursive` all there is; how many entries went."""
        path = self.path(text)
        with self._beneath.parent(path) as place, told(path):
            mode = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                os.unlink(place.name, dir_fd=place.directory)
                return 1
            if recursive:
                self._refuse_protected(path)
                return _remove_tree(place.directory, place.name, 0)
            return _remove_empty(place.directory, place.name, path)

    def _refuse_protected(self, path: str) -> None:
        kept = next((found.path for found in self.walk(path) if found.protected), None)
        if kept is not None:
            raise ToolDenied(
                f"{path!r}: holds {kept!r}, which is protected; remove the other files one by one",
                code="path_protected",
            )

    def walk(
        self, text: str, *, deepest: int = _DEEPEST, enter: Callable[[str], bool] | None = None
    ) -> Iterator[Found]:
        """Everything below a directory, in order of names, itself not.

        Links and protected directories are not entered, nor those whose path `enter` refuses.
        """
        path = self.path(text)
        with self._beneath.directory(path) as opened:
            yield from self._walk(opened, "" if path == "." else path + "/", deepest, enter)

    def _walk(self, directory: int, prefix: str, deepest: int, enter: Callable[[str], bool] | None) -> Iterator[Found]:
        with told(prefix or "."):
            names = sorted(os.listdir(directory))
        for name in names:
            path = prefix + name
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            protected = self._rules.protected.protects(path) is not None
            yield _found(_readable(path), status, protected=protected)
            if not stat.S_ISDIR(status.st_mode) or protected or deepest <= 1 or (enter is not None and not enter(path)):
                continue
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                inner = open_beneath(directory, os.fsencode(name), os.O_RDONLY | os.O_DIRECTORY)
                try:
                    yield from self._walk(inner, path + "/", deepest - 1, enter)
                finally:
                    os.close(inner)


def _readable(path: str) -> str:
    """A path as text that can be sent; a name that is no UTF-8 gets a sign that no file has."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _found(path: str, status: os.stat_result, *, protected: bool = False) -> Found:
    return Found(path, kind_of(status.st_mode), status.st_size, status.st_mtime, protected)


def _read(opened: int, path: str) -> Loaded:
    status = os.fstat(opened)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise not_regular(path)
    if status.st_size > LARGEST:
        raise InvalidToolArguments(
            f"{path!r}: {status.st_size} bytes; a tool reads files of at most {LARGEST}. Look for what you need with "
            "code_search, or take a part of it with a command.",
            param="args.path",
        )
    blocks: list[bytes] = []
    left = LARGEST + 1
    while left > 0 and (block := os.read(opened, min(_BLOCK, left))):
        blocks.append(block)
        left -= len(block)
    if left <= 0:
        raise ToolError(f"{path!r}: grows while it is read; try again later", param="args.path")
    return Loaded(b"".join(blocks), stat.S_IMODE(status.st_mode))


def _replaceable(directory: int, name: str, path: str) -> int | None:
    """The mode of the file that will be replaced; None without one. Raises `ToolError` for what is no file."""
    try:
        with told(path):
            mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except ToolError as error:
        if error.code == "not_found":
            return None
        raise
    if stat.S_ISLNK(mode):
        with told(path):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if stat.S_ISDIR(mode):
        raise InvalidToolArguments(f"{path!r}: is a directory; name a file in it", param="args.path")
    if not stat.S_ISREG(mode):
        raise not_regular(path)
    return stat.S_IMODE(mode) & 0o777


def _write(directory: int, name: str, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    opened = os.open(name, flags, mode, dir_fd=directory)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(opened, left) :]
        os.fchmod(opened, mode)
        os.fsync(opened)
    except OSError:
        os.unlink(name, dir_fd=directory)
        raise
    finally:
        os.close(opened)


def _remove_empty(directory: int, name: str, path: str) -> int:
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise InvalidToolArguments(
            f"{path!r}: is a directory with files in it; pass recursive: true to remove them too",
            param="args.recursive",
        ) from None
    return 1


def _remove_tree(directory: int, name: str, depth: int) -> int:
    if depth > _DEEPEST:
        raise ToolError("the directories are nested too deeply to be removed at once; remove the inner ones first")
    inner = open_beneath(directory, os.fsencode(name), os.O_RDONLY | os.O_DIRECTORY)
    gone = 1
    try:
        for entry in os.listdir(inner):  # noqa: PTH208 - of a descriptor
            if stat.S_ISDIR(os.stat(entry, dir_fd=inner, follow_symlinks=False).st_mode):
                gone += _remove_tree(inner, entry, depth + 1)
            else:
                os.unlink(entry, dir_fd=inner)
                gone += 1
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=directory)
    return gone
