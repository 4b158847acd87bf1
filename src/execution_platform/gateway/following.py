"""A change of the configuration that one process was told of reaches the others.

The workers of one address are told over their sockets what to serve, content and all, and the answer waits for them. Replicas
hear through Redis, where there is one, that files are to be read again or which version is to be served; content stays out of
Redis, so a replica follows a rollback to versions it has served itself. A worker that starts later asks its siblings first, so that
a rollback, or a persona switched at run time, does not end in the process that took a dead one's place.

Every change carries its time, and an older one than the last is passed over: whatever way it comes, and however often, all
processes end with the newest.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, cast

from execution_platform import _json
from execution_platform.config.files import Sources
from execution_platform.exceptions import ExecutionPlatformError
from execution_platform.gateway.lifecycle import Lifecycle
from execution_platform.gateway.siblings import Siblings
from execution_platform.gateway.snapshots import Overlays
from execution_platform.gateway.versions import Cause
from execution_platform.observability.logging import Tell
from execution_platform.replicas.bulletin import Bulletin, Fact
from execution_platform.replicas.link import RedisLink

_KIND = "config"
_ASK = "config"
_SECONDS = 5.0
"""A worker that takes longer follows without being waited for."""
_HOLDS_SECONDS = 60.0
"""How long a replica that was cut off from Redis may still hear of a change."""


class Following:
    """One process among those that are to serve the same configuration."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        *,
        tell: Tell,
        link: RedisLink | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lifecycle = lifecycle
        self._tell = tell
        self._clock = clock
        self._newest = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._bulletin = None if link is None else Bulletin(link, _KIND, self._hear)
        self._siblings: Siblings | None = None

    async def start(self, siblings: Siblings | None) -> None:
        """Serve what the siblings serve, if that is not simply what the files say."""
        self._siblings = siblings
        if siblings is None:
            return
        siblings.answer(_ASK, self._answer)
        for told in await siblings.ask(_ASK, {"do": "tell"}, _SECONDS):
            if told and told.get("by_hand"):
                await self._answer(told)
                return

    async def stop(self) -> None:
        """Follow nobody any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._bulletin is not None:
            await self._bulletin.stop()

    async def reloaded(self, by: str | None) -> dict[str, int]:
        """The files were read again here: let all others read them; how many workers serve this version now."""
        return await self._announce({"do": "reload", "by": by})

    async def serves(self, cause: Cause, by: str | None) -> dict[str, int]:
        """Let all others serve what this process serves, which is not what the files say; how many workers do now."""
        if cause == "rollback":
            self._publish({"do": "rollback", "version": self._lifecycle.versions.current.name, "by": by})
        return await self._announce({**self._state(), "cause": cause, "by": by})

    def _state(self) -> dict[str, Any]:
        current = self._lifecycle.versions.current
        return {
            "do": "serve",
            "by_hand": self._lifecycle.pinned or bool(current.personas),
            "cause": current.cause,
            "by": current.by,
            "at": self._newest,
            "personas": current.personas,
            "sources": {
                "merged": current.sources.merged,
                "name": current.sources.name,
                "main": None if current.sources.main is None else str(current.sources.main),
            },
        }

    async def _announce(self, change: dict[str, Any]) -> dict[str, int]:
        change["at"] = self._newest = self._clock()
        if change["do"] == "reload":
            self._publish(change)
        if self._siblings is None:
            return {"following": 1, "of": 1}
        version = self._lifecycle.versions.current.name
        told = await self._siblings.ask(_ASK, change, _SECONDS)
        following = sum(1 for answer in told if answer is not None and answer.get("version") == version)
        if following < len(told):
            self._tell("config_not_followed", "error", config=version, workers=len(told) - following)
        return {"following": following + 1, "of": len(told) + 1}

    def _publish(self, change: Mapping[str, Any]) -> None:
        if self._bulletin is not None:
            words = _json.dumps({"at": self._clock(), **change}).decode()
            self._bulletin.tell(Fact("change", words, _HOLDS_SECONDS))

    async def _answer(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a sibling is told: the state it asked for, or whether its change was followed."""
        if message["do"] == "tell":
            return self._state()
        await self._follow(message)
        return {"version": self._lifecycle.versions.current.name}

    def _hear(self, fact: Fact) -> None:
        """A replica has changed its configuration."""
        message = cast("dict[str, Any]", _json.loads(fact.words.encode()))
        self._spawn(self._follow(message))

    async def _follow(self, message: Mapping[str, Any]) -> None:
        at = float(message["at"])
        if at <= self._newest:
            return
        self._newest = at
        by = cast("str | None", message["by"])
        try:
            match message["do"]:
                case "reload":
                    await self._lifecycle.reload("api", by)
                case "rollback":
                    await self._lifecycle.rollback(str(message["version"]), by)
                case _:
                    personas = cast("Overlays", message["personas"])
                    cause = cast("Cause", message["cause"])
                    await self._lifecycle.take_over(_sources(message["sources"]), personas, cause=cause, by=by)
        except ExecutionPlatformError as error:
            self._tell("config_not_followed", "error", error=error.message, by=by)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _sources(told: Mapping[str, Any]) -> Sources:
    main = cast("str | None", told["main"])
    return Sources(told["merged"], {}, told["name"], None if main is None else Path(main))
