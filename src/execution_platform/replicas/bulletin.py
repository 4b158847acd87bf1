"""Facts that replicas tell each other and that end by themselves: a breaker that opened, a cool-down.

A fact is a name, a few words and how long it holds. It is kept in Redis under a key that expires and said on a channel,
so that replicas hear of it at once and a replica that starts, or that was cut off, reads what holds. Only durations
travel: no replica trusts another one's clock. Telling is done in the background by one task that keeps the newest
words of each name; without Redis each process goes by what it sees itself.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from execution_platform import _json
from execution_platform.replicas.link import RedisLink, Script, StoreDown, key

_LONGEST_NAME = 512
_TELL = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if tonumber(ARGV[3]) > 0 then
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
  redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
else
  redis.call('DEL', KEYS[2])
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('PUBLISH', KEYS[3], ARGV[4])
"""
_READ = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local names = redis.call('ZRANGEBYSCORE', KEYS[1], now, '+inf', 'LIMIT', 0, 10000)
local facts = {}
for _, name in ipairs(names) do
  local words = redis.call('GET', KEYS[2] .. name)
  if words then
    facts[#facts + 1] = name
    facts[#facts + 1] = words
    facts[#facts + 1] = redis.call('PTTL', KEYS[2] .. name)
  end
end
return facts
"""


@dataclass(frozen=True, slots=True)
class Fact:
    """What a replica says: it holds for `seconds` from now; 0 takes back what was said under `name`."""

    name: str
    words: str
    seconds: float


class Bulletin:
    """The facts of one kind. `apply` is called with what other replicas say, in the order it arrives."""

    def __init__(self, link: RedisLink, kind: str, apply: Callable[[Fact], None]) -> None:
        self._link = link
        self._apply = apply
        self._index, self._facts = key(kind, "names"), key(kind, "fact", "")
        self.channel = key(kind)
        self._tell = Script(_TELL)
        self._read = Script(_READ)
        self._pending: dict[str, tuple[Fact, float]] = {}
        self._task: asyncio.Task[None] | None = None
        link.follow(self)

    def tell(self, fact: Fact) -> None:
        """Let the other replicas know, in the background. Never waits and never fails."""
        if len(fact.name) > _LONGEST_NAME:
            return
        loop = asyncio.get_running_loop()
        self._pending.pop(fact.name, None)
        self._pending[fact.name] = (fact, loop.time())
        if self._link.up and (self._task is None or self._task.done()):
            self._task = loop.create_task(self._send())

    async def stop(self) -> None:
        """End the background task."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def hear(self, message: bytes) -> None:
        """Apply what another replica says; one's own words come back too and are passed over."""
        told = _fact(message)
        if told is not None and told[0] != self._link.id:
            self._apply(told[1])

    async def catch_up(self) -> None:
        """Read what holds, then say what could not be said before. Raises `StoreDown`."""
        found: list[Any] = await self._link.run(self._read, [self._index, self._facts], [])
        for name, words, ms in zip(found[::3], found[1::3], found[2::3], strict=True):
            if name.decode() not in self._pending and ms > 0:
                self._apply(Fact(name.decode(), words.decode(), ms / 1000))
        await self._flush()

    async def _send(self) -> None:
        with suppress(StoreDown):  # What is pending is said when the link is up again.
            await self._flush()

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            name, (fact, since) = next(iter(self._pending.items()))
            left = round((fact.seconds - (loop.time() - since)) * 1000) if fact.seconds > 0 else 0
            if left > 0 or fact.seconds <= 0:
                message = _json.dumps({"from": self._link.id, "name": name, "words": fact.words, "ms": left})
                keys = [self._index, self._facts + name, self.channel]
                await self._link.run(self._tell, keys, [name, fact.words, left, message.decode()])
            if self._pending.get(name, (None, 0))[0] is fact:
                del self._pending[name]


def _fact(message: bytes) -> tuple[str, Fact] | None:
    """Who says what; None for what no version of ours says."""
    try:
        given: Any = _json.loads(message)
        fact = Fact(str(given["name"]), str(given["words"]), float(given["ms"]) / 1000)
        return str(given["from"]), fact
    except (_json.JsonError, KeyError, TypeError, ValueError):
        return None
