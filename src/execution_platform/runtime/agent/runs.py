"""The runs of one process: begun, taken over from processes that died, kept alive, ended.

Theory of operation
-------------------
A run is a row, and a task in the process that has taken it. While there are runs the process prolongs their leases every two
seconds, and reads what others want of them: cancel, another model, decisions on approvals. What reaches the process itself takes
effect at once. A run whose worker is gone is taken on by whoever finds it: at once where the worker was a process of this machine
that is no more, else when its lease is over.
"""

import asyncio
import hashlib
import hmac
import os
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from uuid import uuid4

from execution_platform.exceptions import ErrorKind, ExecutionPlatformError, PermissionDenied, RouterError
from execution_platform.runtime.agent.active import Active, Taken
from execution_platform.runtime.agent.caller import Answer, Answerer
from execution_platform.runtime.agent.order import Order, order_of
from execution_platform.runtime.agent.store import ANSWERED, FAILED, OPEN, Row, RunLost, RunStore, utc
from execution_platform.runtime.agent.workshop import Workshop
from execution_platform.tool_bridge.approval import Approver

BEAT_SECONDS = 2.0
_LOOK_SECONDS = 15.0
_KEY = b"ep run approvals"


class TooManyRuns(ExecutionPlatformError):
    """The process works on as many runs as it may."""

    kind = ErrorKind.OVERLOADED
    code = "too_many_runs"


class Runs:
    """All runs this process works on."""

    def __init__(
        self,
        shop: Workshop,
        store: RunStore,
        pepper: Callable[[], str],
        *,
        most: Callable[[], int],
        tell: Callable[..., None],
    ) -> None:
        """`pepper` is the secret that approvals are sealed with, the same for all replicas; `tell` writes to the log."""
        self._shop = shop
        self.store = store
        self._pepper = pepper
        self._most = most
        self._log = tell
        self._active: dict[str, Active] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beat: asyncio.Task[None] | None = None
        self._look: asyncio.Task[None] | None = None
        shop.metrics.active.set_function(lambda: len(self._active))
        self.worker = f"{os.uname().nodename}:{os.getpid()}:{uuid4().hex[:8]}"

    def start(self, *, look: bool = True) -> None:
        """Take on what dead processes left; `look` is False where nothing can be there."""
        if look:
            self._look = asyncio.get_running_loop().create_task(self._take_on())

    async def stop(self) -> None:
        """Leave every run to whoever comes next."""
        for waiting in (self._look, self._beat):
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
        self._look = self._beat = None
        held = {run.run_id: run.epoch for run in self._active.values()}
        for run in self._active.values():
            run.suspend()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if held:
            try:
                await self.store.release(held)
            except ExecutionPlatformError as error:
                self._log("runs_not_released", "warning", reason=error.message)

    async def forget(self, keep: timedelta, *, of: str | None = None, but: Collection[str] = ()) -> int:
        """Delete runs that have been over for so long, of one tenant or of all but some, with all they left; how many.

        Raises `DatabaseUnavailable`.
        """
        gone = 0
        while True:
            found = await self.store.forget(utc() - keep, of=of, but=but)
            for tenant, run_id in found:
                await asyncio.to_thread(self._remove, tenant, run_id)
            gone += len(found)
            self._shop.metrics.forgotten.inc(len(found))
            if not found:
                return gone

    async def sweep(self, keep: timedelta, days: Mapping[str, int]) -> int:
        """Remove old directories of runs that are in the database no more: another machine may have forgotten them. How many.

        Raises `DatabaseUnavailable`.
        """
        here = await asyncio.to_thread(lambda: list(self._shop.workspaces().left(keep, days)))
        kept = await self.store.known([run_id for _, run_id in here])
        orphans = [(tenant, run_id) for tenant, run_id in here if run_id not in kept]
        for tenant, run_id in orphans:
            await asyncio.to_thread(self._remove, tenant, run_id)
        return len(orphans)

    def _remove(self, tenant: str, run_id: str) -> None:
        if not self._shop.workspaces().remove(tenant, run_id):
            self._log("run_workspace_left", "warning", run=run_id)

    def active(self, run_id: str) -> Active | None:
        """A run this process works on."""
        return self._active.get(run_id)

    async def begin(
        self, order: Order, *, approver: Approver | None = None, answerer: Answerer | None = None
    ) -> Active:
        """Begin a run; `answerer` runs the caller's own tools in this process. Raises `TooManyRuns`, `RouterError`, `PermissionDenied`, `DatabaseUnavailable`."""
        if len(self._active) >= self._most():
            raise TooManyRuns("this gateway works on as many runs as it may; come back in a while", retry_after=5)
        run_id = f"run_{uuid4().hex}"
        # A workspace that may not be used, and limits that are none, are told now and not by a failed run.
        self._shop.workspaces().find(order.principal.tenant, order.workspace, run_id)
        order.within(self._shop.limits())
        row = {
            "id": run_id,
            "tenant": order.principal.tenant,
            "owner": order.principal.subject,
            "persona": order.persona,
            "status": "running",
            "request": order.body(),
            "options": order.options(),
            "model": None,
        }
        await self.store.create(row, self.worker)
        self._shop.metrics.begun.inc()
        return self._run(Taken(run_id=run_id, order=order, key=self._key(), approver=approver, answerer=answerer))

    def _key(self) -> bytes:
        return hmac.digest(self._pepper().encode(), _KEY, hashlib.sha256)

    def _run(self, taken: Taken) -> Active:
        run = Active(taken, self._shop, self.store)
        self._active[run.run_id] = run
        loop = asyncio.get_running_loop()
        run.task = task = loop.create_task(run.work())
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._over(run, done))
        if self._beat is None or self._beat.done():
            self._beat = loop.create_task(self._keep_alive())
        return run

    def _over(self, run: Active, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._active.pop(run.run_id, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, RunLost):
            self._log("run_lost", "warning", run=run.run_id)
        elif error is not None:
            self._log("run_broke", "error", run=run.run_id, error=f"{type(error).__name__}: {error}")
        elif run.end is not None:
            self._shop.metrics.finished(run.end.reason, run.end.steps)
            self._log("run", run=run.run_id, status=run.status, reason=run.end.reason, steps=run.end.steps)

    # Keeping alive

    async def _keep_alive(self) -> None:
        while self._active:
            await asyncio.sleep(BEAT_SECONDS)
            held = {run.run_id: run.epoch for run in self._active.values()}
            if not held:
                return
            try:
                orders = await self.store.renew(held)
            except ExecutionPlatformError as error:
                self._log("runs_not_renewed", "warning", reason=error.message)
                continue
            for run_id in held:
                run = self._active.get(run_id)
                wanted = orders.get(run_id)
                if run is None:
                    continue
                if wanted is None:
                    run.suspend()
                    continue
                if wanted.cancel:
                    run.cancel()
                run.move(wanted.model)
                for seal, decision in wanted.decisions.items():
                    run.decided(seal, decision)

    async def _take_on(self) -> None:
        while True:
            try:
                left = await self.take_on()
            except ExecutionPlatformError as error:
                self._log("runs_wait", "warning", reason=error.message)
                left = True
            if not left:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def take_on(self) -> bool:
        """Take on every run whose worker is gone; whether some are left that others still work on."""
        left = False
        for row in await self.store.open_runs():
            if row["id"] in self._active:
                continue
            if not self._is_orphan(row):
                left = True
            elif len(self._active) < self._most():
                await self.resume(row)
            else:
                left = True
        return left

    def _is_orphan(self, row: Row) -> bool:
        worker, until = row["worker"], row["leased_until"]
        if worker is None or until is None or until < utc():
            return True
        host, pid, _ = str(worker).rsplit(":", 2)
        return host == os.uname().nodename and (int(pid) == os.getpid() or not _lives(int(pid)))

    async def resume(self, row: Row) -> Active | None:
        """Go on with a run; None when another worker was first."""
        run_id, epoch = str(row["id"]), int(row["epoch"])
        if not await self.store.take(run_id, epoch, self.worker):
            return None
        order = order_of(str(row["request"]), str(row["options"]), str(row["persona"]))
        entries = await self.store.journal(run_id)
        self._shop.metrics.resumed.inc()
        self._log("run_resumed", run=run_id, entries=len(entries))
        model = row["model"]
        taken = Taken(
            run_id=run_id,
            order=order,
            epoch=epoch + 1,
            model=None if model is None else str(model),
            entries=entries,
            key=self._key(),
        )
        return self._run(taken)

    # What its owner wants

    async def cancel(self, run_id: str) -> bool:
        """Stop a run, wherever it is; False when it is over."""
        wanted = await self.store.order(run_id, {"cancel": True})
        run = self._active.get(run_id)
        if wanted and run is not None:
            run.cancel()
        return wanted

    async def move(self, run_id: str, model: str) -> bool:
        """Let the next turns of a run go to another model; False when it is over. Raises `RouterError`."""
        self._shop.snapshot().routing.route(model, None, {})
        wanted = await self.store.order(run_id, {"model": model})
        run = self._active.get(run_id)
        if wanted and run is not None:
            run.move(model)
        return wanted

    async def again(self, row: Row) -> Active:
        """Go on with a run that failed or was stopped, from its last complete turn. Raises `RouterError`."""
        if not await self.store.reopen(str(row["id"])):
            raise RouterError(f"run {row['id']} is {row['status']}; only a run that failed or was stopped goes on")
        run = await self.resume(row)
        if run is None:
            raise RouterError(f"run {row['id']} was taken by another worker")
        return run

    async def decide(self, row: Row, call: str, token: str, decision: str, by: str) -> None:
        """Decide on a call that waits for its approval. Raises `PermissionDenied`."""
        run_id = str(row["id"])
        if row["owner"] != by or not await self.store.decide(run_id, call, token, decision, by):
            raise PermissionDenied(
                "there is nothing to approve by this token: it is for another call, another owner, used, or too old",
                code="approval_refused",
            )
        run = self._active.get(run_id)
        if run is not None:
            run.decided(token, decision)

    async def answer(self, row: Row, call: str, token: str, answer: Answer, by: str) -> None:
        """Give a waiting run what the caller's own tool gave. Raises `PermissionDenied`."""
        run_id, decision = str(row["id"]), FAILED if answer.failed else ANSWERED
        told = row["owner"] == by and await self.store.decide(run_id, call, token, decision, by, answer=answer.text)
        if not told:
            raise PermissionDenied(
                "no call waits for this answer: the token is for another call, another owner, used, or too old",
                code="answer_refused",
            )
        run = self._active.get(run_id)
        if run is not None:
            run.decided(token, decision)


def is_open(row: Mapping[str, object]) -> bool:
    """Whether a run is not over."""
    return row["status"] in OPEN


def _lives(pid: int) -> bool:
    """Whether there is such a process on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
