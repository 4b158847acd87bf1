"""How quickly targets answer: moving averages of the time to first content and to a whole answer, for `least_latency`."""

from execution_platform.router.target import Target

_WEIGHT = 0.2
"""Of the newest measurement: about the last ten count."""
_MOST = 4096


class Latencies:
    """Seconds by target, for streams and for whole answers apart. Targets never used are unknown, so that they are tried."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str, bool], float] = {}

    def __call__(self, target: Target, stream: bool) -> float | None:  # noqa: FBT001 - the signature of `router.selection.Latency`
        """The average to the first content of a stream, or to a whole answer; None while nothing is known."""
        return self._seconds.get((target.provider, target.model, stream))

    def note(self, target: Target, seconds: float, *, stream: bool) -> None:
        """One more stream began, or one more whole answer came, after `seconds`."""
        key = target.provider, target.model, stream
        known = self._seconds.get(key)
        if known is None and len(self._seconds) >= _MOST:
            return
        self._seconds[key] = seconds if known is None else known + _WEIGHT * (seconds - known)
