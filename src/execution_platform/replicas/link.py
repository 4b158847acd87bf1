"""The one connection of a process to the Redis that replicas share.

Rules this file keeps:

* A Redis that does not answer costs one caller at most `COMMAND_SECONDS`; from then on every command is refused at
  once, until the beat in the background has succeeded. The breaker sits below every `except`: an error of whatever
  kind takes the link down before anybody can swallow it.
* A connection whose command was cancelled, timed out or failed is closed, never used again, so that no caller reads
  another one's answer.
* The beat is a write. A Redis that is loading, read-only or out of memory answers PING and is of no use; it counts as
  down.
* Nothing here knows what the commands mean.
"""

import asyncio
import importlib
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Protocol, cast

from execution_platform.exceptions import ConfigError

COMMAND_SECONDS = 0.1
"""How long a command may take, connecting included."""
BEAT_SECONDS = 2.0
PROBE_SECONDS = 0.5
"""Pause between two attempts to reach a Redis that is down."""
ABSENT_MS = 10_000
"""A replica whose last beat is older counts as gone."""
_IDLE = 8
"""Connections kept for the next command."""
_PREFIX = "ep:"
_REPLICAS = "ep:replicas"
_BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local changed = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
if ARGV[3] == 'leave' then
  changed = changed + redis.call('ZREM', KEYS[1], ARGV[1])
else
  changed = changed + redis.call('ZADD', KEYS[1], now, ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 2)
local replicas = redis.call('ZCARD', KEYS[1])
if changed > 0 then redis.call('PUBLISH', KEYS[1], replicas) end
return replicas
"""


class Wire(Protocol):
    """What is used of a connection of redis-py."""

    @property
    def is_connected(self) -> bool:
        """Whether the socket stands."""
        ...

    async def connect(self) -> None:
        """Connect and authenticate."""
        ...

    async def send_command(self, *words: str | bytes | float, check_health: bool) -> None:
        """Send one command."""
        ...

    async def read_response(self, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - redis-py's own
        """Read one answer; an error among them is raised."""
        ...

    async def disconnect(self, nowait: bool = False) -> None:  # noqa: FBT001, FBT002 - redis-py's own
        """Close the socket."""
        ...


class StoreDown(Exception):
    """Redis cannot be used now. What follows is the caller's entry in the outage table."""


class Script:
    """A Lua script, sent by its digest."""

    __slots__ = ("digest", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = sha1(text.encode(), usedforsecurity=False).hexdigest()


LinkChanged = Callable[[bool, str | None], None]
"""Told when the link comes up (True, None) or goes down (False, why)."""


class Listener(Protocol):
    """Someone who follows a channel and must know when what was said before may have been missed."""

    channel: str

    def hear(self, message: bytes) -> None:
        """A message on the channel."""
        ...

    async def catch_up(self) -> None:
        """The link is up (again) and the channel is followed. May raise `StoreDown`."""
        ...


@dataclass(frozen=True, slots=True)
class LinkView:
    """The link for health pages. `error` names a kind of failure, never an address."""

    up: bool
    replicas: int
    error: str | None


class RedisLink:
    """Commands to the shared Redis, with the knowledge whether it answers and how many replicas use it."""

    def __init__(
        self, url: str, *, changed: LinkChanged | None = None, command_seconds: float = COMMAND_SECONDS
    ) -> None:
        """Opens nothing. Raises `ConfigError` when the package is missing or the address is none."""
        self._make = _maker(url)
        self._seconds = command_seconds
        self._idle: list[Wire] = []
        self._changed = changed
        self._listeners: list[Listener] = []
        self._task: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._script_of_beat = Script(_BEAT)
        self.id = f"{os.getpid():x}-{secrets.token_hex(6)}"
        """Names this process among the replicas."""
        self.up = False
        self.replicas = 0
        """Processes that share this Redis, as of the last beat that succeeded; 0 before the first."""
        self.error: str | None = "not connected yet"

    @property
    def view(self) -> LinkView:
        """The state for health pages."""
        return LinkView(self.up, self.replicas, self.error)

    def follow(self, listener: Listener) -> None:
        """Have `listener` told what is said on its channel. Before `start`."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """One attempt to reach Redis, then keep at it in the background. Never fails and never takes long."""
        await self._once()
        if not self.up and self._changed is not None:
            self._changed(False, self.error)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Leave the replicas and close every connection."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._unfollow()
        if self.up:
            with suppress(StoreDown):
                await self._beat("leave")
        self.up = False
        await self._close_idle()

    async def command(self, *words: str | bytes | float) -> Any:
        """The answer to one command. Raises `StoreDown`, at once when Redis is known to be down."""
        if not self.up:
            raise StoreDown(self.error)
        return await self._send(*words)

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        """The answer of a script. Raises `StoreDown`."""
        if not self.up:
            raise StoreDown(self.error)
        return await self._script(script, keys, arguments)

    async def _script(self, script: Script, keys: Sequence[str], arguments: Sequence[str | int]) -> Any:
        try:
            return await self._send("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except _UnknownScript:
            return await self._send("EVAL", script.text, len(keys), *keys, *arguments)

    async def _send(self, *words: str | bytes | float) -> Any:
        from redis.exceptions import NoScriptError, RedisError

        connection = self._idle.pop() if self._idle else self._make()
        try:
            async with self._limit():
                if not connection.is_connected:
                    await connection.connect()
                await connection.send_command(*words, check_health=False)
                answer: Any = await connection.read_response()
        except NoScriptError:
            self._idle.append(connection)
            raise _UnknownScript from None
        except (RedisError, OSError, TimeoutError) as error:
            await connection.disconnect(nowait=True)
            self._down(_named(error))
            raise StoreDown(self.error) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if len(self._idle) < _IDLE:
            self._idle.append(connection)
        else:
            await connection.disconnect(nowait=True)
        return answer

    @asynccontextmanager
    async def _limit(self) -> AsyncGenerator[None]:
        """Time for one command. A stall of this process is not held against Redis: what has come is read first."""
        loop = asyncio.get_running_loop()
        due = loop.time() + 0.9 * self._seconds

        def check() -> None:
            if loop.time() - due > 0.1 * self._seconds:
                scope.reschedule(loop.time() + 0.5 * self._seconds)

        async with asyncio.timeout(self._seconds) as scope:
            timer = loop.call_at(due, check)
            try:
                yield
            finally:
                timer.cancel()

    def _down(self, error: str) -> None:
        was_up, self.up, self.error = self.up, False, error
        self._lost.set()
        if was_up and self._changed is not None:
            self._changed(False, error)

    async def _run(self) -> None:
        while True:
            if self.up:
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_SECONDS):
                        await self._lost.wait()
            self._lost.clear()
            if not self.up:
                await self._unfollow()
                await self._close_idle()
                await asyncio.sleep(PROBE_SECONDS)
            await self._once()

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)

    async def _once(self) -> None:
        """One beat, with everything that follows from its success."""
        was_up = self.up
        try:
            await self._beat("stay")
            self.up, self.error = True, None
            if not was_up or (self._following is not None and self._following.done()):
                await self._follow()
            if not was_up and self._changed is not None:
                self._changed(True, None)
        except StoreDown:
            await self._unfollow()

    async def _beat(self, word: str) -> None:
        """Say that this replica is there, or leaves; what comes back is how many there are."""
        arguments = [self.id, ABSENT_MS, word]
        self.replicas = int(await self._script(self._script_of_beat, [_REPLICAS], arguments))

    async def _follow(self) -> None:
        """Follow the listeners' channels, then let them catch up: in this order nothing is missed."""
        await self._unfollow()
        connection = self._make()
        channels: dict[str, Callable[[bytes], None]] = {_REPLICAS: self._count}
        channels.update((listener.channel, listener.hear) for listener in self._listeners)
        try:
            async with self._limit():
                await connection.connect()
                await connection.send_command("SUBSCRIBE", *channels, check_health=False)
                await connection.read_response()
        except (*_failures(), OSError, TimeoutError) as error:
            await connection.disconnect(nowait=True)
            self._down(_named(error))
            raise StoreDown(self.error) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._following = asyncio.create_task(self._listen(connection, channels))
        for listener in self._listeners:
            await listener.catch_up()

    async def _unfollow(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def _count(self, message: bytes) -> None:
        """How many replicas there are has changed."""
        if message.isdigit():
            self.replicas = int(message)

    async def _listen(self, connection: Wire, channels: dict[str, Callable[[bytes], None]]) -> None:
        try:
            while True:
                kind, channel, message = await connection.read_response(timeout=float("inf"))
                if kind == b"message":
                    channels[channel.decode()](message)
        except (*_failures(), OSError) as error:
            self._down(_named(error))
        finally:
            await connection.disconnect(nowait=True)


class _UnknownScript(Exception):
    """Redis has not seen the script since its start."""


def key(*parts: str) -> str:
    """A key of ours in a Redis that may hold other things too."""
    return _PREFIX + ":".join(parts)


def _maker(url: str) -> Callable[[], Wire]:
    """Makes connections to `url`; none is opened here."""
    try:
        asyncio_redis = importlib.import_module("redis.asyncio")
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise ConfigError(
            "EP_REDIS_URL is set and the package redis is not installed: install execution-platform[redis]"
        ) from None
    try:
        pool = asyncio_redis.ConnectionPool.from_url(
            url,
            protocol=2,
            # The link limits the whole command itself; a limit below that would hold a stall of ours against Redis.
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            socket_keepalive=True,
            driver_info=None,
        )
    except ValueError:
        raise ConfigError("EP_REDIS_URL is no address of a Redis: redis://, rediss:// or unix:// is expected") from None
    return cast("Callable[[], Wire]", pool.make_connection)


def _failures() -> tuple[type[BaseException], ...]:
    from redis.exceptions import RedisError

    return (RedisError,)


def _named(error: BaseException) -> str:
    """What is wrong, in words that hold no address: the error code of Redis, or the kind of failure."""
    if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
        return "no answer in time"
    name = type(error).__name__
    if name == "ResponseError":
        return str(error).split(" ", 1)[0].lower() or name
    return {
        "BusyLoadingError": "loading its data set",
        "ReadOnlyError": "read-only",
        "OutOfMemoryError": "out of memory",
        "AuthenticationError": "password refused",
        "AuthenticationWrongNumberOfArgsError": "password refused",
        "NoPermissionError": "permission refused",
        "ConnectionError": "connection refused or lost",
        "ConnectionResetError": "connection refused or lost",
    }.get(name, name)
