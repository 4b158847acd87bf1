"""The idempotency keys of one process: one request under a key is carried out, the others wait for its answer.

Theory of operation
-------------------
The first request under a key leads: it asks the database for the key, and while another process has it, asks again and again.
All others of this process wait for what the leader finds, so that a hundred identical requests are one row, one call and one
reader. A leader that got the key carries the request out and records what it sends; the recording is stored before its last
byte leaves, and whoever waits gets it from memory.

A request that is refused before anything has left for a provider frees its key; from then on the result counts, also a failure.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final
from uuid import uuid4

import msgspec

from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.idempotency.errors import InProgress, KeyReused, answer_not_kept, outcome_unknown
from execution_platform.idempotency.store import LEASE_SECONDS, Claim, ClaimStore, Recording, Standing

_RENEW_SECONDS: Final = LEASE_SECONDS / 3
_FORGET_SECONDS: Final = 3600.0
_FIRST_LOOK, _LONGEST_LOOK = 0.05, 1.0
"""Pauses between two looks at a key that another process holds."""
Tell = Callable[[str, str], None]


class _Flight:
    """What happens under one key in this process."""

    __slots__ = ("fingerprint", "over", "recording", "request_id")

    def __init__(self, fingerprint: bytes, request_id: str) -> None:
        self.fingerprint = fingerprint
        self.request_id = request_id
        self.recording: Recording | None = None
        self.over = asyncio.get_running_loop().create_future()


class Turn:
    """A request that is to be carried out. Exactly one of `keep`, `release` and `lose` ends it."""

    __slots__ = ("_claim", "_claims", "_flight", "ended", "owner")

    def __init__(self, claims: "Claims", claim: Claim, flight: _Flight, owner: str) -> None:
        self._claims = claims
        self._claim = claim
        self._flight = flight
        self.owner = owner
        self.ended = False

    async def keep(self, recording: Recording | None) -> None:
        """Tell the answer; None for one that is too large to be kept."""
        self._flight.recording = recording
        await self._end(self._claims.store.finish(self._claim, self.owner, recording))

    async def release(self) -> None:
        """Nothing was carried out."""
        await self._end(self._claims.store.release(self._claim, self.owner))

    async def lose(self) -> None:
        """Something was carried out, and there is no answer to tell of."""
        await self._end(self._claims.store.give_up(self._claim, self.owner))

    async def _end(self, written: Awaitable[None]) -> None:
        self.ended = True
        try:
            await written
        except ExecutionPlatformError as error:
            # The lease is renewed no more: later requests are told that the outcome is unknown, and nothing is done twice.
            self._claims.tell("idempotency_not_stored", error.message)
        finally:
            self._claims.leave(self._claim, self.owner, self._flight)


class Claims:
    """The keys under way in one process. `ready` prepares the database and raises `DatabaseUnavailable`."""

    def __init__(self, store: ClaimStore, ready: Callable[[], Awaitable[object]], tell: Tell) -> None:
        self.store = store
        self.tell = tell
        self._ready = ready
        self._flights: dict[tuple[str, str, bytes], _Flight] = {}
        self._owners: set[str] = set()

    async def enter(
        self, claim: Claim, request_id: str, *, keep: timedelta, wait: float, left: "asyncio.Future[None]"
    ) -> Turn | Recording | None:
        """A turn, or the answer that an earlier request got; None when `left` is done first.

        Waits at most `wait` seconds for a request that is under way. Raises `KeyReused`, `InProgress`, `KeySpent`,
        `DatabaseUnavailable`.
        """
        until = asyncio.get_running_loop().time() + wait
        while not left.done():
            flight = self._flights.get(claim.name)
            if flight is None:
                return await self._lead(claim, request_id, keep, until, left)
            if flight.fingerprint != claim.fingerprint:
                raise KeyReused
            await _first_of(flight.over, left, until)
            if flight.recording is not None:
                return flight.recording
            if not flight.over.done() and asyncio.get_running_loop().time() >= until:
                raise InProgress(flight.request_id)
        return None

    async def _lead(
        self, claim: Claim, request_id: str, keep: timedelta, until: float, left: "asyncio.Future[None]"
    ) -> Turn | Recording | None:
        flight = self._flights[claim.name] = _Flight(claim.fingerprint, request_id)
        owner = str(uuid4())
        turn: Turn | None = None
        try:
            await self._ready()
            pause = _FIRST_LOOK
            while True:
                standing = await self.store.claim(claim, owner, request_id, keep)
                if standing.is_mine:
                    self._owners.add(owner)
                    turn = Turn(self, claim, flight, owner)
                    return turn
                flight.recording = _answer(standing, claim)
                if flight.recording is not None or left.done():
                    return flight.recording
                left_seconds = until - asyncio.get_running_loop().time()
                if left_seconds <= 0:
                    raise InProgress(standing.request_id)
                await asyncio.wait({left}, timeout=min(pause, left_seconds))
                pause = min(_LONGEST_LOOK, pause * 2)
        finally:
            if turn is None:
                self.leave(claim, owner, flight)

    def leave(self, claim: Claim, owner: str, flight: _Flight) -> None:
        """Whoever waits gets the recording, or looks for itself."""
        self._owners.discard(owner)
        if self._flights.get(claim.name) is flight:
            del self._flights[claim.name]
        if not flight.over.done():
            flight.over.set_result(None)

    async def run(self, used: Callable[[], bool]) -> None:
        """Renew what is held, and forget what has expired where the database is `used`, until cancelled."""
        until_forgetting = 0.0
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            until_forgetting -= _RENEW_SECONDS
            # What cannot be renewed is given up by others in time; the storage reports its own state.
            with suppress(ExecutionPlatformError):
                if self._owners:
                    await self.store.renew(tuple(self._owners))
                if until_forgetting <= 0 and used():
                    until_forgetting = _FORGET_SECONDS
                    await self._ready()
                    await self.store.forget()


def _answer(standing: Standing, claim: Claim) -> Recording | None:
    """What is kept under the key; None while it is being made. Raises `KeyReused`, `KeySpent`."""
    if standing.fingerprint != claim.fingerprint:
        raise KeyReused
    if standing.state == "running":
        return None
    if standing.state == "unknown":
        raise outcome_unknown(standing.request_id)
    if standing.answer is None:
        raise answer_not_kept(standing.request_id)
    return msgspec.msgpack.decode(standing.answer, type=Recording)


async def _first_of(over: "asyncio.Future[None]", left: "asyncio.Future[None]", until: float) -> None:
    """Wait for either, or until the time has come."""
    timeout = max(0.0, until - asyncio.get_running_loop().time())
    await asyncio.wait({over, left}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
