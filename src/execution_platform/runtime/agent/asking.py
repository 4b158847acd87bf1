"""A run asks its owner whether a call may run, and waits for the answer of anybody's worker (A4)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from execution_platform.runtime.agent.store import RunStore, utc
from execution_platform.runtime.agent.told import Note
from execution_platform.tool_bridge.approval import Asked, Sealed, Verdict

APPROVAL_SECONDS = 300.0


class Asking:
    """The approver of one run."""

    def __init__(
        self,
        store: RunStore,
        run_id: str,
        owner: str,
        key: bytes,
        *,
        tell: Callable[[Note], Awaitable[None]],
        waiting: Callable[[int], Awaitable[None]],
        seconds: float = APPROVAL_SECONDS,
    ) -> None:
        """`waiting` is told how many questions are open."""
        self._store = store
        self._run_id = run_id
        self._owner = owner
        self._key = key
        self._tell = tell
        self._waiting = waiting
        self._seconds = seconds
        self._open: dict[str, asyncio.Future[str]] = {}

    def decided(self, seal: str, decision: str) -> None:
        """Somebody has decided."""
        future = self._open.get(seal)
        if future is not None and not future.done():
            future.set_result(decision)

    async def approve(self, asked: Asked, reason: str) -> Verdict:
        """Ask, and wait for the answer."""
        expires = utc() + timedelta(seconds=self._seconds)
        sealed = Sealed(self._run_id, asked.call_id, asked.tool, asked.arguments, self._owner, int(expires.timestamp()))
        seal = sealed.seal(self._key)
        decision = await self._store.ask(self._run_id, asked.call_id, seal, expires)
        if decision is None:
            decision = await self._answer(asked, reason, sealed, seal)
        await self._tell(Note("approval_decided", {"call": asked.call_id, "decision": decision}))
        if decision != "allow":
            said = "was not approved in time" if decision == "expired" else "was refused by the owner of this run"
            return Verdict("deny", f"the call of {asked.tool} {said}")
        # What runs is what was shown: the arguments are sealed once more, as they are now.
        if not sealed.is_sealed_by(seal, self._key):
            return Verdict("deny", f"the call of {asked.tool} is not the one that was approved")
        return Verdict("allow")

    async def _answer(self, asked: Asked, reason: str, sealed: Sealed, seal: str) -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._open[seal] = future
        told: dict[str, object] = {
            "call": asked.call_id,
            "name": asked.tool,
            "args": dict(asked.arguments),
            "reason": reason,
            "token": seal,
            "expires_at": sealed.expires,
        }
        try:
            await self._waiting(len(self._open))
            await self._tell(Note("approval_required", told))
            async with asyncio.timeout(self._seconds):
                return await future
        except TimeoutError:
            return "expired"
        finally:
            del self._open[seal]
            await self._waiting(len(self._open))
