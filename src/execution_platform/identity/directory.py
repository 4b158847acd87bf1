"""Which issued key a token is: answered from memory, kept true within two seconds.

Theory of operation
-------------------
A token that has no key's form is refused before any look-up (E1). A known id is answered from memory: the digest is
computed and compared, nothing is read. An unknown id is looked up once, however many requests ask at the same time
(R34), and what is not there is remembered for a few seconds. A task asks the database every second for keys that
changed since the last time, so that a revocation on any replica is in force here within two (K8).

When the database cannot be asked, keys seen before are believed for ten minutes more; a key that nobody has seen is
neither right nor wrong, so it is 503 and never 401 (E14).
"""

import asyncio
import time
from datetime import UTC, datetime

from execution_platform.config.secret import Secret
from execution_platform.exceptions import ErrorKind, ExecutionPlatformError
from execution_platform.identity.keys import digest, key_id
from execution_platform.identity.principal import Principal
from execution_platform.identity.records import KeyRecord
from execution_platform.identity.store import KeyStore
from execution_platform.storage.engine import DatabaseUnavailable

POLL_SECONDS = 1.0
STALE_SECONDS = 600.0
_ABSENT_SECONDS = 5.0
_KEPT = 100_000
_RETRY_SECONDS = 2


class AuthBackendUnavailable(ExecutionPlatformError):
    """Nobody can say now whether the key is right."""

    kind = ErrorKind.UNAVAILABLE
    code = "auth_backend_unavailable"

    def __init__(self) -> None:
        super().__init__("gateway keys cannot be checked at the moment; try again shortly", retry_after=_RETRY_SECONDS)


class KeyDirectory:
    """The issued keys as one process knows them."""

    def __init__(self, store: KeyStore, pepper: Secret) -> None:
        self._store = store
        self._pepper = pepper
        self._known: dict[str, tuple[KeyRecord, Principal]] = {}
        self._absent: dict[str, float] = {}
        self._asking: dict[str, asyncio.Future[KeyRecord | None]] = {}
        self._revision = 0
        self._asked_at = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow changes. A database that is not there yet is asked again."""
        try:
            self._revision = await self._store.revision()
        except DatabaseUnavailable:
            self._revision = 0
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """End following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def known(self, token: bytes) -> Principal | None:
        """The caller, from memory alone; None when that says nothing or no."""
        identity = key_id(token)
        if identity is None:
            return None
        found = self._known.get(identity)
        if found is None or time.monotonic() - self._asked_at > STALE_SECONDS:
            return None
        return found[1] if found[0].matches(digest(token, self._pepper), datetime.now(UTC)) else None

    async def find(self, token: bytes) -> Principal | None:
        """The caller; None for a token that is no key. Raises `AuthBackendUnavailable` when nobody can say."""
        identity = key_id(token)
        if identity is None:
            return None
        found = self._known.get(identity)
        if found is None or time.monotonic() - self._asked_at > STALE_SECONDS:
            if self._absent.get(identity, 0.0) > time.monotonic():
                return None
            record = await self._look_up(identity)
        else:
            record = found[0]
        if record is None or not record.matches(digest(token, self._pepper), datetime.now(UTC)):
            return None
        return self._known[identity][1]

    async def _look_up(self, identity: str) -> KeyRecord | None:
        """Ask the database once for all who wait for the same key."""
        asking = self._asking.get(identity)
        if asking is None:
            asking = asyncio.ensure_future(self._store.find(identity))
            self._asking[identity] = asking
            asking.add_done_callback(lambda _: self._asking.pop(identity, None))
        try:
            record = await asyncio.shield(asking)
        except DatabaseUnavailable as error:
            raise AuthBackendUnavailable from error
        if record is None:
            if len(self._absent) >= _KEPT:
                self._absent.clear()
            self._absent[identity] = time.monotonic() + _ABSENT_SECONDS
        else:
            self._keep(record)
        return record

    def _keep(self, record: KeyRecord) -> None:
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[record.id] = (record, record.principal())
        self._absent.pop(record.id, None)

    async def refresh(self) -> None:
        """Take over what has changed. Raises `DatabaseUnavailable`."""
        for record in await self._store.changed_since(self._revision):
            self._revision = max(self._revision, record.revision)
            self._absent.pop(record.id, None)
            if record.id in self._known:
                self._keep(record)
        self._asked_at = time.monotonic()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.refresh()
            except DatabaseUnavailable:
                continue  # What is known stays believed until it is stale; the storage reports its own state.
