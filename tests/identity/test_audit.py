"""K13: one altered byte, and the chain names the entry."""

from dataclasses import replace

import pytest

from execution_platform.identity.audit import GENESIS, Entry, entry_hash, first_broken


def chain(length: int) -> list[Entry]:
    entries: list[Entry] = []
    before = GENESIS
    for number in range(1, length + 1):
        bare = Entry(
            sequence=number,
            at="2026-11-21T00:00:00Z",
            actor="master",
            tenant="default",
            action="key.create",
            subject=f"key-{number}",
            detail="{}",
            before=before,
            hash="",
        )
        entries.append(replace(bare, hash=entry_hash(bare)))
        before = entries[-1].hash
    return entries


def test_an_untouched_chain_holds():
    assert first_broken(chain(5)) is None
    assert first_broken([]) is None


@pytest.mark.parametrize("member", ["at", "actor", "tenant", "action", "subject", "detail", "before", "hash"])
def test_an_altered_entry_is_named(member: str):
    entries = chain(5)
    value = getattr(entries[2], member)
    entries[2] = replace(entries[2], **{member: value[:-1] + ("x" if value[-1] != "x" else "y")})
    assert first_broken(entries) == 3


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
    forged = replace(entries[0], before="1" * 64)
    entries[0] = replace(forged, hash=entry_hash(forged))
    assert first_broken(entries) == 1
