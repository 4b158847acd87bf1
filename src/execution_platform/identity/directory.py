"""Which issued key a token is: answered from memory, kept true within two seconds.

Theory of operation
-------------------
A token that has no key's form, or whose id was not made under the pepper, is refused before any look-up (E1). A known id is
answered from memory: the digest is computed and compared, nothing is read. An unknown id is looked up once, however many
requests ask at the same time (R34), and what is not there is remembered for a few seconds. A task asks the database every
second for keys that changed since the last time, so that a revocation on any replica is in force here within two (K8).

When the database cannot be asked, keys seen before are believed for ten minutes more; a key that nobody has seen is
neither right nor wrong, so it is 503 and never 401 (E14).
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from execution_platform.config.outages import Action, Concern, Lost, when
from execution_platform.config.secret import Secret
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError
from execution_platform.identity.keys import digest, is_ours, key_id
from execution_platform.identity.pepper import Pepper, name_of
from execution_platform.identity.principal import Principal
from execution_platform.identity.records import KeyRecord
from execution_platform.identity.store import KeyStore
from execution_platform.storage.engine import DatabaseUnavailable

POLL_SECONDS = 1.0
_AWAY, _BOTH_AWAY = when(Lost.DATABASE, Concern.AUTH), when(Lost.BOTH, Concern.AUTH)
STALE_SECONDS = _AWAY.seconds or 0.0
_ABSENT_SECONDS = 5.0
_SILENT_SECONDS = 3.0
"""A database that has not answered for so long is away."""
_NOTE_SECONDS = 30.0
"""Between two notes of which keys were used: no request writes anything."""
_SKEW = timedelta(seconds=1)
_KEPT = 100_000
_RETRY_SECONDS = 2
Taken = Callable[[KeyRecord], Awaitable[None]]


def _now() -> datetime:
    return datetime.now(UTC)


class AuthBackendUnavailable(ExecutionPlatformError):
    """Nobody can say now whether the key is right."""

    kind = ErrorKind.UNAVAILABLE
    code = _AWAY.code or ""

    def __init__(self) -> None:
        super().__init__("gateway keys cannot be checked at the moment; try again shortly", retry_after=_RETRY_SECONDS)


class KeyDirectory:
    """The issued keys as one process knows them."""

    def __init__(
        self,
        store: KeyStore,
        pepper: Pepper,
        *,
        taken: Taken | None = None,
        foreign: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = _now,
        redis_down: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._taken = taken
        """Called with a key before its first use here: what it depends on, such as its budgets, has to be known by then."""
        self._foreign = foreign
        """Told the id of a key that was issued under another pepper."""
        self._is_foreign = False
        self._clock = clock
        self._known: dict[str, tuple[KeyRecord, Principal]] = {}
        self._absent: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[KeyRecord | None]] = {}
        self._revision: int | None = None
        self._guess: bool | None = None
        self._asked_at = clock()
        self._used: set[str] = set()
        """Keys that were used since that was last written down."""
        self._noted_at = -math.inf
        self._redis_down = redis_down
        self._believed = STALE_SECONDS
        """Seconds for which known keys are believed since the database was last heard."""
        self._wall = wall
        self._offset = timedelta()
        """Of the clock all replicas share, the database's, to this machine's: by that one keys expire."""
        self._task: asyncio.Task[None] | None = None

    @property
    def issued(self) -> bool | None:
        """Whether any key was ever issued; None while nobody has said."""
        return self._guess if self._revision is None else self._revision > 0

    @property
    def lacks_both(self) -> bool:
        """Whether neither the database nor the shared Redis answers, so that only keys of the configuration can be checked."""
        silent = self._clock() - self._asked_at > _SILENT_SECONDS
        return silent and self._redis_down() and _BOTH_AWAY.action is Action.STATIC

    def start(self) -> None:
        """Begin to follow changes."""
        self._task = asyncio.create_task(self._follow())

    async def set_clock(self) -> None:
        """Find out how far this machine's clock is off. Raises `DatabaseUnavailable`."""
        there = await self._store.now()
        offset = timedelta() if there is None else there - self._wall()
        self._offset = offset if abs(offset) > _SKEW else timedelta()

    async def note_use(self) -> None:
        """Write down which keys were used, all at once. Raises `DatabaseUnavailable`; then it is done with the next."""
        used = self._used
        if used:
            self._used = set()
            try:
                await self._store.used(used, datetime.now(UTC))
            except DatabaseUnavailable:
                self._used |= used
                raise

    async def stop(self) -> None:
        """End following."""
        with suppress(DatabaseUnavailable):
            await self.note_use()
        tasks = [*self._asking.values(), *([] if self._task is None else [self._task])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = None

    def known(self, token: bytes) -> Principal | None:
        """The caller, from memory alone; None when that says nothing or no."""
        identity = key_id(token)
        found = None if identity is None else self._known.get(identity)
        if found is None or self._clock() - self._asked_at > self._believed:
            return None
        if not self._matches(found[0], token):
            return None
        self._used.add(found[0].id)
        return found[1]

    async def find(self, token: bytes) -> Principal | None:
        """The caller; None for a token that is no key. Raises `AuthBackendUnavailable` when nobody can say."""
        identity = key_id(token)
        pepper = None if identity is None else self._pepper.read()
        if identity is None or pepper is None or not is_ours(identity, pepper):
            return None
        found = self._known.get(identity)
        if found is None or self._clock() - self._asked_at > self._believed:
            if self._absent.get(identity, 0.0) > self._clock():
                return None
            record = await self._look_up(identity)
        else:
            record = found[0]
        if record is None or not self._matches(record, token):
            return None
        self._used.add(record.id)
        return record.principal()

    async def standing(self, identity: str) -> Principal | None:
        """The caller of a key by its public id, as it is now; None for one that is revoked, over, or was never there.

        Raises `AuthBackendUnavailable` when nobody can say.
        """
        found = self._known.get(identity)
        if found is None or self._clock() - self._asked_at > self._believed:
            record = await self._look_up(identity)
        else:
            record = found[0]
        if record is None or record.revoked_at is not None or record.scope.is_over(self._wall() + self._offset):
            return None
        return record.principal()

    def _matches(self, record: KeyRecord, token: bytes) -> bool:
        pepper: Secret | None = self._pepper.read()
        return pepper is not None and record.matches(digest(token, pepper), self._wall() + self._offset)

    async def _look_up(self, identity: str) -> KeyRecord | None:
        """Ask the database once for all who wait for the same key."""
        asking = self._asking.get(identity)
        if asking is None:
            asking = self._asking[identity] = asyncio.create_task(self._ask(identity))
            asking.add_done_callback(lambda _: self._asking.pop(identity, None))
        try:
            return await asyncio.shield(asking)
        except DatabaseUnavailable as error:
            raise AuthBackendUnavailable from error

    async def _ask(self, identity: str) -> KeyRecord | None:
        if self._revision is None:
            await self.refresh()
        while True:
            seen = self._revision
            record = await self._store.find(identity)
            if record is not None and self._taken is not None:
                await self._taken(record)
            if self._revision == seen:  # else a change may have gone by while this was on its way
                break
        if record is None:
            if len(self._absent) >= _KEPT:
                self._absent.clear()
            self._absent[identity] = self._clock() + _ABSENT_SECONDS
        else:
            self._keep(record)
        return record

    def _keep(self, record: KeyRecord) -> None:
        held = self._known.get(record.id)
        if held is not None and held[0].revision > record.revision:
            return  # what was asked for earlier arrives later
        if held is None and len(self._known) >= _KEPT:
            self._known.clear()
        self._known[record.id] = (record, record.principal())
        self._absent.pop(record.id, None)

    async def learn(self) -> None:
        """Find out whether any key was ever issued. Raises `AuthBackendUnavailable`.

        Where the database is away and no pepper is at hand no issued key could be checked, so none is assumed until the
        database is back: a gateway for one developer starts without it.
        """
        if self.issued is None:
            try:
                await self.refresh()
            except DatabaseUnavailable as error:
                if self._pepper.read() is not None:
                    raise AuthBackendUnavailable from error
                self._guess = False

    async def refresh(self) -> None:
        """Take over what has changed. Raises `DatabaseUnavailable`."""
        asked_at = self._clock()
        seen = self._revision
        if not seen:
            newest = await self._store.revision()
            if not newest:
                self._revision, self._asked_at = 0, asked_at
                return  # none was ever issued, which is cheap to know
            if seen is None:
                seen = self._revision = newest
        for record in await self._store.changed_since(seen - 1):
            self._revision = max(self._revision or 0, record.revision)
            self._absent.pop(record.id, None)
            self._check_pepper(record)
            if record.id in self._known:
                self._keep(record)
        self._asked_at = asked_at

    def _check_pepper(self, record: KeyRecord) -> None:
        """Tell once of a key that no token can match here, because another pepper made its digest."""
        pepper = self._pepper.read()
        if not self._is_foreign and record.revoked_at is None and (pepper is None or record.pepper != name_of(pepper)):
            self._is_foreign = True
            if self._foreign is not None:
                self._foreign(record.id)

    async def _follow(self) -> None:
        while True:
            # What is known stays believed until it is stale; the storage reports its own state.
            with suppress(DatabaseUnavailable):
                self._believed = 0.0 if self.lacks_both else STALE_SECONDS
                await self.refresh()
                self._believed = STALE_SECONDS
                if self._clock() - self._noted_at >= _NOTE_SECONDS:
                    self._noted_at = self._clock()
                    await self.set_clock()
                    await self.note_use()
            await asyncio.sleep(POLL_SECONDS)
