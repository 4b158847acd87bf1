"""The trail of changes: every entry holds the hash of the one before, so that none can be altered unseen (K13)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from execution_platform import _json

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change: who did what to which thing, and the hash that ties it to its predecessor."""

    sequence: int
    at: str
    """UTC, RFC 3339."""
    actor: str
    tenant: str
    action: str
    subject: str
    detail: str
    """JSON text of what changed; never a secret."""
    before: str
    hash: str


def entry_hash(entry: Entry) -> str:
    """SHA-256 over the entry's members and its predecessor's hash, in a fixed form."""
    members = [
        entry.sequence,
        entry.at,
        entry.actor,
        entry.tenant,
        entry.action,
        entry.subject,
        entry.detail,
        entry.before,
    ]
    return hashlib.sha256(_json.dumps(members)).hexdigest()


def first_broken(entries: Iterable[Entry]) -> int | None:
    """The sequence number of the first entry that was altered, removed or put in; None when the chain holds.

    `entries` come in order of their sequence; the first may follow entries that retention has removed.
    """
    before: Entry | None = None
    for entry in entries:
        follows = before is None or (entry.before == before.hash and entry.sequence == before.sequence + 1)
        begins = before is not None or entry.sequence != 1 or entry.before == GENESIS
        if not (follows and begins and entry.hash == entry_hash(entry)):
            return entry.sequence
        before = entry
    return None
