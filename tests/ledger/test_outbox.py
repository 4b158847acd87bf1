"""From the journal to the database: late perhaps, but each event, and once."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

import servers
from execution_platform.ledger.books import JournalLedger
from execution_platform.ledger.interfaces import Checkpoint, CostEvent, StorageUnavailable
from execution_platform.ledger.journal import lock_folder
from execution_platform.ledger.outbox import Outbox
from execution_platform.ledger.reading import Reader, all_events
from execution_platform.ledger.recovery import lost_settlement, recover
from execution_platform.ledger.store import EventStore
from execution_platform.storage.engine import DatabaseUnavailable, Storage
from execution_platform.storage.schema import cost_events
from ledger.entries import dispatch, settlement
from ledger.test_store import rolled, totals
from storage.opened import opened


@asynccontextmanager
async def ledger_in(folder: Path, **options: object) -> AsyncIterator[JournalLedger]:
    ledger = JournalLedger(folder, **options)  # type: ignore[arg-type]
    try:
        yield ledger
    finally:
        await ledger.close()


class Told:
    def __init__(self) -> None:
        self.names: list[str] = []
        self._events: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def __call__(self, name: str, reason: str) -> None:
        self.names.append(name)
        self._events[name].set()

    async def event(self, name: str) -> None:
        """Until it is told."""
        async with asyncio.timeout(20):
            await self._events[name].wait()


def outbox_of(ledger: JournalLedger, store: object, told: Told | None = None) -> Outbox:
    return Outbox(ledger.tail, store, tell=told or Told())  # type: ignore[arg-type]


async def rows(storage: Storage) -> list[dict[str, object]]:
    async with storage.read() as connection:
        found = await connection.execute(select(cost_events).order_by(cost_events.c.seq))
        return [dict(row) for row in found.mappings()]


def test_what_is_settled_is_stored_in_the_order_it_was_settled(tmp_path: Path, database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as storage, ledger_in(tmp_path / "journal") as ledger:
            outbox = outbox_of(ledger, EventStore(storage))
            for number in range(2500):
                ledger.dispatch(dispatch(number))
            for number in reversed(range(2500)):
                ledger.settle(settlement(number))
                ledger.settle(settlement(number, nanos=5))
            assert await outbox.deliver()
            assert outbox.is_level
            assert ledger.open == {}
            stored = await rows(storage)
            assert [row["id"] for row in stored] == [dispatch(number).id for number in reversed(range(2500))]
            assert {row["cost_nanos"] for row in stored} == {1000}

    asyncio.run(run())


class Unsure:
    """A database whose replies get lost: what it was told is stored, or not, and nobody says so."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.chance = random.Random(5)
        self.lost = 0

    async def apply(self, events: Sequence[CostEvent]) -> int:
        fate = self.chance.random()
        if fate < 0.3:
            self.lost += 1
            raise DatabaseUnavailable("the connection was cut before")
        stored = await self.store.apply(events)
        if fate < 0.6:
            self.lost += 1
            raise DatabaseUnavailable("the connection was cut after")
        return stored


def test_a_lost_reply_to_a_commit_neither_loses_nor_doubles(tmp_path: Path, database_url: str) -> None:
    """R10."""

    async def run() -> None:
        async with opened(database_url) as storage, ledger_in(tmp_path / "journal") as ledger:
            unsure = Unsure(EventStore(storage))
            told = Told()
            outbox = outbox_of(ledger, unsure, told)
            nanos = 0
            for number in range(500):
                ledger.dispatch(dispatch(number))
                ledger.settle(settlement(number, nanos=number))
                nanos += number
                if number % 5 == 0:
                    await outbox.deliver()
            while not await outbox.deliver():
                pass
            assert unsure.lost > 20
            assert (await totals(storage))["cost_nanos"] == nanos
            for grain in "hdm":
                assert (await rolled(storage, grain))["cost_nanos"] == nanos
            assert set(told.names) == {"ledger_blocked", "ledger_flowing"}

    asyncio.run(run())


def test_a_database_that_is_away_loses_nothing_and_is_found_again(tmp_path: Path) -> None:
    """R9: stopped, frozen, and started again."""

    async def run(server: servers.Postgres) -> None:
        async with opened(server.new_database()) as storage, ledger_in(tmp_path / "journal") as ledger:
            told = Told()
            outbox = outbox_of(ledger, EventStore(storage), told)

            def end(numbers: range) -> None:
                for number in numbers:
                    ledger.dispatch(dispatch(number))
                    ledger.settle(settlement(number, nanos=number))

            stopping = asyncio.Event()
            running = asyncio.create_task(outbox.run(stopping))
            end(range(100))
            assert await outbox.deliver()
            await asyncio.to_thread(server.stop)
            end(range(100, 200))
            await told.event("ledger_blocked")
            assert outbox.progress.delivered < 200
            assert outbox.lag_bytes > 0
            assert outbox.progress.failures
            await asyncio.to_thread(server.start)
            end(range(200, 300))
            await told.event("ledger_flowing")
            stopping.set()
            await running
            assert await outbox.deliver()
            assert outbox.is_level
            assert (await totals(storage))["events"] == 300
            assert (await rolled(storage, "d"))["cost_nanos"] == sum(range(300))

    with servers.postgres() as server:
        asyncio.run(run(server))


def test_a_full_journal_refuses_new_work_until_it_is_delivered(tmp_path: Path) -> None:
    """R9: the cap, and recovery without a restart."""

    async def run() -> None:
        url = f"sqlite:///{tmp_path / 'books.db'}"
        async with opened(url) as storage, ledger_in(tmp_path / "journal", cap_bytes=9 * 1024 * 1024) as ledger:
            outbox = outbox_of(ledger, EventStore(storage))
            number = 0
            with pytest.raises(StorageUnavailable) as refused:
                while True:
                    ledger.dispatch(dispatch(number))
                    ledger.settle(settlement(number))
                    number += 1
            assert refused.value.status == 503
            assert refused.value.retry_after
            assert not refused.value.failover
            assert ledger.refused == 1
            assert await outbox.deliver()
            await ledger.durable()
            outbox.mend()
            ledger.dispatch(dispatch(number))
            assert (await totals(storage))["events"] == number

    asyncio.run(run())


def test_what_a_dead_worker_left_is_stored_and_its_open_tries_are_estimated(tmp_path: Path, database_url: str) -> None:
    """R1: one event for each dispatch, from the last checkpoint or the prompt, and the folder is gone."""

    async def run() -> None:
        root = tmp_path / "journal"
        priced = {"input_tokens": 100, "input_rate": 2_500_000_000, "output_rate": 10_000_000_000}
        async with opened(database_url) as storage:
            async with ledger_in(root) as dead:
                dead.dispatch(dispatch(1))
                dead.settle(settlement(1))
                dead.dispatch(dispatch(2, **priced))
                dead.checkpoint(Checkpoint(dispatch(2).id, 256, 40))
                dead.dispatch(dispatch(3, **priced))
                dead.dispatch(dispatch(4, input_rate=-1, input_tokens=9))
                dead.dispatch(dispatch(5, attempt=1, request_id="req_x"))
                dead.dispatch(dispatch(6, attempt=2, request_id="req_x"))
            async with ledger_in(root) as alive:
                alive.dispatch(dispatch(7))
                recovered: list[str] = []

                async def told(worker: str) -> None:
                    recovered.append(worker)

                found = await recover(root, EventStore(storage), told)
                assert (found.folders, found.events, found.lost) == (1, 1, 5)
                assert recovered == [dead.worker]
                assert [path.name for path in root.iterdir()] == [alive.worker]
            stored = {row["id"]: row for row in await rows(storage)}
            two, three, four = (stored[dispatch(number).id] for number in (2, 3, 4))
            assert (two["status"], two["confidence"]) == ("lost", "estimated")
            assert (two["input_tokens"], two["output_tokens"]) == (40, 256)
            assert two["cost_nanos"] == 40 * 2500 + 256 * 10_000
            assert (three["input_tokens"], three["output_tokens"], three["cost_nanos"]) == (100, 0, 250_000)
            assert (four["confidence"], four["cost_nanos"]) == ("unpriced", 0)
            assert [stored[dispatch(number).id]["final"] for number in (5, 6)] == [False, True]
            again = await recover(root, EventStore(storage))
            assert again.events == 0

    asyncio.run(run())


def test_a_recovery_that_is_broken_off_is_done_again_without_doubling(tmp_path: Path, database_url: str) -> None:
    """R10, R38."""

    async def run() -> None:
        root = tmp_path / "journal"
        async with opened(database_url) as storage:
            async with ledger_in(root) as dead:
                for number in range(50):
                    dead.dispatch(dispatch(number))
                    if number % 2:
                        dead.settle(settlement(number))
            unsure = EventStore(storage)
            calls = 0
            real = unsure.apply

            async def sometimes(events: Sequence[CostEvent]) -> int:
                nonlocal calls
                stored = await real(events)
                calls += 1
                if calls < 3:
                    raise DatabaseUnavailable("the reply was lost")
                return stored

            unsure.apply = sometimes  # type: ignore[method-assign]
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable):
                    await recover(root, unsure)
                assert len(list(root.iterdir())) == 1
            await recover(root, unsure)
            assert list(root.iterdir()) == []
            assert (await totals(storage))["events"] == 50
            assert (await rolled(storage, "h"))["attempts"] == 50

    asyncio.run(run())


def test_two_processes_never_recover_the_same_folder_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        root = tmp_path / "journal"
        async with ledger_in(root) as dead:
            dead.dispatch(dispatch(1))
        held = lock_folder(root / dead.worker)
        assert held is not None
        async with opened(f"sqlite:///{tmp_path / 'books.db'}") as storage:
            found = await recover(root, EventStore(storage))
        assert found.folders == 0
        assert (root / dead.worker).exists()

    asyncio.run(run())


def test_waiting_for_the_disk_is_shared(tmp_path: Path) -> None:
    """A dispatch that must survive a power failure waits for one write together with the others."""

    async def run() -> None:
        async with ledger_in(tmp_path / "journal", durability="disk") as ledger:
            assert ledger.waits
            syncs = 0
            sync = ledger.journal.sync

            def counted() -> None:
                nonlocal syncs
                syncs += 1
                sync()

            ledger.journal.sync = counted  # type: ignore[method-assign]

            async def one(number: int) -> None:
                ledger.dispatch(dispatch(number))
                await ledger.durable()

            await asyncio.gather(*(one(number) for number in range(200)))
            assert syncs <= 3

    asyncio.run(run())


def test_a_disk_that_does_not_take_what_is_written_stops_new_work(tmp_path: Path) -> None:
    """R12."""

    async def run() -> None:
        async with ledger_in(tmp_path / "journal", durability="disk") as ledger:

            def broken() -> None:
                raise OSError(5, "Input/output error")

            sync, ledger.journal.sync = ledger.journal.sync, broken  # type: ignore[method-assign]
            ledger.dispatch(dispatch(1))
            with pytest.raises(StorageUnavailable):
                await ledger.durable()
            with pytest.raises(StorageUnavailable):
                ledger.dispatch(dispatch(2))
            ledger.settle(settlement(1))
            ledger.journal.sync = sync  # type: ignore[method-assign]
            assert ledger.journal.recover()
            ledger.dispatch(dispatch(3))
            await ledger.durable()

    asyncio.run(run())


class Fussy:
    """A database that takes so many batches and no more."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.taken: list[str] = []

    async def apply(self, events: Sequence[CostEvent]) -> int:
        if not self.takes:
            raise DatabaseUnavailable("away")
        self.takes -= 1
        self.taken += [event.id for event in events]
        return len(events)


class Busy:
    """A database that takes its time: another request ends meanwhile."""

    def __init__(self, ledger: JournalLedger) -> None:
        self.ledger = ledger
        self.batches: list[list[str]] = []

    async def apply(self, events: Sequence[CostEvent]) -> int:
        number = 100 + len(self.batches)
        self.ledger.dispatch(dispatch(number))
        self.ledger.settle(settlement(number))
        self.batches.append([event.id for event in events])
        return len(events)


def test_what_ends_while_a_batch_is_stored_waits_for_the_next_time(tmp_path: Path) -> None:
    """A transaction costs as much as some hundred requests, so a busy worker does not begin one for each few."""

    async def run() -> None:
        ledger = JournalLedger(tmp_path / "journal")
        busy = Busy(ledger)
        outbox = outbox_of(ledger, busy)
        for number in range(3):
            ledger.dispatch(dispatch(number))
            ledger.settle(settlement(number))
        assert await outbox.deliver()
        assert busy.batches == [[dispatch(number).id for number in range(3)]]
        assert not outbox.is_level
        assert await outbox.deliver()
        assert busy.batches[1:] == [[dispatch(100).id]]
        await ledger.close()

    asyncio.run(run())


def test_a_place_is_noted_when_all_of_it_is_stored_and_not_its_first_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R38: the process dies between two batches; whoever reads its journal finds what the second one held."""
    monkeypatch.setattr("execution_platform.ledger.outbox._BATCH", 2)

    async def run() -> None:
        store = Fussy(1)
        ledger = JournalLedger(tmp_path / "journal")
        outbox = outbox_of(ledger, store)
        for number in range(5):
            ledger.dispatch(dispatch(number))
            ledger.settle(settlement(number))
        assert not await outbox.deliver()
        assert store.taken == [dispatch(number).id for number in range(2)]
        await ledger.close()
        reader = Reader(ledger.journal.folder)
        reader.skip_stored()
        left = [event.id for step in all_events(reader) for event in step]
        assert {dispatch(number).id for number in range(2, 5)} <= set(left)

    asyncio.run(run())


def test_a_disk_that_fails_behind_the_requests_stops_new_work_too(tmp_path: Path) -> None:
    """R12: under `process` durability nobody waits for the disk, and the next request is refused all the same."""

    async def run() -> None:
        async with ledger_in(tmp_path / "journal", durability="process") as ledger:

            def broken() -> None:
                raise OSError(5, "Input/output error")

            sync, ledger.journal.sync = ledger.journal.sync, broken  # type: ignore[method-assign]
            ledger.dispatch(dispatch(1))
            async with asyncio.timeout(10):
                while not ledger.journal.full:
                    await asyncio.sleep(0)
            with pytest.raises(StorageUnavailable):
                ledger.dispatch(dispatch(2))
            ledger.settle(settlement(1))
            ledger.journal.sync = sync  # type: ignore[method-assign]

    asyncio.run(run())


def test_ids_of_a_worker_are_uuids_and_never_the_same(tmp_path: Path) -> None:
    import uuid

    async def run() -> None:
        async with ledger_in(tmp_path / "a") as one, ledger_in(tmp_path / "a") as two:
            ids = [ledger.new_id() for ledger in (one, two) for _ in range(1000)]
            assert len(set(ids)) == 2000
            assert {uuid.UUID(each).version for each in ids} == {8}
            assert {uuid.UUID(each).variant for each in ids} == {uuid.RFC_4122}

    asyncio.run(run())


def test_an_estimate_is_rounded_up_and_never_free_when_a_price_is_known() -> None:
    """B6."""
    lost = lost_settlement(dispatch(1, input_tokens=1, input_rate=20_000_000, output_rate=0), None, final=True)
    assert (lost.cost_nanos, lost.confidence) == (20, "estimated")
    tiny = lost_settlement(dispatch(1, input_tokens=1, input_rate=1, output_rate=0), None, final=True)
    assert tiny.cost_nanos == 1
