"""K13: one altered byte, and the chain names the entry."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from execution_platform.identity.audit import GENESIS, Entry, entry_hash, first_broken

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def chain(length: int) -> list[Entry]:
    entries: list[Entry] = []
    before = GENESIS
    for number in range(1, length + 1):
        bare = Entry(
            position=number,
            timestamp=NOW + timedelta(seconds=number),
            actor="master",
            tenant="default",
            action="key.create",
            object_kind="gateway_key",
            object_id=f"key-{number}",
            details={"name": "web", "changed": ["scopes"]},
            request_id="r1",
            previous_hash=before,
        )
        entries.append(replace(bare, hash=entry_hash(bare)))
        before = entries[-1].hash
    return entries


def test_an_untouched_chain_holds():
    assert first_broken(chain(5)) is None
    assert first_broken([]) is None


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("timestamp", NOW),
        ("actor", "mastes"),
        ("tenant", ""),
        ("action", "key.revoke"),
        ("object_kind", "tenant"),
        ("object_id", "key-4"),
        ("details", {"name": "web", "changed": ["role"]}),
        ("request_id", "r2"),
        ("previous_hash", GENESIS),
        ("hash", b"\1" * 32),
    ],
)
def test_an_altered_entry_is_named(member: str, value: object):
    entries = chain(5)
    entries[2] = replace(entries[2], **{member: value})
    assert first_broken(entries) == 3


def test_the_order_of_an_objects_members_is_no_alteration():
    entries = chain(1)
    turned = dict(reversed(entries[0].details.items()))
    assert first_broken([replace(entries[0], details=turned)]) is None


def test_a_removed_entry_is_seen():
    entries = chain(5)
    del entries[2]
    assert first_broken(entries) == 4


def test_an_entry_written_anew_is_seen_by_the_next():
    entries = chain(5)
    changed = replace(entries[2], actor="mallory")
    entries[2] = replace(changed, hash=entry_hash(changed))
    assert first_broken(entries) == 4


def test_a_chain_whose_old_end_was_removed_still_holds():
    assert first_broken(chain(5)[2:]) is None


def test_a_forged_beginning_is_seen():
    entries = chain(2)
    forged = replace(entries[0], previous_hash=b"1" * 32)
    entries[0] = replace(forged, hash=entry_hash(forged))
    assert first_broken(entries) == 1
