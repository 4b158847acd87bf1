"""What dead workers left behind: their events are delivered, their open tries settled by estimate.

A folder whose lock can be taken has no living worker. Its journal is read to the end and stored like any other; what is
still open then was running when the process died. Its dispatch was written before its first byte left, so the provider may
have been asked: it is billed on its last checkpoint, or on the prompt alone, flagged `estimated` with the status `lost`.
The folder is deleted when everything of it is stored, so a crash in here only means that it is done again.
"""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from execution_platform._failpoint import ARMED, reach
from execution_platform.ledger.interfaces import Checkpoint, CostEvent, Counts, Dispatch, Settlement
from execution_platform.ledger.journal import lock_folder
from execution_platform.ledger.reading import Reader, all_events
from execution_platform.ledger.store import EventStore

MILLION = 1_000_000


@dataclass(slots=True)
class Recovered:
    """What a round found."""

    folders: int = 0
    events: int = 0
    lost: int = 0
    damaged: int = 0


async def recover(root: Path, store: EventStore, told: Callable[[str], Awaitable[None]] | None = None) -> Recovered:
    """Store what dead workers left below `root`; `told` gets the name of each when its journal is read to the end.

    Raises `DatabaseUnavailable`; then all of it is still there.
    """
    found = Recovered()
    for folder in await asyncio.to_thread(_folders, root):
        lock = await asyncio.to_thread(_locked, folder)
        if lock is None:
            continue
        try:
            await _one(folder, store, found)
            if told is not None:
                await told(folder.name)
            await asyncio.to_thread(shutil.rmtree, folder)
        finally:
            os.close(lock)
    return found


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("*") if path.is_dir())


def _locked(folder: Path) -> int | None:
    try:
        return lock_folder(folder)
    except FileNotFoundError:
        return None  # another worker has just finished with it


async def _one(folder: Path, store: EventStore, found: Recovered) -> None:
    if ARMED:
        await reach("ledger.before_recovery")
    reader = Reader(folder)
    reader.skip_stored()
    for events in all_events(reader):
        found.events += await store.apply(events)
        await asyncio.sleep(0)
    tries = list(reader.open.values())
    finished = await store.finished({each.account.request_id for each in tries}) if tries else set[str]()
    lost = [
        CostEvent(each, lost_settlement(each, reader.progress.get(each.id), final=final))
        for each, final in with_final(tries, finished)
    ]
    if lost:
        if ARMED:
            await reach("ledger.before_lost")
        found.lost += await store.apply(lost)
    if ARMED:
        await reach("ledger.before_forgetting")
    found.folders += 1
    found.damaged += reader.damaged


def with_final(tries: Iterable[Dispatch], finished: set[str]) -> list[tuple[Dispatch, bool]]:
    """Each try, and whether it ends its request: the last one does, if none that ended has."""
    ordered = sorted(tries, key=lambda each: (each.account.request_id, each.attempt, each.id))
    last = {each.account.request_id: each.id for each in ordered}
    return [
        (each, last[each.account.request_id] == each.id and each.account.request_id not in finished) for each in ordered
    ]


def lost_settlement(dispatch: Dispatch, checkpoint: Checkpoint | None, *, final: bool) -> Settlement:
    """The end of a try nobody saw the end of."""
    told = None if checkpoint is None else checkpoint.input_tokens
    prompt = dispatch.input_tokens if told is None else told
    answer = 0 if checkpoint is None else checkpoint.output_tokens
    return Settlement(
        dispatch.id,
        "lost",
        estimated_nanos(dispatch, prompt, answer),
        "unpriced" if dispatch.input_rate < 0 else "estimated",
        final,
        Counts(prompt, answer),
        "process_died",
        dispatch.at,
    )


def estimated_nanos(dispatch: Dispatch, input_tokens: int, output_tokens: int) -> int:
    """What so many tokens cost at the rates of the dispatch, rounded up; 0 when they are not known."""
    if dispatch.input_rate < 0:
        return 0
    return -(-(input_tokens * dispatch.input_rate + output_tokens * dispatch.output_rate) // MILLION)
