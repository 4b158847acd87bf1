"""People: who has logged in, as what, and their sessions.

A session is a random cookie of which the database keeps the SHA-256. It says nothing itself: who it is and what they may do is read from
the person's row each time, so logout, a changed role and a disabled person count at once on every replica (E7).
"""

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from execution_platform.config.secret import Secret
from execution_platform.exceptions import PermissionDenied, RouterError
from execution_platform.identity.principal import Principal, Role
from execution_platform.identity.trail import Trail
from execution_platform.storage.engine import Storage

if TYPE_CHECKING:
    from sqlalchemy import Select

_KIND = "user"
_LOGIN_MINUTES = 10
_COOKIE_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who has logged in."""

    id: str
    tenant: str
    issuer: str
    subject: str
    email: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None = None
    last_login_at: datetime | None = None

    def principal(self) -> Principal:
        """The caller they are."""
        return Principal(self.email, self.tenant, self.role)


@dataclass(frozen=True, slots=True)
class Login:
    """A login that has begun: what the provider's answer must fit."""

    state: str
    nonce: str
    verifier: str


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _person(row: Any) -> Person:
    return Person(
        id=row.id,
        tenant=row.tenant,
        issuer=row.issuer,
        subject=row.subject,
        email=row.email or "",
        role=row.role,
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        last_login_at=row.last_login_at,
    )


class People:
    """Logins, sessions and people in the database. Every method raises `DatabaseUnavailable`."""

    def __init__(self, storage: Storage, trail: Trail) -> None:
        self._storage = storage
        self._trail = trail

    # --- login ---

    async def begin(self) -> Login:
        """Remember a login that begins; it may be finished once, within ten minutes."""
        from sqlalchemy import delete, insert

        from execution_platform.storage.schema import logins

        login = Login(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(64))
        now = datetime.now(UTC)
        await self._trail.ready()
        async with self._storage.write() as connection:
            await connection.execute(delete(logins).where(logins.c.expires_at < now))
            await connection.execute(
                insert(logins).values(
                    state=_hash(login.state),
                    nonce=login.nonce,
                    verifier=login.verifier,
                    expires_at=now + timedelta(minutes=_LOGIN_MINUTES),
                )
            )
        return login

    async def finish(self, state: str) -> Login | None:
        """The login of this state, which is forgotten with that; None when there is none, or it took too long."""
        from sqlalchemy import delete

        from execution_platform.storage.schema import logins

        await self._trail.ready()
        async with self._storage.write() as connection:
            taken = delete(logins).where(logins.c.state == _hash(state)).returning(logins)
            row = (await connection.execute(taken)).first()
        if row is None or row.expires_at <= datetime.now(UTC):
            return None
        return Login(state, row.nonce, row.verifier)

    async def enter(self, person: Person, hours: float) -> Secret:
        """A session for somebody whom the provider vouches for; the cookie. Raises `PermissionDenied` for who is disabled."""
        from sqlalchemy import delete, insert, select, update

        from execution_platform.storage.schema import sessions, users

        now = datetime.now(UTC)
        cookie = Secret(secrets.token_urlsafe(_COOKIE_BYTES))
        same = (users.c.issuer == person.issuer) & (users.c.subject == person.subject)
        async with self._trail.change(person.principal()) as change:
            execute = change.connection.execute
            row = (await execute(select(users).where(same))).first()
            values = {"email": person.email, "tenant": person.tenant, "role": person.role, "last_login_at": now}
            identity = person.id
            if row is None:
                new = {"id": identity, "issuer": person.issuer, "subject": person.subject, "created_at": now}
                await execute(insert(users).values(**values, **new))
            elif row.disabled_at is not None:
                raise PermissionDenied("this login is disabled", code="login_refused")
            else:
                identity = row.id
                await execute(update(users).where(users.c.id == identity).values(**values))
            await execute(delete(sessions).where(sessions.c.expires_at < now))
            ends = now + timedelta(hours=hours)
            kept = {"id": _hash(cookie.reveal()), "user_id": identity, "created_at": now, "expires_at": ends}
            await execute(insert(sessions).values(**kept))
            await change.note("login", _KIND, identity, person.tenant, {"role": person.role})
        return cookie

    # --- sessions ---

    async def of_session(self, cookie: str) -> Principal | None:
        """Who a cookie is, now; None when it is over."""
        from sqlalchemy import select

        from execution_platform.storage.schema import sessions, users

        alive = (sessions.c.id == _hash(cookie)) & (sessions.c.expires_at > datetime.now(UTC))
        wanted = select(users).join(sessions, sessions.c.user_id == users.c.id)
        found = await self._read(wanted.where(alive, users.c.disabled_at.is_(None)))
        return found[0].principal() if found else None

    async def standing(self, email: str, tenant: str) -> Principal | None:
        """Somebody by the name they call under, as they are now; None for who is disabled or not known."""
        from sqlalchemy import select

        from execution_platform.storage.schema import users

        wanted = select(users).where(users.c.email == email, users.c.tenant == tenant, users.c.disabled_at.is_(None))
        found = await self._read(wanted.limit(1), tenant)
        return found[0].principal() if found else None

    async def leave(self, cookie: str) -> None:
        """End a session, everywhere."""
        from sqlalchemy import delete

        from execution_platform.storage.schema import sessions

        await self._trail.ready()
        async with self._storage.write() as connection:
            await connection.execute(delete(sessions).where(sessions.c.id == _hash(cookie)))

    # --- people ---

    async def page(self, tenant: str | None, after: str, limit: int) -> list[Person]:
        """People in order of their ids, from the one after `after`; of all tenants if `tenant` is None."""
        from sqlalchemy import select

        from execution_platform.storage.schema import users

        wanted = select(users).order_by(users.c.id).limit(limit)
        if after:
            wanted = wanted.where(users.c.id > after)
        if tenant is not None:
            wanted = wanted.where(users.c.tenant == tenant)
        return await self._read(wanted, tenant)

    async def disable(self, actor: Principal, identity: str, request_id: str = "") -> None:
        """End somebody's sessions and refuse their next login. Raises `RouterError`, `PermissionDenied`."""
        from sqlalchemy import delete, select, update

        from execution_platform.storage.schema import sessions, users

        async with self._trail.change(actor, request_id) as change:
            execute = change.connection.execute
            row = (await execute(select(users).where(users.c.id == identity))).first()
            if row is None or not actor.sees(row.tenant):
                raise RouterError("there is nobody of this id; GET /v1/users lists people", code="user_not_found")
            if not actor.outranks(row.role):
                raise PermissionDenied("only the same role or a higher one may do this", code="scope_exceeded")
            await execute(update(users).where(users.c.id == identity).values(disabled_at=datetime.now(UTC)))
            await execute(delete(sessions).where(sessions.c.user_id == identity))
            await change.note("user.disable", _KIND, identity, row.tenant)

    async def _read(self, wanted: "Select[Any]", tenant: str | None = None) -> list[Person]:
        await self._trail.ready()
        async with self._storage.read(tenant) as connection:
            return [_person(row) for row in await connection.execute(wanted)]


def new_person(*, tenant: str, issuer: str, subject: str, email: str, role: Role) -> Person:
    """Somebody as the provider's claims tell of them."""
    return Person(
        id=str(uuid.uuid4()),
        tenant=tenant,
        issuer=issuer,
        subject=subject,
        email=email,
        role=role,
        created_at=datetime.now(UTC),
    )
