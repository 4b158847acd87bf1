"""Keys, tenants and their trail in the database, on both kinds of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

import servers
from execution_platform.config.secret import Secret
from execution_platform.exceptions import ExecutionPlatformError, PermissionDenied, RouterError
from execution_platform.identity.pepper import Pepper
from execution_platform.identity.principal import ROLES, Principal
from execution_platform.identity.records import KeyRecord
from execution_platform.identity.scope import Scope, wider
from execution_platform.identity.store import Amendment, Conflict, Draft, KeyStore
from execution_platform.identity.tenants import Tenant, TenantStore
from execution_platform.identity.trail import Trail
from execution_platform.storage.address import address
from execution_platform.storage.engine import Storage
from execution_platform.storage.migrations import prepare
from execution_platform.storage.schema import audit_log, cost_rollups, gateway_keys, metadata, tenants
from execution_platform.storage.schema.walls import TENANT_COLUMNS
from storage.opened import opened

NOW = datetime(2026, 11, 21, tzinfo=UTC)
MASTER = Principal("master", role="admin")


async def ready() -> None:
    """The tables are there."""


class Room:
    """Everything of the room over one storage."""

    def __init__(self, storage: Storage, pepper: Secret | None = None) -> None:
        self.storage = storage
        self.pepper = Pepper(pepper or Secret("pepper"), None, Path())
        self.trail = Trail(storage, ready)
        self.keys = KeyStore(storage, self.trail, self.pepper)
        self.tenants = TenantStore(storage, self.trail, self.keys)

    async def tenant(self, name: str) -> None:
        await self.tenants.create(MASTER, Tenant(id=name, created_at=NOW))

    async def key(self, tenant: str = "default", actor: Principal = MASTER, **fields: Any) -> KeyRecord:
        record, _ = await self.keys.create(actor, Draft(name="web", tenant=tenant, **fields))
        return record


@asynccontextmanager
async def room(url: str) -> AsyncIterator[Room]:
    async with opened(url) as storage:
        yield Room(storage)


def test_every_change_has_its_entry_and_the_chain_holds(database_url: str) -> None:
    """K13."""

    async def run() -> None:
        async with room(database_url) as here:
            await here.tenant("acme")
            key = await here.key("acme", team="web", scope=Scope(models=frozenset({"openai"})))
            await here.keys.amend(MASTER, key.id, Amendment(name="site"))
            await here.keys.rotate(MASTER, key.id, timedelta(hours=1))
            await here.tenants.disable(MASTER, "acme")
            entries = await here.trail.entries(tenant=None, before=0, limit=100)
            assert [(entry.position, entry.action, entry.object_id) for entry in reversed(entries)] == [
                (1, "tenant.create", "acme"),
                (2, "key.create", key.id),
                (3, "key.change", key.id),
                (4, "key.rotate", key.id),
                (5, "tenant.disable", "acme"),
                (6, "key.revoke", key.id),
            ]
            assert await here.trail.verify() == (6, None)

    asyncio.run(run())


def test_a_change_that_is_refused_leaves_no_entry(database_url: str) -> None:
    async def run() -> None:
        async with room(database_url) as here:
            with pytest.raises(RouterError):
                await here.key("nobody")
            with pytest.raises(RouterError):
                await here.keys.revoke(MASTER, "nothing")
            assert await here.trail.verify() == (0, None)
            assert await here.keys.revision() == 0

    asyncio.run(run())


def test_concurrent_changes_get_their_numbers_one_behind_the_other(database_url: str) -> None:
    async def run() -> None:
        async with room(database_url) as here:
            made = await asyncio.gather(*(here.key() for _ in range(12)))
            found = await here.keys.changed_since(0)
            assert [record.revision for record in found] == list(range(1, 13))
            assert {record.id for record in found} == {record.id for record in made}
            assert await here.trail.verify() == (12, None)

    asyncio.run(run())


@pytest.mark.parametrize("change", ["UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"])
def test_the_trail_refuses_every_change_of_what_is_written(change: str, database_url: str) -> None:
    """K13."""
    if change.startswith("TRUNCATE") and database_url.startswith("sqlite"):
        pytest.skip("SQLite has no TRUNCATE")

    async def run() -> None:
        async with room(database_url) as here:
            await here.key()
            # On SQLite a trigger's refusal is an IntegrityError, on PostgreSQL one of privileges.
            with pytest.raises((DBAPIError, ExecutionPlatformError), match="permission denied"):
                async with here.storage.write() as connection:
                    await connection.execute(text(change))
            assert await here.trail.verify() == (1, None)

    asyncio.run(run())


def test_a_flipped_byte_in_the_database_is_named(database_url: str) -> None:
    """K13: whoever owns the database can take the trigger away, and is still seen."""

    async def run() -> None:
        async with room(database_url) as here:
            for _ in range(5):
                await here.key()
            postgresql = here.storage.is_postgresql
            drop = (
                "DROP TRIGGER audit_log_append_only ON audit_log" if postgresql else "DROP TRIGGER audit_log_no_update"
            )
            async with here.storage.write() as connection:
                await connection.execute(text(drop))
                await connection.execute(update(audit_log).where(audit_log.c.position == 3).values(actor="mastes"))
            assert (await here.trail.verify())[1] == 3

    asyncio.run(run())


def test_a_key_of_another_tenant_is_missing_in_the_same_words(database_url: str) -> None:
    """K4."""

    async def run() -> None:
        async with room(database_url) as here:
            await here.tenant("a")
            await here.tenant("b")
            of_a = await here.key("a")
            owner = (await here.key("b", role="owner")).principal()
            assert await here.keys.find(of_a.id, tenant="b") is None
            assert [key.tenant for key in await here.keys.page("b", "", 10)] == ["b"]
            told: set[str] = set()
            for identity in (of_a.id, "a" * 15):
                for change in (
                    here.keys.revoke(owner, identity),
                    here.keys.amend(owner, identity, Amendment(name="x")),
                    here.keys.rotate(owner, identity, timedelta()),
                ):
                    with pytest.raises(RouterError) as refused:
                        await change
                    told.add(str(refused.value))
            assert len(told) == 1

    asyncio.run(run())


scopes = st.builds(
    Scope,
    models=st.none() | st.frozensets(st.sampled_from(["openai", "openai/gpt-4o", "gemini"]), max_size=2),
    tools=st.none() | st.frozensets(st.sampled_from(["fs_read", "exec_cmd"]), max_size=2),
    budgets=st.none() | st.dictionaries(st.sampled_from(["daily", "monthly"]), st.integers(0, 3), max_size=2),
)
steps = st.lists(
    st.tuples(st.sampled_from(["create", "amend", "revoke"]), st.integers(0, 20), scopes, st.sampled_from(ROLES)),
    max_size=12,
)


@given(steps)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_asked_no_living_key_is_wider_than_the_one_that_made_it(tmp_path: Path, asked: Any) -> None:
    """K3: creations, changes and revocations in any order, to any depth."""

    async def run() -> None:
        base = tmp_path / f"{abs(hash(str(asked)))}.db"
        base.unlink(missing_ok=True)
        async with room(f"sqlite:///{base}") as here:
            known = [await here.key(role="owner")]
            for action, place, scope, role in asked:
                actor = known[place % len(known)]
                current = await here.keys.find(actor.id)
                assert current is not None
                if current.revoked_at is not None:
                    continue
                target = known[(place * 7) % len(known)].id
                try:
                    if action == "create":
                        known.append(await here.key(actor=current.principal(), scope=scope, role=role))
                    elif action == "amend":
                        await here.keys.amend(current.principal(), target, Amendment(scope=scope))
                    else:
                        await here.keys.revoke(current.principal(), target)
                except (PermissionDenied, Conflict):
                    pass
                kept = {record.id: record for record in await here.keys.changed_since(0)}
                for record in kept.values():
                    if record.revoked_at is None and record.parent_id is not None:
                        parent = kept[record.parent_id]
                        assert parent.revoked_at is None
                        assert wider(parent.scope, record.scope) == []
                        assert parent.principal().outranks(record.role)
                        assert parent.tenant == record.tenant

    asyncio.run(run())


def test_the_database_keeps_tenants_apart_without_any_filter(postgres_server: servers.Postgres) -> None:
    """K4: row-level security alone, under a role that is no superuser and owns the tables."""
    url = postgres_server.new_database()
    database = url.rpartition("/")[2]
    role = f"app_{database}"
    postgres_server.execute(f"CREATE ROLE {role} LOGIN")
    postgres_server.execute(f"GRANT ALL ON SCHEMA public TO {role}", database)

    async def run() -> None:
        storage = Storage(address(Secret(url.replace("postgres@", f"{role}@")), Path()))
        await prepare(storage)
        here = Room(storage)
        for name in ("a", "b"):
            await here.tenant(name)
            await here.key(name)
        for table in (gateway_keys, audit_log, tenants):
            column = table.c[TENANT_COLUMNS[table.name]]
            async with storage.read("b") as connection:
                assert {row[0] for row in await connection.execute(select(column))} == {"b"}, table.name
            async with storage.read("c") as connection:
                assert (await connection.execute(select(column))).all() == [], table.name
            async with storage.read() as connection:
                assert {row[0] for row in await connection.execute(select(column))} >= {"a", "b"}
        async with storage.write("b") as connection:
            changed = await connection.execute(update(gateway_keys).values(team="stolen"))
            assert changed.rowcount == 1
        with pytest.raises(DBAPIError, match="row-level security"):
            async with storage.write("b") as connection:
                await connection.execute(tenants.insert().values(id="c", created_at=NOW))
        await storage.close()

    asyncio.run(run())


def test_every_table_with_a_tenant_has_a_wall() -> None:
    """K4."""
    named = {table.name for table in metadata.tables.values() if "tenant" in table.c} | {"tenants"}
    assert named == TENANT_COLUMNS.keys()
    assert cost_rollups.name in TENANT_COLUMNS


def test_an_empty_tenant_is_no_tenant(database_url: str) -> None:
    async def run() -> None:
        async with opened(database_url) as storage:
            with pytest.raises(ValueError, match="tenant"):
                async with storage.read(""):
                    pass

    asyncio.run(run())


def test_the_database_holds_no_key(database_url: str) -> None:
    """K9."""

    async def run() -> None:
        async with room(database_url) as here:
            _, issued = await here.keys.create(MASTER, Draft(name="web", tenant="default"))
            _, again = await here.keys.rotate(MASTER, issued.id, timedelta(hours=1))
            async with here.storage.read() as connection:
                dump = ""
                for table in metadata.tables.values():
                    dump += str((await connection.execute(select(table))).all())
            for each in (issued, again):
                assert each.text.reveal().split("-", 3)[3] not in dump
                assert each.text.reveal()[-20:] not in dump
            assert issued.id in dump

    asyncio.run(run())


def test_a_key_under_another_pepper_is_not_rotated(database_url: str) -> None:
    async def run() -> None:
        async with room(database_url) as here:
            key = await here.key()
            with pytest.raises(Conflict, match="pepper"):
                await Room(here.storage, Secret("other")).keys.rotate(MASTER, key.id, timedelta())
            assert replace(key, revision=1) == await here.keys.find(key.id)

    asyncio.run(run())
