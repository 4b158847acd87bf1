"""The end of a journal: from memory, or from disk when memory is full; either way everything once, in order."""

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from execution_platform.ledger.books import JournalLedger
from execution_platform.ledger.interfaces import CostEvent
from execution_platform.ledger.reading import Reader, all_events, keep_place
from execution_platform.ledger.tail import Tail
from ledger.entries import dispatch, settlement


def end(ledger: JournalLedger, *numbers: int) -> None:
    """So many tries begin and end."""
    for number in numbers:
        ledger.dispatch(dispatch(number))
        ledger.settle(settlement(number))


def unreadable(ledger: JournalLedger) -> None:
    """What is on disk cannot be read any more."""
    for path in ledger.journal.folder.glob("*.log"):
        path.write_bytes(bytes(path.stat().st_size))


ACTIONS = st.lists(st.sampled_from(["begin", "begin", "end", "end", "take"]), max_size=80)


@given(ACTIONS, st.integers(0, 6))
def test_every_event_is_taken_once_and_in_order(actions: list[str], kept: int) -> None:
    """R9, R10: whatever fits into memory."""
    import tempfile

    async def run(folder: Path) -> None:
        ledger = JournalLedger(folder)
        tail = ledger.tail = Tail(ledger.journal, ledger.open, kept=kept)
        running: list[int] = []
        ended: list[str] = []
        taken: list[CostEvent] = []
        number = 0
        for action in [*actions, "take"]:
            if action == "begin":
                number += 1
                running.append(number)
                ledger.dispatch(dispatch(number))
            elif action == "end" and running:
                chosen = running.pop(len(running) // 2)
                ended.append(dispatch(chosen).id)
                ledger.settle(settlement(chosen))
            elif action == "take":
                taken += (await tail.take()).events
        while (gained := await tail.take()).events:
            taken += gained.events
        assert [event.id for event in taken] == ended
        keep_place(ledger.journal.folder, gained.place)
        await ledger.close()
        reader = Reader(ledger.journal.folder)
        reader.skip_stored()
        assert list(all_events(reader)) == []
        assert set(reader.open) == {dispatch(each).id for each in running}

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(run(Path(name)))


def test_a_place_is_stored_only_when_all_before_it_is(tmp_path: Path) -> None:
    """R38: the process dies between two batches of what memory could not hold."""

    async def run() -> None:
        ledger = JournalLedger(tmp_path)
        tail = ledger.tail = Tail(ledger.journal, ledger.open, kept=3)
        end(ledger, *range(10))
        first = await tail.take()
        assert [event.id for event in first.events] == [dispatch(number).id for number in range(3)]
        keep_place(ledger.journal.folder, first.place)
        await ledger.close()
        reader = Reader(ledger.journal.folder)
        reader.skip_stored()
        left = [event.id for step in all_events(reader) for event in step]
        assert left == [dispatch(number).id for number in range(3, 10)]

    asyncio.run(run())


def test_memory_is_enough_again_once_the_journal_is_read(tmp_path: Path) -> None:
    async def run() -> None:
        ledger = JournalLedger(tmp_path)
        tail = ledger.tail = Tail(ledger.journal, ledger.open, kept=2)
        end(ledger, *range(5))
        while (await tail.take()).events:
            pass
        end(ledger, 7)
        unreadable(ledger)
        assert [event.id for event in (await tail.take()).events] == [dispatch(7).id]
        await ledger.close()

    asyncio.run(run())


def test_memory_takes_over_though_the_worker_writes_on(tmp_path: Path) -> None:
    """A worker that is never idle does not read its journal for ever."""

    async def run() -> None:
        ledger = JournalLedger(tmp_path)
        tail = ledger.tail = Tail(ledger.journal, ledger.open, kept=2)
        end(ledger, *range(5))
        for number in range(5, 9):
            await tail.take()
            end(ledger, number)
        unreadable(ledger)
        assert [event.id for event in (await tail.take()).events] == [dispatch(8).id]
        await ledger.close()

    asyncio.run(run())
