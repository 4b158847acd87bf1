"""The breakers and cool-downs of this process and those of the other replicas, told through the bulletin; the link's gauges."""

import time
from collections.abc import Callable

from execution_platform.observability.metrics import Metrics
from execution_platform.replicas.bulletin import Bulletin, Fact
from execution_platform.replicas.link import RedisLink
from execution_platform.resilience.board import Board, Key, SharedState

_KIND = "board"
_SEPARATOR = "\x1f"
_LONGEST = 3600.0
"""Seconds a fact may hold; what claims more is cut to it."""
_PROBE_SECONDS = 30.0
"""How long a half-open breaker is worth telling: its probe has an end by then."""
_STATES: dict[str, SharedState] = {
    "closed": "closed",
    "open": "open",
    "half_open": "half_open",
    "cooling": "cooling",
}


def watch_link(metrics: Metrics, link: RedisLink) -> None:
    """Let a scrape read the link's own state."""
    metrics.shared.redis_up.set_function(lambda: link.up)
    metrics.shared.ratelimit_degraded.set_function(lambda: not link.up)


class SharedBoard:
    """Tells what `board` learns and applies what other replicas say.

    A cool-down and a breaker of one deployment are two facts, since both can hold at once. Times are durations on the
    way: each replica adds them to its own clock.
    """

    def __init__(self, link: RedisLink, board: Board, *, wall: Callable[[], float] = time.time) -> None:
        self._board = board
        self._wall = wall
        self._bulletin = Bulletin(link, _KIND, self._apply)
        board.on_change.append(self._tell)

    async def stop(self) -> None:
        """Tell nobody any more."""
        self._board.on_change.remove(self._tell)
        await self._bulletin.stop()

    def _tell(self, key: Key, state: SharedState, until: float) -> None:
        what = "cooling" if state == "cooling" else "breaker"
        left = until - self._wall() if until else _PROBE_SECONDS
        seconds = 0.0 if state == "closed" else max(0.0, min(left, _LONGEST))
        self._bulletin.tell(Fact(_SEPARATOR.join((what, *key)), state, seconds))

    def _apply(self, fact: Fact) -> None:
        parts = fact.name.split(_SEPARATOR)
        state = _STATES.get(fact.words)
        if len(parts) == 3 and state is not None:
            self._board.apply((parts[1], parts[2]), state, self._wall() + min(fact.seconds, _LONGEST))
