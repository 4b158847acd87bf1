"""The journal of a run in the database."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from execution_platform import _json
from execution_platform._failpoint import ARMED, reach
from execution_platform.dialects.native import decode_message, encode_message
from execution_platform.runtime.agent.journal import PastTurn, Place
from execution_platform.runtime.agent.store import Entry, Frames, RunStore, paths
from execution_platform.spi.messages import Message
from execution_platform.spi.usage import Usage
from execution_platform.tool_bridge.bridge import Done

_TURN = -1


class WrittenJournal:
    """One run's journal at one epoch. What was told meanwhile is written with it."""

    def __init__(
        self, store: RunStore, run_id: str, epoch: int, told: Callable[[], Frames | None], entries: Sequence[Entry] = ()
    ) -> None:
        """`told` gives the events that are not written yet; `entries` are those of before a crash."""
        self._store = store
        self._run_id = run_id
        self._epoch = epoch
        self._told = told
        self.keep: Callable[[], Mapping[str, object]] | None = None
        """What is written down with each result beside it: what the run has seen, and its notes."""
        self.kept = _kept(entries)
        """The same, of before the crash."""
        self._past = {path: _turns(lines) for path, lines in paths(entries).items()}

    def past(self, path: str) -> Sequence[PastTurn]:
        """The turns of an agent before the crash."""
        return self._past.get(path, ())

    async def turn(self, place: Place, message: Message, finish: str, usage: Usage | None) -> None:
        """A model has answered."""
        data = {"message": encode_message(message), "finish": finish, "usage": usage}
        await self._write([Entry(place.path, place.turn, _TURN, "turn", _json.dumps(data).decode())])
        if ARMED:
            await reach("run.after_turn")

    async def intent(self, place: Place, index: int) -> None:
        """A call is about to run that must not run twice."""
        await self._write([Entry(place.path, place.turn, index, "intent", "{}")])

    async def results(self, place: Place, done: Mapping[int, Done]) -> None:
        """Calls have been answered."""
        lines = [
            Entry(place.path, place.turn, index, "result", _json.dumps(_told(found)).decode())
            for index, found in done.items()
        ]
        if self.keep is not None:
            lines.append(Entry(place.path, place.turn, max(done), "kept", _json.dumps(self.keep()).decode()))
        await self._write(lines)
        if ARMED:
            await reach("run.after_result")

    async def _write(self, entries: Sequence[Entry]) -> None:
        if ARMED:
            await reach("run.before_journal")
        await self._store.write(self._run_id, self._epoch, entries=entries, frames=self._told())


def _kept(entries: Sequence[Entry]) -> Mapping[str, object]:
    """What was kept last."""
    last = next((entry for entry in reversed(entries) if entry.kind == "kept"), None)
    return {} if last is None else cast("dict[str, object]", _json.loads(last.data))


def _told(done: Done) -> dict[str, object]:
    return {"text": done.text, "code": done.code, "hidden": done.hidden, "left_out": done.left_out}


def _turns(entries: Sequence[Entry]) -> list[PastTurn]:
    heads: dict[int, dict[str, object]] = {}
    intents: dict[int, set[int]] = {}
    results: dict[int, dict[int, dict[str, object]]] = {}
    for entry in entries:
        data = cast("dict[str, object]", _json.loads(entry.data))
        if entry.kind == "turn":
            heads[entry.turn] = data
        elif entry.kind == "intent":
            intents.setdefault(entry.turn, set()).add(entry.place)
        elif entry.kind == "result":
            results.setdefault(entry.turn, {})[entry.place] = data
    return [
        _turn(head, frozenset(intents.get(number, ())), results.get(number, {}))
        for number, head in sorted(heads.items())
    ]


def _turn(head: dict[str, object], intents: frozenset[int], results: dict[int, dict[str, object]]) -> PastTurn:
    message = decode_message(head["message"], "journal")
    calls = message.tool_calls
    usage = None if head["usage"] is None else cast("Usage", _json.convert(head["usage"], Usage))
    done = {
        index: Done(
            calls[index],
            str(told["text"]),
            cast("str | None", told["code"]),
            cast("int", told["hidden"]),
            cast("int", told["left_out"]),
        )
        for index, told in results.items()
    }
    return PastTurn(message, str(head["finish"]), usage, intents, done)
