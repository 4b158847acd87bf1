"""Entries of the audit trail that the database could not take: kept on disk, one file each, until it can.

A change made while the database was away has happened, so its entry must not be lost with the process. Entries are delivered
at least once, in their order, by one process of the workspace at a time; each says when it was made.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from execution_platform.identity.principal import Principal
from execution_platform.identity.trail import Details, Trail

_SUFFIX = ".json"


class Note(msgspec.Struct, frozen=True):
    """One change that has happened."""

    actor: str
    action: str
    kind: str
    identity: str
    details: dict[str, object]
    request_id: str
    noted_at: str


class PendingNotes:
    """The notes of one workspace. Methods that touch the disk are to be called in a thread."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made before there is something to keep."""
        self._folder = folder

    def keep(self, actor: str, action: str, kind: str, identity: str, *, details: Details, request_id: str) -> None:
        """Write a note down for good. Raises `OSError`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        note = Note(actor, action, kind, identity, dict(details), request_id, datetime.now(UTC).isoformat())
        name = f"{time.time_ns():020d}-{uuid.uuid4()}"
        beside = self._folder / f"{name}.new"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(note))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.rename(self._folder / f"{name}{_SUFFIX}")

    def waiting(self) -> list[Path]:
        """The notes that are kept, the oldest first."""
        return sorted(self._folder.glob(f"*{_SUFFIX}"))

    @contextmanager
    def _alone(self) -> "Generator[bool]":
        """Whether nobody else of this workspace delivers now."""
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    async def deliver(self, trail: Trail) -> int:
        """Enter everything that is kept; how many that were. Raises `DatabaseUnavailable`; then the rest is kept on."""
        if not self.waiting():
            return 0
        delivered = 0
        with self._alone() as is_alone:
            for path in self.waiting() if is_alone else ():
                note = msgspec.json.decode(path.read_bytes(), type=Note)
                await trail.note(
                    Principal(note.actor),
                    note.action,
                    note.kind,
                    note.identity,
                    details={**note.details, "noted_at": note.noted_at},
                    request_id=note.request_id,
                )
                path.unlink()
                delivered += 1
        return delivered
