"""How many tries may be repeated: a share of what was asked for, so that retries never become the load."""

from execution_platform.resilience.board import Clock
from execution_platform.resilience.window import Window

_SECONDS = 10.0
_SHARE = 0.2
_FLOOR = 3
"""Retries a second that are always allowed, so that a quiet tenant may retry at all."""
_MOST = 4096


class RetryBudget:
    """Retries by (tenant, upstream): at most a fifth of the requests of the last ten seconds, or three in a second.

    A request's first try at an upstream is a request, wherever it was tried before; only a further try at the same upstream's
    model is a retry (Finagle's `RetryBudget`, 2016; gRPC retry throttling, A6, 2018).
    """

    def __init__(self, clock: Clock, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._windows: dict[tuple[str, str], Window] = {}

    def offered(self, tenant: str, upstream: str, now: float) -> None:
        """A request goes to `upstream`."""
        window = self._windows.get((tenant, upstream))
        if window is None:
            window = self._enter((tenant, upstream))
        window.add(now, samples=1)

    def affords(self, tenant: str, upstream: str) -> bool:
        """Whether one more retry would be allowed now."""
        window = self._windows.get((tenant, upstream))
        if window is None:
            return True
        now = self._clock()
        newest = window.newest_marked(now)
        if window.marked + 1 <= window.samples * _SHARE:
            return True
        return newest < _FLOOR and window.marked < _FLOOR * _SECONDS

    def spend(self, tenant: str, upstream: str) -> bool:
        """Take one retry; False when none is left."""
        if not self.affords(tenant, upstream):
            return False
        window = self._windows.get((tenant, upstream)) or self._enter((tenant, upstream))
        window.add(self._clock(), marked=1)
        return True

    def _enter(self, key: tuple[str, str]) -> Window:
        if len(self._windows) >= self._most:
            del self._windows[next(iter(self._windows))]
        entered = self._windows[key] = Window(_SECONDS)
        return entered
