"""The journal: what is written is found again, whatever happens to the process or the disk."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution_platform.ledger.frames import HEADER, frame, records
from execution_platform.ledger.interfaces import Checkpoint, Dispatch
from execution_platform.ledger.journal import Journal, JournalFull, lock_folder
from execution_platform.ledger.reading import Reader, all_events, keep_place, segments
from ledger.entries import dispatch, settlement

encode = msgspec.msgpack.Encoder().encode


def nothing() -> Iterable[bytes]:
    return ()


def journal(folder: Path, carry: object = nothing, **sizes: int) -> Journal:
    given = {"reserve_bytes": 4096, **sizes}
    return Journal(folder, carry=carry, **given)  # type: ignore[arg-type]


payloads = st.lists(st.binary(min_size=1, max_size=300), max_size=20)


@given(payloads)
def test_what_was_framed_is_read(written: list[bytes]) -> None:
    data = b"".join(map(frame, written))
    assert [record.payload for record in records(data)] == written


@given(payloads, st.data())
def test_a_torn_tail_is_dropped_and_nothing_else(written: list[bytes], data: st.DataObject) -> None:
    """R1: the last record cut anywhere leaves all before it."""
    whole = b"".join(map(frame, written))
    cut = data.draw(st.integers(0, len(whole)))
    read = [record.payload for record in records(whole[:cut])]
    assert read == written[: len(read)]
    assert sum(len(frame(each)) for each in written[: len(read) + 1]) > cut or len(read) == len(written)


@given(st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=60))
def test_what_a_torn_record_holds_is_no_record(forged: bytes, rest: bytes) -> None:
    """R1: whoever can put a whole record into the text of another one gains nothing when that is cut off behind it."""
    outer = frame(frame(forged) + rest)
    assert list(records(outer[: -len(rest)])) == []
    assert [record.payload for record in records(outer)] == [frame(forged) + rest]


@given(st.lists(st.binary(min_size=8, max_size=60), min_size=3, max_size=8), st.data())
def test_a_damaged_record_costs_no_other(written: list[bytes], data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(written) - 2))
    framed = [bytearray(frame(each)) for each in written]
    framed[which][-1] ^= 0xFF
    read = [record.payload for record in records(b"".join(framed))]
    assert [each for number, each in enumerate(written) if number != which] == read


def test_a_damaged_length_costs_no_other_record(tmp_path: Path) -> None:
    made = journal(tmp_path / "w")
    for number in range(3):
        made.append(encode(dispatch(number)))
        made.append(encode(settlement(number)))
    made.close()
    path = tmp_path / "w" / "00000001.log"
    data = bytearray(path.read_bytes())
    data[len(HEADER)] = 0xFF  # the first record seems longer than the file
    data[len(HEADER) + 1] = 0xFF
    path.write_bytes(data)
    events = [event for step in all_events(Reader(tmp_path / "w")) for event in step]
    assert [event.dispatch.account.request_id for event in events] == ["req_1", "req_2"]


def test_space_that_was_allocated_and_never_written_ends_a_segment() -> None:
    assert [record.payload for record in records(frame(b"one") + bytes(10_000_000))] == [b"one"]


def test_a_living_worker_keeps_others_out(tmp_path: Path) -> None:
    made = journal(tmp_path / "w")
    assert lock_folder(tmp_path / "w") is None
    made.close()
    taken = lock_folder(tmp_path / "w")
    assert taken is not None
    os.close(taken)


def test_a_dispatch_and_its_settlement_make_one_event(tmp_path: Path) -> None:
    made = journal(tmp_path / "w")
    made.append(encode(dispatch(1)))
    reader = Reader(tmp_path / "w")
    assert reader.read(made.number, made.size) == []
    assert list(reader.open) == [dispatch(1).id]
    made.append_always(encode(settlement(1)))
    made.append_always(encode(settlement(1, nanos=7)))
    (event,) = reader.read(made.number, made.size)
    assert event.settlement == settlement(1)
    assert reader.read(made.number, made.size) == []
    assert reader.open == {}
    made.close()


def test_what_is_open_is_carried_into_the_next_segment(tmp_path: Path) -> None:
    open_tries: dict[str, Dispatch] = {}
    made = journal(tmp_path / "w", lambda: [encode(each) for each in open_tries.values()], segment_bytes=1000)
    long_lived = dispatch(999)
    made.append(encode(long_lived))
    open_tries[long_lived.id] = long_lived
    reader = Reader(tmp_path / "w")
    for number in range(50):
        made.append(encode(dispatch(number)))
        made.append_always(encode(settlement(number)))
        reader.read(made.number, made.size)
        for finished in made.finished:
            made.delete(finished)
    assert made.number > 5
    assert segments(tmp_path / "w") == [made.number]
    assert made.stored == 0
    fresh = Reader(tmp_path / "w")
    list(all_events(fresh))
    assert long_lived.id in fresh.open
    made.close()


def test_the_place_that_is_kept_is_where_reading_goes_on(tmp_path: Path) -> None:
    made = journal(tmp_path / "w", segment_bytes=2000)
    for number in range(10):
        made.append(encode(dispatch(number)))
    made.append(encode(Checkpoint(dispatch(3).id, 40)))
    for number in range(3):
        made.append_always(encode(settlement(number)))
    reader = Reader(tmp_path / "w")
    assert len(reader.read(made.number, made.size)) == 3
    keep_place(tmp_path / "w", reader.place)
    made.append_always(encode(settlement(4)))
    made.close()
    fresh = Reader(tmp_path / "w")
    fresh.skip_stored()
    events = [event for step in all_events(fresh) for event in step]
    assert [event.id for event in events] == [dispatch(4).id]
    assert set(fresh.open) == {dispatch(number).id for number in (3, 5, 6, 7, 8, 9)}
    assert fresh.progress[dispatch(3).id].output_tokens == 40


def test_the_cap_refuses_new_work_and_lets_running_work_end(tmp_path: Path) -> None:
    """R9: a database that is away for long fills the journal up to its cap, and not the disk."""
    made = journal(tmp_path / "w", segment_bytes=1000, cap_bytes=4000)
    number = 0
    with pytest.raises(JournalFull):
        for number in range(1000):
            made.append(encode(dispatch(number)))
    assert made.held <= 5000
    made.append_always(encode(settlement(0)))
    assert made.unwritten == []
    assert not made.recover()
    for finished in made.finished:
        made.delete(finished)
    assert made.recover()
    made.append(encode(dispatch(number)))
    made.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterable[Path]:
    import subprocess

    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # a test that failed still has files open


def test_a_full_disk_refuses_new_work_before_it_leaves_and_loses_no_running_work(small_disk: Path) -> None:
    """R12."""
    open_tries: dict[str, Dispatch] = {}
    made = journal(
        small_disk / "w",
        lambda: [encode(each) for each in open_tries.values()],
        segment_bytes=100_000,
        reserve_bytes=200_000,
    )
    started = 0
    with pytest.raises(JournalFull):
        for number in range(100_000):
            made.append(encode(dispatch(number)))
            open_tries[dispatch(number).id] = dispatch(number)
            started = number + 1
            if number % 3:
                made.append_always(encode(settlement(number)))
                del open_tries[dispatch(number).id]
    assert made.full
    for number in range(0, started, 3):
        made.append_always(encode(settlement(number)))
        open_tries.pop(dispatch(number).id)
    assert made.unwritten == []
    assert not made.recover()
    reader = Reader(small_disk / "w")
    ids: list[str] = []
    while events := reader.read(made.number, made.size):
        ids += [event.id for event in events]
    assert sorted(ids) == [dispatch(number).id for number in range(started)]
    for finished in made.finished:
        made.delete(finished)
    made.sync()
    assert made.recover()
    made.append(encode(dispatch(started)))
    made.close()
    again = Reader(small_disk / "w")
    left = [event.id for step in all_events(again) for event in step]
    assert dispatch(started).id in again.open
    assert set(left) <= set(ids)
