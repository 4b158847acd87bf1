"""Watches the files of the configuration, those that do not exist yet included.

The folders are watched, not the files: editors, `mv` and the symbolic links of Kubernetes' ConfigMaps put another file in
the place of the old one. Whatever happens in a folder, only a change of size, time or identity of a watched file counts.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] - one of its parameters is loosely typed

Marks = tuple[tuple[int, int, int] | None, ...]
_STEP_MS = 100
"""A change counts once nothing more has happened for this long."""
_LOOK_MS = 1000
"""The files are looked at this often even when nothing is notified: network file systems are silent."""


class FileWatch:
    """Calls `changed` after one of `files` has changed. `run` goes on until it is cancelled."""

    def __init__(self, files: Sequence[Path], changed: Callable[[], Awaitable[None]]) -> None:
        self._files = files
        self._changed = changed
        self._marks = _marks(files)

    async def run(self) -> None:
        """Watch by the system's notifications, by polling where there are none. Raises `OSError` when neither works."""
        polling = False
        while True:
            folders = _folders(self._files)
            try:
                await self._watch(folders, polling=polling)
            except OSError:
                if polling:
                    raise
                polling = True

    async def _watch(self, folders: Sequence[Path], *, polling: bool) -> None:
        """Returns when a folder has come or gone, so that the others have to be watched anew."""
        changes = awatch(
            *folders,
            watch_filter=None,
            recursive=False,
            step=_STEP_MS,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            force_polling=polling,
        )
        async with aclosing(changes):
            async for _ in changes:
                await self._look()
                if _folders(self._files) != folders:
                    return

    async def _look(self) -> None:
        marks = _marks(self._files)
        if marks != self._marks:
            self._marks = marks
            await self._changed()


def _folders(files: Sequence[Path]) -> tuple[Path, ...]:
    """The folders the files are in, and those of what they are links to."""
    found: dict[Path, None] = {}
    for file in files:
        for folder in (file.parent, file.resolve().parent):
            if folder.is_dir():
                found[folder] = None
    return tuple(found)


def _marks(files: Sequence[Path]) -> Marks:
    return tuple(_mark(file) for file in files)


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
