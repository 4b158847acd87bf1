"""Admission: how many requests one process serves at a time, and who is refused first when it is full.

Two signals decide: the number of requests under way against `limits.in_flight`, and the delay of the event
loop. A turn of the loop takes as long as all that is under way has to do in it: while it is late the allowed
number shrinks as far below what is under way as the delay is above its limit; when it keeps time again the number
grows back, slowly while there are more requests than it allows. A loop that is late without having worked is kept
waiting by other processes. Batch work is refused at four fifths of the allowed number, chat at the whole; management
has a margin of its own that no delay shrinks, so that a full process can still be examined.
Whoever is refused is refused before its body is read.
"""

import random
from collections.abc import Callable, Sequence
from enum import IntEnum

from execution_platform.config.values import Limits
from execution_platform.gateway.errors import Overloaded

_BATCH_SHARE = 0.8
_MARGIN = 64
"""Management requests beyond `limits.in_flight`."""
_FLOOR = 64.0
"""So many are allowed however late the loop is: so few are not the cause, a starved processor is, and refusing them would leave it idle
between two turns."""
_SHRINK, _MOST_SHRUNK = 0.8, 0.2
_GROW, _FEEL = 1.15, 1.03
"""By how much the allowed number grows in a punctual tick: when nobody was refused since the last one, and when somebody was, since more
would then come in at once."""
_PATIENCE = 10
"""Late ticks in a row that count, a quarter of a second and more: one may be a long callback, and what has come while the whole machine stood
still for a moment is dealt with in less."""
_OWN_SHARE = 0.25
"""Of the limit, to have worked: a process that gets little of its processor is overloaded by little."""
_RETRY_AFTER = {0: (5, 10), 1: (1, 3), 2: (1, 2)}


class Priority(IntEnum):
    """The classes of work; the lowest is refused first."""

    BATCH = 0
    CHAT = 1
    ADMIN = 2


class Admission:
    """The count of requests under way in one process, and its limit."""

    __slots__ = (
        "_allowed",
        "_known",
        "_late",
        "_limits",
        "_random",
        "caps",
        "in_flight",
        "on_refused",
        "refused",
        "streams",
    )

    def __init__(self, limits: Limits, chance: random.Random | None = None) -> None:
        self._limits = limits
        self._allowed = float(limits.in_flight)
        self._late = 0
        self._known = 0
        """Refusals at the last measurement."""
        self._random = chance or random.Random()  # noqa: S311 - spreads retries, guards nothing
        self.in_flight = 0
        self.streams = 0
        self.refused = 0
        self.on_refused: Sequence[Callable[[], None]] = ()
        """Who counts refusals, by `Priority`."""
        self.caps = [0, 0, 0]
        self._recount()

    @property
    def allowed(self) -> int:
        """How many chats may be under way just now."""
        return self.caps[Priority.CHAT]

    def configure(self, limits: Limits) -> None:
        """Go by other limits from now on."""
        if limits is not self._limits:
            self._limits = limits
            self._allowed = float(limits.in_flight)
            self._recount()

    def is_full(self, priority: int, ahead: int = 0) -> bool:
        """Whether one more request of this class would be refused, with so many `ahead` of it that are not counted yet."""
        return self.in_flight + ahead >= self.caps[priority]

    def check(self, priority: int) -> None:
        """Called before the body is read. Raises `Overloaded` when the request would be one too many."""
        if self.in_flight >= self.caps[priority]:
            raise self.refusal(priority)

    def enter(self, priority: int) -> None:
        """Count a request whose body is there: one that is still on its way takes nobody's place. Raises `Overloaded`."""
        self.check(priority)
        self.in_flight += 1

    def leave(self) -> None:
        """A request that was counted is over."""
        self.in_flight -= 1

    def check_stream(self) -> None:
        """Called with the stream already counted. Raises `Overloaded` when it is one too many."""
        if self.streams > self._limits.streams:
            raise self.refusal(Priority.CHAT)

    def refusal(self, priority: int) -> Overloaded:
        """One more refusal, counted; the times to come back are spread."""
        self.refused += 1
        if self.on_refused:
            self.on_refused[priority]()
        return Overloaded(
            "the gateway is at its limit of requests in flight: try again later",
            retry_after=self._random.randint(*_RETRY_AFTER[priority]),
        )

    def note_lag(self, seconds: float, worked: float) -> None:
        """One measurement: how late the event loop is, and the processor time that was used since the last one."""
        most, limit = float(self._limits.in_flight), self._limits.lag_seconds
        if seconds > limit and worked > limit * _OWN_SHARE:
            self._late += 1
            if self._late >= _PATIENCE:
                share = min(_SHRINK, max(_MOST_SHRUNK, limit / seconds))
                self._allowed = max(_FLOOR, min(self._allowed, float(self.in_flight)) * share)
                self._recount()
        else:
            self._late = 0
            if self._allowed < most:
                self._allowed = min(most, self._allowed * (_GROW if self.refused == self._known else _FEEL))
                self._recount()
        self._known = self.refused

    def _recount(self) -> None:
        most = self._limits.in_flight
        chat = max(1, min(most, int(self._allowed)))
        self.caps = [max(1, int(chat * _BATCH_SHARE)), chat, most + _MARGIN]
