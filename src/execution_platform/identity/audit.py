"""The trail of changes: every entry holds the hash of the one before, so that none can be altered unseen (K13)."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from execution_platform import _json

GENESIS = b"\0" * 32
"""What the first entry follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change: who did what to which thing, and the hash that ties it to its predecessor."""

    position: int
    """Number in the chain, from 1, without gaps."""
    timestamp: datetime
    actor: str
    tenant: str
    action: str
    object_kind: str
    object_id: str
    details: Mapping[str, object] = field(default_factory=dict[str, object])
    """What changed, one level deep; never a secret."""
    request_id: str = ""
    previous_hash: bytes = GENESIS
    hash: bytes = b""


def entry_hash(entry: Entry) -> bytes:
    """SHA-256 over the entry's members and its predecessor's hash, in a fixed form (databases reorder JSON)."""
    members = [
        entry.position,
        entry.timestamp.isoformat(),
        entry.actor,
        entry.tenant,
        entry.action,
        entry.object_kind,
        entry.object_id,
        sorted(entry.details.items()),
        entry.request_id,
        entry.previous_hash.hex(),
    ]
    return hashlib.sha256(_json.dumps(members)).digest()


def first_broken(entries: Iterable[Entry]) -> int | None:
    """The position of the first entry that was altered, removed or put in; None when the chain holds.

    `entries` come in order of their positions; the first may follow entries that retention has removed.
    """
    before: Entry | None = None
    for entry in entries:
        if before is None:
            follows = entry.position != 1 or entry.previous_hash == GENESIS
        else:
            follows = entry.previous_hash == before.hash and entry.position == before.position + 1
        if not follows or entry.hash != entry_hash(entry):
            return entry.position
        before = entry
    return None
