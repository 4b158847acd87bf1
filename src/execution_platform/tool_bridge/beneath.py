"""A directory, and nothing but what is beneath it.

Theory of operation
-------------------
Whoever checks a path and then opens it has checked another file than it opens: a link or a directory may be swapped in
between. Here the kernel does both in one step. Every path is opened by `openat2(2)` from a descriptor of the root, with the
rules that it may not leave the root, may not pass a symbolic link and may not pass a link of `/proc`. What is done afterwards is
done to descriptors, and to names within the directory a descriptor stands for; those calls follow no link either.

The text of a path is looked at only to refuse spellings that two readers could take for two files, and to allow the
absolute path of the root as a prefix. No text decides that a path is inside. Linux 5.6 or later; elsewhere every call is
refused, since a check that can be outrun is no substitute.
"""

import ctypes
import errno
import os
import re
import stat
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from execution_platform.exceptions import InvalidToolArguments, TargetNotFound, ToolDenied, ToolError

INSIDE: Final = "/workspace"
"""Where the workspace is for commands in the sandbox; what they print may be given to tools as it is."""
_OPENAT2: Final = 437
"""The same on every architecture: system calls since 5.1 share their numbers."""
_NO_MAGICLINKS: Final = 0x02
_NO_SYMLINKS: Final = 0x04
_BENEATH: Final = 0x08
_TRIES: Final = 16
"""`openat2` gives EAGAIN when a rename elsewhere keeps it from being sure."""
_LONGEST: Final = 4096
_ENCODED: Final = re.compile(r"%(2e|2f|5c|00|25)", re.IGNORECASE)
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
_PRIVATE_DIRECTORY: Final = 0o755


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def open_beneath(root: int, path: bytes, flags: int, mode: int = 0) -> int:
    """A descriptor of what is at `path` beneath the directory `root`. Raises `OSError`: EXDEV or ELOOP where it would leave."""
    if not flags & os.O_PATH:  # which takes no flags that are about reading
        flags |= os.O_NONBLOCK | os.O_NOCTTY
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _BENEATH | _NO_MAGICLINKS | _NO_SYMLINKS)
    number = 0
    for _ in range(_TRIES):
        opened: int = _libc().syscall(_OPENAT2, root, path, ctypes.byref(how), ctypes.sizeof(how))
        if opened >= 0:
            return opened
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))


class Place(NamedTuple):
    """A directory that is held open, and a name in it."""

    directory: int
    name: str


class Beneath:
    """The tree below `root`, while the context lasts. Paths are texts as models write them; errors are for models."""

    def __init__(self, root: Path) -> None:
        self._path = root
        self._root = -1

    def __enter__(self) -> Self:
        try:
            self._root = os.open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ToolError(f"the workspace cannot be opened: {error.strerror}", code="workspace_unavailable") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._root)

    def inside(self, text: str) -> str:
        """`text` relative to the root, `.` for the root itself. Raises `ToolDenied` for what is no plain path below it."""
        return relative(text, self._path)

    def open(self, path: str, flags: int) -> int:
        """A descriptor of an existing `path` (as `inside` gives it). Raises `ToolError`s."""
        with told(path):
            return open_beneath(self._root, os.fsencode(path), flags)

    @contextmanager
    def directory(self, path: str) -> Generator[int]:
        """A descriptor of a directory. Raises `ToolError`s."""
        opened = self.open(path, _DIRECTORY)
        try:
            yield opened
        finally:
            os.close(opened)

    @contextmanager
    def parent(self, path: str, *, create: bool = False) -> Generator[Place]:
        """The directory that holds `path`, made if asked for, and the name in it. Raises `ToolError`s."""
        above, _, name = path.rpartition("/")
        if name in ("", "."):
            raise InvalidToolArguments("args.path: is the workspace itself; name a file in it", param="args.path")
        if create and above:
            self._make(above)
        with self.directory(above or ".") as opened:
            yield Place(opened, name)

    def _make(self, path: str) -> None:
        done = ""
        for part in path.split("/"):
            with self.directory(done or ".") as opened, told(path), suppress(FileExistsError):
                os.mkdir(part, _PRIVATE_DIRECTORY, dir_fd=opened)
            done = f"{done}/{part}" if done else part


def relative(text: str, root: Path) -> str:
    """A path as a model wrote it, relative to `root`. Raises `ToolDenied`."""
    _check_spelling(text)
    if text.startswith("/"):
        for prefix in (INSIDE, str(root), str(root.absolute())):
            if text == prefix or text.startswith(prefix + "/"):
                text = text[len(prefix) :]
                break
        else:
            raise _outside("it is an absolute path outside the workspace; use paths relative to the workspace")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _outside("it contains '..'; use paths relative to the workspace without it")
    return "/".join(parts) or "."


def _check_spelling(text: str) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise _outside("it holds half a character") from None
    if length > _LONGEST:
        raise _outside(f"it is longer than {_LONGEST} bytes")
    if not text.isprintable():
        raise _outside("it holds characters that cannot be printed")
    if "\\" in text:
        raise _outside("it holds a backslash; separate directories by /")
    if _ENCODED.search(text):
        raise _outside("it holds percent-encoded separators; write the path as it is")
    if unicodedata.normalize("NFC", text) != text:
        raise _outside("its letters are not in composed form (NFC)")


def _outside(reason: str) -> ToolDenied:
    return ToolDenied(f"args.path: not a path in the workspace: {reason}", code="path_outside_root", param="args.path")


@contextmanager
def told(path: str) -> Generator[None]:
    """Failures of the file system as words for a model, about `path`."""
    try:
        yield
    except OSError as error:
        raise _translated(error, path) from None


def _translated(error: OSError, path: str) -> ToolError:
    match error.errno:
        case errno.ELOOP | errno.EXDEV:
            return ToolDenied(
                f"{path!r}: leads through a symbolic link or out of the workspace; use the real path of a file in it",
                code="path_outside_root",
                param="args.path",
            )
        case errno.ENOENT:
            return TargetNotFound(
                f"{path!r}: there is no such file; dir_glob or fs_list show what there is", param="args.path"
            )
        case errno.ENOTDIR:
            return InvalidToolArguments(f"{path!r}: a part of it is a file, not a directory", param="args.path")
        case errno.EISDIR:
            return InvalidToolArguments(f"{path!r}: is a directory; fs_list shows what is in it", param="args.path")
        case errno.ENXIO | errno.ENODEV:
            return not_regular(path)
        case errno.ENOSYS:
            return ToolError(
                "the kernel has no openat2 (Linux 5.6), without which files are not safe", code="sandbox_unavailable"
            )
        case errno.EACCES | errno.EPERM:
            return ToolDenied(f"{path!r}: the operating system refuses: {error.strerror}", param="args.path")
        case _:
            return ToolError(f"{path!r}: {error.strerror}", param="args.path")


def not_regular(path: str) -> ToolError:
    """What is told of pipes, sockets and devices."""
    return InvalidToolArguments(f"{path!r}: is no regular file, so it is neither read nor written", param="args.path")


def kind_of(mode: int) -> str:
    """What a mode says something is: file, directory, link or other."""
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"
