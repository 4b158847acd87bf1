"""How many tries may be repeated: a share of what was asked for, so that retries never become the load."""

import time
from collections.abc import Callable

from execution_platform.resilience.window import Window

_SECONDS = 10.0
_SHARE = 0.2
_FLOOR = 3
"""Retries a second that are always allowed, so that a quiet tenant may retry at all."""
_MOST = 4096


class _Account:
    """What one tenant asked of one upstream of late."""

    __slots__ = ("since", "window")

    def __init__(self, now: float) -> None:
        self.window = Window(_SECONDS)
        self.since = now
        """The beginning of the activity that is in the window."""


class RetryBudget:
    """Retries by (tenant, upstream): a fifth of the requests of the last ten seconds, or three a second, whichever is more.

    A request's first try at an upstream's model is a request, wherever it was tried before; only a further try there is a
    retry (Finagle's `RetryBudget`, 2016; gRPC retry throttling, A6, 2018).
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._accounts: dict[tuple[str, str], _Account] = {}

    def offered(self, tenant: str, upstream: str, now: float) -> None:
        """A request goes to `upstream`."""
        account = self._accounts.get((tenant, upstream)) or self._enter((tenant, upstream), now)
        account.window.add(now, samples=1)
        if account.window.samples == 1:
            account.since = now

    def affords(self, tenant: str, upstream: str) -> bool:
        """Whether one more retry is allowed now."""
        account = self._accounts.get((tenant, upstream))
        return account is None or _affords(account, self._clock())

    def spend(self, tenant: str, upstream: str) -> bool:
        """Take one retry; False when none is left."""
        now = self._clock()
        account = self._accounts.get((tenant, upstream)) or self._enter((tenant, upstream), now)
        if not _affords(account, now):
            return False
        account.window.add(now, marked=1)
        return True

    def _enter(self, key: tuple[str, str], now: float) -> _Account:
        if len(self._accounts) >= self._most:
            del self._accounts[next(iter(self._accounts))]
        entered = self._accounts[key] = _Account(now)
        return entered


def _affords(account: _Account, now: float) -> bool:
    window = account.window
    newest = window.newest_marked(now)
    if window.marked + 1 <= window.samples * _SHARE:
        return True
    active = min(_SECONDS, now - account.since + 1)
    return newest < _FLOOR and window.marked + 1 <= _FLOOR * active
