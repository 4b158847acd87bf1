"""Which key a token is: from memory, one question for many, and never a wrong no."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import servers
from execution_platform.config.secret import Secret
from execution_platform.identity.directory import STALE_SECONDS, AuthBackendUnavailable, KeyDirectory
from execution_platform.identity.keys import Issued, key_for, new_key
from execution_platform.identity.principal import Principal
from execution_platform.identity.records import KeyRecord
from execution_platform.identity.scope import Scope
from execution_platform.identity.store import Draft, KeyStore
from execution_platform.storage.engine import DatabaseUnavailable, Storage
from identity.test_store import MASTER, Room
from storage.opened import opened


class Watched(KeyStore):
    """A store that counts what it is asked, and can be away."""

    def __init__(self, room: Room) -> None:
        super().__init__(room.storage, room.trail, room.pepper)
        self.asked = 0
        self.away = False
        self.read = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def find(self, identity: str, *, tenant: str | None = None) -> KeyRecord | None:
        self._count()
        found = await super().find(identity, tenant=tenant)
        self.read.set()
        if self.gate is not None:
            await self.gate.wait()
        return found

    async def revision(self) -> int:
        if self.away:
            raise DatabaseUnavailable("away")
        return await super().revision()

    async def changed_since(self, revision: int) -> list[KeyRecord]:
        if self.away:
            raise DatabaseUnavailable("away")
        return await super().changed_since(revision)

    def _count(self) -> None:
        self.asked += 1
        if self.away:
            raise DatabaseUnavailable("away")


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Replica:
    """One process's view of the keys."""

    def __init__(self, storage: Storage) -> None:
        self.room = Room(storage)
        self.store = Watched(self.room)
        self.clock = Clock()
        self.told: list[str] = []
        self.skew = timedelta()
        self.directory = KeyDirectory(
            self.store,
            self.room.pepper,
            foreign=self.told.append,
            clock=self.clock,
            wall=lambda: datetime.now(UTC) + self.skew,
        )

    async def issue(self) -> Issued:
        return (await self.room.keys.create(MASTER, Draft(name="web", tenant="default")))[1]


@asynccontextmanager
async def replicas(url: str, count: int = 1) -> AsyncIterator[list[Replica]]:
    async with opened(url) as storage:
        found = [Replica(storage) for _ in range(count)]
        for each in found:
            await each.directory.refresh()
        yield found


def token(issued: Issued) -> bytes:
    return issued.text.reveal().encode()


def test_a_thousand_requests_with_one_unknown_key_are_one_question(database_url: str) -> None:
    """R34."""

    async def run() -> None:
        async with replicas(database_url) as (here,):
            key = token(await here.issue())
            found = await asyncio.gather(*(here.directory.find(key) for _ in range(1000)))
            assert here.store.asked == 1
            assert {each.key_id for each in found if each is not None} == {key.split(b"-")[2].decode()}
            assert here.directory.known(key) == found[0]

    asyncio.run(run())


def test_what_is_no_key_of_ours_is_never_asked_for(database_url: str) -> None:
    """E1, E13: wrong keys of every kind are told from memory."""

    async def run() -> None:
        async with replicas(database_url) as (here,):
            key = await here.issue()
            assert await here.directory.find(token(key)) is not None
            asked = here.store.asked
            near = token(key)[:-1] + (b"A" if token(key)[-1:] != b"A" else b"B")
            made_up = [token(new_key(Secret("theirs"))) for _ in range(50)]
            for wrong in (b"x' OR (SELECT pg_sleep(8)) IS NOT NULL --", b"", near, token(key_for(key.id)), *made_up):
                assert await here.directory.find(wrong) is None
                assert here.directory.known(wrong) is None
            assert here.store.asked == asked

    asyncio.run(run())


def test_what_is_not_there_is_remembered_for_a_moment_and_found_once_it_is(database_url: str) -> None:
    async def run() -> None:
        async with replicas(database_url) as (here,):
            never = token(new_key(Secret("pepper")))
            assert [await here.directory.find(never) for _ in range(3)] == [None, None, None]
            assert here.store.asked == 1
            here.clock.now += 6
            assert await here.directory.find(never) is None
            assert here.store.asked == 2

    asyncio.run(run())


def test_a_change_on_one_replica_is_in_force_on_the_other_after_one_refresh(database_url: str) -> None:
    """K8."""

    async def run() -> None:
        async with replicas(database_url, 2) as (one, other):
            key = await one.issue()
            assert await other.directory.find(token(key)) is not None
            _, again = await one.room.keys.rotate(MASTER, key.id, timedelta(0))
            await other.directory.refresh()
            assert other.directory.known(token(key)) is None
            assert other.directory.known(token(again)) is not None
            await one.room.keys.revoke(MASTER, key.id)
            await other.directory.refresh()
            assert await other.directory.find(token(again)) is None

    asyncio.run(run())


def test_a_revocation_that_passes_a_look_up_on_its_way_is_not_missed(database_url: str) -> None:
    """K8."""

    async def run() -> None:
        async with replicas(database_url, 2) as (one, other):
            key = await one.issue()
            other.store.gate = asyncio.Event()
            asking = asyncio.create_task(other.directory.find(token(key)))
            await other.store.read.wait()
            await one.room.keys.revoke(MASTER, key.id)
            await other.directory.refresh()
            other.store.gate.set()
            assert await asking is None

    asyncio.run(run())


def test_without_the_database_known_keys_are_believed_for_ten_minutes_and_no_key_is_called_wrong(
    database_url: str,
) -> None:
    """E14."""

    async def run() -> None:
        async with replicas(database_url) as (here,):
            known, unknown = await here.issue(), await here.issue()
            assert await here.directory.find(token(known)) is not None
            await here.directory.refresh()
            here.store.away = True
            with pytest.raises(AuthBackendUnavailable) as refused:
                await here.directory.find(token(unknown))
            assert (refused.value.status, refused.value.code) == (503, "auth_backend_unavailable")
            assert refused.value.retry_after
            assert await here.directory.find(b"nonsense") is None
            here.clock.now += STALE_SECONDS - 1
            assert await here.directory.find(token(known)) is not None
            here.clock.now += 2
            assert here.directory.known(token(known)) is None
            with pytest.raises(AuthBackendUnavailable):
                await here.directory.find(token(known))
            here.store.away = False
            assert await here.directory.find(token(known)) is not None

    asyncio.run(run())


def test_whether_a_key_was_ever_issued_is_not_guessed_where_one_could_have_been(tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(f"sqlite:///{tmp_path / 'books.db'}") as storage:
            here = Replica(storage)
            here.store.away = True
            with pytest.raises(AuthBackendUnavailable):
                await here.directory.learn()
            assert here.directory.issued is None
            here.store.away = False
            await here.directory.learn()
            assert here.directory.issued is False

    asyncio.run(run())


def test_keys_under_another_pepper_are_told_to_the_operator(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as storage:
            theirs = Room(storage, Secret("other"))
            await theirs.keys.create(MASTER, Draft(name="web", tenant="default"))
            here = Replica(storage)
            await here.directory.refresh()
            assert len(here.told) == 1
            await here.directory.refresh()
            assert len(here.told) == 1

    asyncio.run(run())


def test_a_stopped_postgresql_is_no_wrong_key() -> None:
    """E14."""

    async def run(server: servers.Postgres) -> None:
        async with replicas(server.new_database()) as (here,):
            known, unknown = await here.issue(), await here.issue()
            found = await here.directory.find(token(known))
            server.stop()
            with pytest.raises(AuthBackendUnavailable):
                await here.directory.find(token(unknown))
            assert await here.directory.find(token(known)) == found
            server.start()
            second = await here.directory.find(token(unknown))
            assert isinstance(second, Principal)

    try:
        with servers.postgres() as server:
            asyncio.run(run(server))
    except servers.MissingServer as error:
        pytest.skip(str(error))


def test_when_a_key_was_used_is_written_down_for_many_at_once(database_url: str) -> None:
    """No request writes anything, and nobody has to read a key again because it was used."""

    async def run() -> None:
        async with replicas(database_url) as (here,):
            used, idle = await here.issue(), await here.issue()
            before = await here.store.revision()
            for _ in range(100):
                assert await here.directory.find(token(used))
                assert here.directory.known(token(used))
            await here.directory.note_use()
            found = await here.store.find(used.id)
            assert found is not None
            assert found.last_used_at is not None
            assert abs(found.last_used_at - datetime.now(UTC)) < timedelta(minutes=1)
            untouched = await here.store.find(idle.id)
            assert untouched is not None
            assert untouched.last_used_at is None
            assert await here.store.revision() == before

    asyncio.run(run())


def test_a_key_expires_by_the_clock_that_all_replicas_share(postgres_server: servers.Postgres) -> None:
    """R13: five minutes off in either direction, on a replica that has asked the database for the time."""

    async def run() -> None:
        async with replicas(postgres_server.new_database()) as (here,):
            soon = datetime.now(UTC) + timedelta(minutes=2)
            draft = Draft(name="web", tenant="default", scope=Scope(expires=soon))
            key = token((await here.room.keys.create(MASTER, draft))[1])
            here.skew = timedelta(minutes=5)
            assert await here.directory.find(key) is None, "by its own clock it is over"
            await here.directory.set_clock()
            assert await here.directory.find(key)
            here.skew = timedelta(minutes=-5)
            await here.directory.set_clock()
            assert await here.directory.find(key)

    asyncio.run(run())
