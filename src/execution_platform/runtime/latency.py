"""How quickly targets answer: a moving average of the time to first content, for `least_latency`."""

from execution_platform.router.target import Target

_WEIGHT = 0.2
"""Of the newest measurement: about the last ten count."""
_MOST = 4096


class Latencies:
    """Seconds to first content by target. Targets never used are unknown, so that they are tried."""

    def __init__(self) -> None:
        self._seconds: dict[Target, float] = {}

    def __call__(self, target: Target) -> float | None:
        """The average; None while nothing is known."""
        return self._seconds.get(target)

    def note(self, target: Target, seconds: float) -> None:
        """One more answer began after `seconds`."""
        known = self._seconds.get(target)
        if known is None and len(self._seconds) >= _MOST:
            return
        self._seconds[target] = seconds if known is None else known + _WEIGHT * (seconds - known)
